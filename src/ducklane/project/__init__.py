"""The project as a pipeline: its stages, their inputs, and the writing and tracing of their results."""

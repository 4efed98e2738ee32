"""The project as a pipeline: its stages, what they read, and how their results are traced and written."""

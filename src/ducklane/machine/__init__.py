"""The machine: its processors and GPUs, its folders, and what a training may ask of it."""

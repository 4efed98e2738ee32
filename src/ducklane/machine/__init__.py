"""The machine: its CPUs and GPUs, its folders, and the resources that a training run may request."""

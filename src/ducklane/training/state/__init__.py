"""What a training that was stopped goes on from, and the checkpoint that becomes the model."""

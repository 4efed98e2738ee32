"""The saved state from which a stopped training run resumes, and the checkpoint that becomes the model."""

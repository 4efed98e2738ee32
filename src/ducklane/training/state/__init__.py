"""The saved state from which a stopped training resumes, and the checkpoint that becomes the model."""

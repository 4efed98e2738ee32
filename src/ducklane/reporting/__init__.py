"""What people read of an experiment: the report, one page, and the model card, made from its results."""

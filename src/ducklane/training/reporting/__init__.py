"""What is reported of a training run: the line of progress, the learning curve, MLflow."""

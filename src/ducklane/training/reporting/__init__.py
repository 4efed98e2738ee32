"""What is reported of a training: the line of progress, the learning curve, MLflow."""

"""What is told of a training: metrics, the line of progress, the learning curve, MLflow."""

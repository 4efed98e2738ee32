"""What a training reports: metrics, progress, the learning curve, MLflow runs."""

"""What MLflow keeps of a run in forms of its own: datasets, system metrics, models."""

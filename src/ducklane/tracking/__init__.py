"""The only package that talks to MLflow: the store, its runs, the registry, the lineage of a result."""

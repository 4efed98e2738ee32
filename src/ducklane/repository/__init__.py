"""The git repository around the project, and the copies of the project that DVC makes."""

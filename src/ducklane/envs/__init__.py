"""Environments by name, for `gymnasium.make` and `gymnasium.make_vec`, as docs/library.md shows."""

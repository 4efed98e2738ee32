"""Compares recipes over seeds: what differs, by how much, and how sure that is."""

"""Reads tiles, objects and meshes from their files as gym-duckietown's loader does, to the last bit."""

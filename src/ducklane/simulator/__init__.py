"""A Duckiebot in Duckietown: wheel commands in, frames and states out."""

"""gym-duckietown, headless and on today's Python: the only room that knows it."""

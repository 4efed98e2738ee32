"""A map: its files and names, its tiles and objects as arrays, and what they look like."""

"""The AI Driving Olympics' scores of driven episodes, and where on the map drives fail."""

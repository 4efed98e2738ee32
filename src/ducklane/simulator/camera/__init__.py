"""What a robot's camera sees: from its pixels to the ground, and what is drawn there."""

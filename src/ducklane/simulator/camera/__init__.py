"""The robot's camera: from the pixels of an image to the ground, and how ground and objects are drawn."""

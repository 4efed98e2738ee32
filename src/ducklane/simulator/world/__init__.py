"""What happens: how robots move, where the lanes are, what stands and moves on the map."""

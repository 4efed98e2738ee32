"""What happens in the world: how robots move, where lanes run, which objects stand and move on the map."""

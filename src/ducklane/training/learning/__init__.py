"""What learns: the loss, the networks as RLlib takes them, and their arithmetic on all cores."""

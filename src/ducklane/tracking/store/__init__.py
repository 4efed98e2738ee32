"""Where runs are kept: the store's address, the first contact with it, and a store that was moved."""

"""How well a policy drives: fixed starts, episodes in the stock simulator, the official scores."""

"""The learning task: observations, actions and rewards, as functions on arrays."""

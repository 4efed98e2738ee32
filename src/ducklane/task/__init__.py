"""What the agent sees, does and is paid, as functions on arrays."""

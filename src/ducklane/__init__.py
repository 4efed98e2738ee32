"""Train a Duckiebot to drive in its lane; make every run a reproducible, comparable, shippable experiment."""

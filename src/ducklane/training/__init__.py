"""PPO with RLlib under Ray Tune: the only modules that import ray."""

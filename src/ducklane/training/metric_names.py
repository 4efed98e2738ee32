"""The names of the metrics that the code itself refers to; importing them does not load Ray."""

EPISODE_REWARD_MEAN = "episode_reward_mean"
EPISODE_LEN_MEAN = "episode_len_mean"
TIMESTEPS_TOTAL = "timesteps_total"

"""The built-in checkpoint: its synthetic world, its datasets, its weights, and in `training` how they were made. No other room imports it."""

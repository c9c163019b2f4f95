"""What a machine can do, and what is wrong with it or with a checkpoint: each part looked at by itself, and said on one page."""

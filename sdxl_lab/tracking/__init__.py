"""A run in Comet: its projection, sending it, and what Comet holds of it."""

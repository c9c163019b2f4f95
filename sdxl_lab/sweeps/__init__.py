"""Sweeps: their files, plans, executors, and how far they are."""

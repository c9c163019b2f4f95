"""Checkpoints: what a name stands for, its files, what suits it, and loading it."""

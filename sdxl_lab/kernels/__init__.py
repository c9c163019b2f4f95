"""Notebooks and the kernels that run them, one of them warm."""

"""Datasets: where they come from, their samples, and what is to be said of them."""

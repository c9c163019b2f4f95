"""Runs: resolved, run, finished, executed, and made again."""

"""The gate: what a run is asked to do, and what it will do exactly."""

"""Making pictures: the only room that calls a pipeline."""

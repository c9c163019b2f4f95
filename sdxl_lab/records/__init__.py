"""Records: the run folder, a picture in it, and what a picture says of itself."""

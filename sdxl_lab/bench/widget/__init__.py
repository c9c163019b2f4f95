"""The bench in a notebook: a canvas, knobs, pictures as they are made, and the history of a session."""

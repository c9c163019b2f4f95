"""Words that YAML, shells, format strings, JSON and terminals would make something else of."""

SMILE = "\N{GRINNING FACE}"
HOSTILE = f"  poster #1: \"é\" \\n C:\\new {SMILE}\n&x *y %z @w {{name}} {{}} [a] --- \t| > 'q' = 5 \x1b\x07\x85\u2028 "

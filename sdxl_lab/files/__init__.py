"""Files and folders: whole or absent, locked, hashed, where they may lie and whether there is room."""

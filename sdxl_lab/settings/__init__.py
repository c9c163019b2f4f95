"""Settings: nested dictionaries and YAML as people write them, the sections a run may be told, and how documents hold them."""

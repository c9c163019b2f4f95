"""What the stand-in for Comet's backend is made of: `comet_server` puts it behind a port of 127.0.0.1."""

"""How the pocket checkpoint was made. No other room imports it."""

"""Pictures of any mode and color profile, masks, and labelled sheets of them. Knows no settings."""

"""Pictures of any mode and color profile, masks, and labeled sheets of them. Knows no settings."""

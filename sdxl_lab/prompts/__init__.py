"""What a prompt says: marks and weights, what of it fits, what else looks like a mark. Needs no torch."""

"""What the families that the lab brings share: the world that they were trained on."""

from __future__ import annotations

KNOWS = "colored shapes alone; for photographs take another checkpoint, such as sdxl"
"""What their checkpoints can show."""

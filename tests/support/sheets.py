"""Looking for pictures on sheets."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image


def holds(sheet: Image.Image, part: Image.Image) -> bool:
    """Whether a picture appears somewhere in a sheet, pixel by pixel."""
    whole, wanted = np.asarray(sheet.convert("RGB")), np.asarray(part.convert("RGB"))
    height, width = wanted.shape[:2]
    busiest = int(np.abs(np.diff(wanted.astype(int), axis=1)).sum(axis=(1, 2)).argmax())
    for top in range(whole.shape[0] - height + 1):
        line, row = whole[top + busiest].tobytes(), wanted[busiest].tobytes()
        lefts = (found.start() // 3 for found in re.finditer(b"(?=" + re.escape(row) + b")", line, re.DOTALL) if found.start() % 3 == 0)
        if any(np.array_equal(whole[top : top + height, left : left + width], wanted) for left in lefts):
            return True
    return False

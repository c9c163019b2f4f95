"""Values that are known in a part of a picture, spread smoothly over the rest: what fills a hole, and what closes a seam."""

from __future__ import annotations

import numpy as np

from sdxl_lab.images.white import opencv

_FEWEST, _MOST = 24, 600
"""Sweeps at one size: the more, the nearer to the equation, and at small sizes they cost little."""

_DAMPED = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32) / 5
"""Jacobi's mean of four neighbors, damped, so that no checkerboard is left."""


def spread(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Spread known values over what is not known, as a membrane that hangs in them: each pixel becomes the mean of its neighbors.

    That is Laplace's equation, with the known values around as its boundary; where the picture ends nothing holds the membrane. It is solved at
    half the size first, and so on, and smoothed at each size.

    Args:
        values: (height, width, 3), float32; what stands where nothing is known counts for nothing.
        known: (height, width) booleans.

    Returns:
        Of the same shape, the known values exactly where they are known; all as it is if nothing is known.

    Source:
        Pérez, Gangnet and Blake, Poisson image editing, SIGGRAPH 2003, equation 2; coarse to fine as in Gortler et al., The lumigraph, SIGGRAPH
        1996, "pull-push".
    """
    if known.all() or not known.any():
        return values
    cv2 = opencv()
    height, width = known.shape
    if max(height, width) <= 2:
        guess = np.broadcast_to(values[known].mean(axis=0), values.shape)
    else:
        half = ((width + 1) // 2, (height + 1) // 2)
        share = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
        total = cv2.resize(np.where(known[..., None], values, np.float32(0)), half, interpolation=cv2.INTER_AREA)
        coarse = np.divide(total, share[..., None], out=np.zeros_like(total), where=share[..., None] > 0)
        guess = cv2.resize(spread(coarse, share > 0), (width, height), interpolation=cv2.INTER_LINEAR)
    whole = np.where(known[..., None], values, guess)
    for _ in range(max(_FEWEST, min(_MOST, 4_000_000 // (height * width)))):
        whole = np.where(known[..., None], values, cv2.filter2D(whole, -1, _DAMPED, borderType=cv2.BORDER_REPLICATE))
    return whole

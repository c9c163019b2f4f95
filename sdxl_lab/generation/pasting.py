"""What was decoded, back in the picture that it was made for."""

from __future__ import annotations

from PIL import Image

from sdxl_lab.generation.regions import Regions
from sdxl_lab.images import boxes, masks, seams, soft_masks
from sdxl_lab.settings.sections import Mask

RING_CELLS = 2
"""How wide the ring is in which colors are compared, in latent cells: far enough for a mean, near enough to be about the mask."""


def pasted(raw: Image.Image, input_image: Image.Image, found: Regions, mask: Mask) -> Image.Image:
    """Lay what was decoded over the input, where it was repainted.

    Colors are matched first, levels joined then, and the soft edge comes last; both of the former look at what the models saw, and no further.

    Args:
        raw: What was decoded, at the working size.
        input_image: The picture as edited.
        found: What of it is repainted, and of which crop.
        mask: Settings.

    Returns:
        Of the input's size, beyond the region and its soft edge the input's pixels exactly.
    """
    box = found.frame.box if found.frame else (0, 0, *input_image.size)
    made = raw.resize(boxes.size_of(box), Image.Resampling.LANCZOS)
    # What feathers a hard mask leaves a soft one its grays.
    alpha = (soft_masks.faded if found.is_soft else masks.feather)(found.composited, mask.feather_px)
    if mask.color_match or mask.blend != "alpha":
        before, region = input_image.crop(box), alpha.crop(box).point(_any)
        if mask.color_match:
            made = seams.matched(made, before, region, reach_px=round(RING_CELLS * found.cell_px * boxes.magnified(made.size, raw.size)) or 1)
        if mask.blend == "poisson":
            made = seams.joined(made, before, region)
    return masks.laid_over(input_image, boxes.put_back(made, box, input_image), alpha)


def _any(level: int) -> int:
    return 255 * (level > 0)

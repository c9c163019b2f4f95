"""Make all of a picture anew, as like the given one as the strength leaves it."""

from __future__ import annotations

from sdxl_lab.settings.sections import Conditioning, Denoising, PromptAndSeed, Refiner, SizeAsAsked
from sdxl_lab.tasks._task import INPUT, RESULT, Task


class ImageToImageHyperparameters(PromptAndSeed):
    """What image to image may be told."""

    denoising: Denoising = Denoising()
    refiner: Refiner = Refiner()
    conditioning: Conditioning = Conditioning()
    size: SizeAsAsked = SizeAsAsked()


IMAGE_TO_IMAGE = Task(
    name="image_to_image",
    takes=ImageToImageHyperparameters,
    needs=lambda _: ("image",),
    pipeline="image_to_image",
    suits={"strength": 0.6},
    refusals=dict.fromkeys(
        ("mask_image", "mask", "canvas", "mode"), "image to image makes all of the picture anew; to repaint a part, take inpaint or outpaint"
    ),
    elsewhere=("img2img", "img2image", "image2img", "image2image"),
    roles=(INPUT, RESULT),
)

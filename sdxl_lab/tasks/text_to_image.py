"""Make a picture from words alone."""

from __future__ import annotations

from pydantic import create_model

from sdxl_lab.settings.sections import Conditioning, Denoising, PromptAndSeed, Refiner, SizeAsAsked, less
from sdxl_lab.tasks._task import RESULT, Task

SCHEDULE = less(Denoising, "strength")
"""There is no picture of which more or less could be left."""

FROM_NOISE = "text to image starts from noise alone"

TEXT_TO_IMAGE = Task(
    name="text_to_image",
    takes=create_model(
        "TextToImageHyperparameters",
        __base__=PromptAndSeed,
        denoising=(SCHEDULE, SCHEDULE()),
        refiner=(Refiner, Refiner()),
        conditioning=(Conditioning, Conditioning()),
        size=(SizeAsAsked, SizeAsAsked()),
    ),
    needs=lambda _: (),
    pipeline="text_to_image",
    # diffusers' own for it, as it makes no difference: of a hundred pictures by pocket color and background are right in all at 2, 3, 5, 7.5 and 10,
    # the shape in 95, 98, 99, 98 and 97.
    suits={"guidance_scale": 5.0},
    holds={"denoising.strength": 1.0},
    refusals={
        **dict.fromkeys(("image", "strength"), f"{FROM_NOISE}; to start from a picture, take image_to_image"),
        **dict.fromkeys(("mask_image", "mask", "crop"), f"{FROM_NOISE}; to repaint part of a picture, take inpaint (paint: --image and --mask)"),
        **dict.fromkeys(("canvas", "mode"), f"{FROM_NOISE}; to paint beyond a picture or around an object, take outpaint"),
    },
    elsewhere=("txt2img", "txt2image", "text2img", "text2image"),
    roles=(RESULT,),
)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images import masks, soft_masks
from sdxl_lab.images.masks import MaskError
from sdxl_lab.settings.sections import Canvas, Crop, Mask, Refiner
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.edit import Edit
from tests.support.edits import KINDS, calls, cpu, make_edit, same
from tests.support.plain import pipeline, plain

METHODS = ("threshold", "blend")
INPAINT = "StableDiffusionXLInpaintPipeline"
HAND_OVERS: dict[str, dict[str, Any]] = {
    "alone": {},
    "consistent": {"high_noise_frac": 0.6},
    "stock": {"high_noise_frac": 0.6, "handover": "stock"},
    "sdedit": {"handover": "sdedit"},
}

pytestmark = pytest.mark.filterwarnings("ignore:mask.soft threshold tells")


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, TrajectoryCache
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


def soft(method: str = "threshold", **mask: Any) -> Mask:
    """
    A soft mask's settings, without dilation.
    """
    return Mask(kernel_size=1, soft=method, **mask)


def edit_of(mask: Mask, handover: str = "alone", **settings: Any) -> Edit:
    """
    Ten steps of the whole schedule.
    """
    denoising = {"num_inference_steps": 10, "strength": 1.0} | HAND_OVERS[handover] | settings
    return make_edit(mask=mask, refiner=Refiner(strength=0.5 if handover == "sdedit" else 0.3), **denoising)


def gradient(size: tuple[int, int] = (64, 64)) -> Image.Image:
    """
    A mask from black on the left to white on the right.
    """
    return Image.fromarray(np.tile(np.linspace(0, 255, size[0]).round().astype(np.uint8), (size[1], 1)))


def cells_of(values: np.ndarray) -> Image.Image:
    """
    A mask whose latent cells are one gray each.
    """
    return Image.fromarray(values.astype(np.uint8).repeat(8, 0).repeat(8, 1))


@pytest.fixture
def block() -> tuple[Image.Image, Image.Image]:
    """
    A mask whose cells are black or white, and one with grays in it that `cover` does not see.
    """
    cells = np.zeros((8, 8))
    cells[2:6, 3:7] = 255
    hard = cells_of(cells)
    grays = np.array(hard)
    grays[16:20, 24:30] = 100
    return hard, Image.fromarray(grays)


@pytest.mark.parametrize("handover", HAND_OVERS)
@pytest.mark.parametrize("method", METHODS)
def test_where_cells_are_black_and_white_a_soft_mask_is_a_hard_one(random_pair, scene, block, method, handover):
    """
    With any hand-over what is decoded has the very bits that it has with the hard mask, also where it goes on from remembered steps.
    """
    hard, grays = block
    cache = TrajectoryCache()
    expected = generate(edit_of(Mask(latent_mask="cover"), handover), scene[0], hard, cpu(random_pair))
    generate(edit_of(soft(method, latent_mask="cover"), "consistent", high_noise_frac=0.4), scene[0], grays, cpu(random_pair), trajectories=cache)
    for _ in range(2):
        actual = generate(edit_of(soft(method, latent_mask="cover"), handover), scene[0], grays, cpu(random_pair), trajectories=cache)
        assert actual.edit.settings.mask.soft == method
        assert same(expected.raw, actual.raw)


@pytest.mark.parametrize("method", METHODS)
def test_a_black_and_white_mask_is_described_as_the_hard_one(random_pair, scene, method):
    """
    The picture is the same to the last pixel and to the last word of its description, and that nothing was soft is said.
    """
    expected = generate(edit_of(Mask(feather_px=3)), scene[0], scene[1], cpu(random_pair))
    with pytest.warns(CautionWarning, match=r"mask.soft has no effect: the region to repaint has no gray"):
        actual = generate(edit_of(soft(method, feather_px=3)), scene[0], scene[1], cpu(random_pair))
    assert actual.edit == expected.edit
    assert same(expected.image, actual.image)
    with pytest.warns(CautionWarning, match=r"mask.blur_px has no effect: mask.soft is off; take mask.soft threshold"):
        blurred = generate(edit_of(Mask(feather_px=3, blur_px=5)), scene[0], scene[1], cpu(random_pair))
    assert blurred.edit == expected.edit


def reference(folder: Any, method: str, cells: np.ndarray, steps: int, scheduler: str = "euler", **arguments: Any) -> Image.Image:
    """
    What a plain pipeline makes of a soft map, each cell's share written out step by step.
    """
    import torch

    def share(step: int) -> torch.Tensor:
        late = [[step >= steps - int(cell) * steps // 255 for cell in row] for row in cells]
        return torch.tensor(late if method == "threshold" else cells / 255).float()[None, None].repeat(2, 1, 1, 1)

    loaded, _ = pipeline(INPAINT, folder)
    own = loaded.prepare_mask_latents
    loaded.prepare_mask_latents = lambda *args, **kwargs: (share(0), own(*args, **kwargs)[1])
    after = dict(
        callback_on_step_end=lambda _pipeline, step, *_: {"mask": share(step + 1)},
        callback_on_step_end_tensor_inputs=["latents", "mask"],
    )
    try:
        return plain(INPAINT, folder, scheduler, mask_image=Image.new("L", (64, 64), 255), num_inference_steps=steps, **after, **arguments)
    finally:
        del loaded.prepare_mask_latents


@pytest.mark.parametrize("method", METHODS)
def test_a_soft_mask_is_a_plain_pipeline_told_each_steps_mask(random_pair, twin_pair, scene, method):
    """
    Bit for bit, alone; and handed over to the same UNet as if it had never been.
    """
    cells = np.random.RandomState(0).randint(16, 240, (8, 8)) * (np.arange(8) > 2)
    expected = reference(random_pair / "base", method, cells, 10, image=scene[0], strength=1.0)
    assert same(expected, generate(edit_of(soft(method)), scene[0], cells_of(cells), cpu(random_pair)).raw)
    unsplit = reference(twin_pair / "base", method, cells, 10, image=scene[0], strength=1.0)
    assert same(unsplit, generate(edit_of(soft(method), "consistent"), scene[0], cells_of(cells), cpu(twin_pair)).raw)


def trajectory_of(cache: Any) -> Any:
    """
    The run that a cache remembers.
    """
    from sdxl_lab.generation.trajectory import Trajectory

    return next(value for value, _ in cache._values.values() if isinstance(value, Trajectory))


@pytest.mark.parametrize("scheduler", ["euler", "ddim"])
@pytest.mark.parametrize("gray", [64, 128, 200])
def test_one_gray_everywhere_is_image_to_image_of_that_strength(random_pair, scene, gray, scheduler):
    """
    With `threshold` and a sampler without history, latents differ from those of diffusers' image to image by less than 2e-5.
    """
    told = dict(image=scene[0], strength=(10 * gray // 255 + 0.5) / 10, num_inference_steps=10, guidance_scale=7.5, output_type="latent")
    expected = plain("StableDiffusionXLImg2ImgPipeline", random_pair / "base", scheduler, **told)
    cache = TrajectoryCache()
    generate(edit_of(soft(), scheduler=scheduler), scene[0], Image.new("L", (64, 64), gray), cpu(random_pair), trajectories=cache)
    assert float((trajectory_of(cache).states[-1].latents - expected).abs().max()) < 2e-5


@pytest.mark.parametrize("scheduler", KINDS)
def test_a_soft_mask_goes_on_from_any_step(random_pair, scene, scheduler):
    """
    Two fractions of one soft edit take the base's steps once, and each is what it is alone.
    """
    checkpoint, cache = cpu(random_pair), TrajectoryCache()
    edits = [edit_of(soft(), "consistent", high_noise_frac=fraction, scheduler=scheduler) for fraction in (0.8, 0.6)]
    alone = [generate(edit, scene[0], gradient(), checkpoint).raw for edit in edits]
    with calls(checkpoint.base.unet) as counts:
        together = [generate(edit, scene[0], gradient(), checkpoint, trajectories=cache).raw for edit in edits]
        base = generate(edits[0], scene[0], gradient(), checkpoint).base_steps
    assert counts == [2 * base]
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))
    other = edits[0].model_copy(update={"settings": edits[0].settings.model_copy(update={"mask": soft("blend")})})
    assert not same(together[0], generate(other, scene[0], gradient(), checkpoint, trajectories=cache).raw)


@pytest.mark.parametrize("handover", ["stock", "sdedit"])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_black_of_a_soft_mask_stays_whatever_the_hand_over(random_pair, scene, method, handover):
    """
    Where nothing is repainted the result is the input exactly, and there is less change the darker the gray.
    """
    made = generate(edit_of(soft(method), handover), scene[0], gradient(), cpu(random_pair))
    assert made.mask_image is not None
    change = np.abs(np.asarray(made.image, int) - np.asarray(scene[0], int)).max(axis=2)
    assert not change[np.asarray(made.mask_image) == 0].any()
    assert change[:, :20].mean() < change[:, 44:].mean()


def test_a_base_of_nine_channels_is_told_a_hard_mask(random_inpaint_pair, scene):
    """
    Its UNet hears of white and black alone; of a gray too dark for any step the input's own latents are left, of others what it painted.
    """
    from diffusers.image_processor import VaeImageProcessor

    heard, checkpoint, cache = [], cpu(random_inpaint_pair), TrajectoryCache()
    hook = checkpoint.base.unet.register_forward_pre_hook(lambda _, args: heard.append(args[0][0, 4, 0].tolist()))
    mask = cells_of(np.tile([0, 24, 60, 128, 200, 239, 255, 0], (8, 1)))
    with pytest.warns(CautionWarning, match="the mask that it is told stays hard"):
        generate(edit_of(soft()), scene[0], mask, checkpoint, trajectories=cache)
    hook.remove()
    assert heard == [[0, 1, 1, 1, 1, 1, 1, 0]] * 10
    clean = checkpoint.base.vae.encode(VaeImageProcessor().preprocess(scene[0])).latent_dist.mode() * checkpoint.base.vae.config.scaling_factor
    latents = trajectory_of(cache).states[-1].latents
    differ = (latents - clean).abs().amax(dim=(0, 1, 2)) > 0
    assert differ.tolist() == [True, False, True, True, True, True, True, True]


def test_a_speck_is_what_is_not_black_and_small():
    """
    A faint fleck is left out of a soft mask, a hole takes the gray around it, and kept they stay.
    """
    grays = np.zeros((64, 64), np.uint8)
    grays[10:40, 10:40] = 90
    grays[20:23, 20:23] = 0
    grays[50:53, 50:53] = 60
    clean, has_specks = soft_masks.region_of(Image.fromarray(grays), 1, specks_area=64)
    expected = np.zeros((64, 64), np.uint8)
    expected[10:40, 10:40] = 90
    assert has_specks
    assert same(expected, clean)
    kept, has_specks = soft_masks.region_of(Image.fromarray(grays), 1)
    assert not has_specks
    assert same(grays, kept)


@pytest.mark.parametrize("is_inverted", [False, True])
@pytest.mark.parametrize(("kernel_size", "iterations"), [(1, 1), (5, 1), (3, 4), (201, 1)])
def test_a_soft_mask_is_dilated_and_blurred_as_a_hard_one(kernel_size, iterations, is_inverted):
    """
    Of black and white it is what `masks` makes, holes and specks included; of grays each pixel is OpenCV's lightest around it.
    """
    import cv2

    random = np.random.RandomState(2)
    hard = Image.fromarray((cv2.GaussianBlur(random.rand(90, 70), (0, 0), 3) > 0.5).astype(np.uint8) * 255)
    told: dict[str, Any] = {"specks_area": 30.0, "is_inverted": is_inverted}
    expected, had = masks.region_of(hard, kernel_size, iterations, **told)
    actual, has = soft_masks.region_of(hard, kernel_size, iterations, **told)
    assert had == has
    assert same(expected, actual)
    assert same(masks.feather(expected, 9), soft_masks.faded(actual, 9))
    grays = random.randint(16, 240, (90, 70)).astype(np.uint8)
    lightest = cv2.dilate(255 - grays if is_inverted else grays, np.ones((kernel_size, kernel_size), np.uint8), iterations=iterations)
    assert same(lightest, soft_masks.region_of(Image.fromarray(grays), kernel_size, iterations, is_inverted=is_inverted)[0])


def test_a_blur_grows_outwards():
    """
    Whatever its width a small mask stays white, every gray stays, and beyond the width all is black.
    """
    grays = np.zeros((60, 60), np.uint8)
    grays[30, 30] = 255
    grays[10:12, 10:12] = 80
    blurred = np.asarray(soft_masks.faded(Image.fromarray(grays), 8))
    assert (blurred[grays > 0] == grays[grays > 0]).all()
    rows, columns = np.mgrid[:60, :60]
    distance = np.minimum(*(np.hypot(rows - row, columns - row) for row in (30, 10.5)))
    assert not blurred[distance > 9].any()
    assert blurred[30, 34] == round(255 * (1 - 4 / 9))
    assert blurred[10, 15] == round(80 * (1 - 4 / 9))


def test_cells_are_means_and_cover_is_the_lightest():
    """
    Of a cell half white, half black the one is a half, and the other 1.
    """
    grays = np.zeros((8, 16), np.uint8)
    grays[:, :4], grays[0, 8] = 255, 51
    assert soft_masks.latent_change(Image.fromarray(grays)).tolist() == [[0.5, 0.2 / 64]]
    assert soft_masks.latent_change(Image.fromarray(grays), mode="cover").tolist() == [[1.0, 0.2]]


def test_a_crop_holds_all_that_is_gray(random_pair):
    """
    The strip of a blur is seen, too, and outside of it the picture keeps every pixel.
    """
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (150, 200, 3), np.uint8))
    mask = Image.new("L", (200, 150))
    mask.paste(255, (90, 60, 110, 80))
    edit = edit_of(soft(blur_px=12))
    edit = edit.model_copy(update={"settings": edit.settings.model_copy(update={"crop": Crop(padding_mask_crop=4)})})
    made = generate(edit, image, mask, cpu(random_pair))
    assert made.frame is not None
    left, top, right, bottom = made.frame.box
    assert left <= 90 - 16
    assert top <= 60 - 16
    assert right >= 110 + 16
    assert bottom >= 80 + 16
    assert made.mask_image is not None
    is_black = np.asarray(made.mask_image) == 0
    assert (np.asarray(made.image) == np.asarray(image)).all(axis=2)[is_black].all()


def test_a_canvas_is_soft_by_its_blur(random_pair, scene):
    """
    The strip reaches into the picture as the overlap does, and what is composited is beyond the picture alone.
    """
    canvas = Canvas(right_px=16, overlap_px=0)
    made = generate(make_edit("outpaint", mode="canvas", canvas=canvas, mask=soft(blur_px=10)), scene[0], None, cpu(random_pair))
    assert made.mask_image is not None
    grays = np.asarray(made.mask_image)[0]
    assert (grays[64:] == 255).all()
    assert (np.diff(grays[54:65].astype(int)) > 0).all()
    assert same(made.image.crop((0, 0, 64, 64)), scene[0])


def test_a_feather_beside_a_soft_mask_is_of_the_composite_alone(random_pair, scene):
    """
    What is decoded is the same, and around all that is not black the result fades into the input.
    """
    bare, feathered = (generate(edit_of(soft(blur_px=4, feather_px=px)), scene[0], scene[1], cpu(random_pair)) for px in (0, 6))
    assert same(bare.raw, feathered.raw)
    assert bare.mask_image is not None
    is_black = np.asarray(bare.mask_image) == 0
    changed = [(np.asarray(made.image) != np.asarray(scene[0])).any(axis=2) & is_black for made in (bare, feathered)]
    assert not changed[0].any()
    assert changed[1].any()


def test_a_mask_too_dark_for_its_steps_is_refused(random_pair, scene):
    """
    Before a UNet is asked, with what would do instead.
    """
    with calls(cpu(random_pair).base.unet) as counts, pytest.raises(MaskError, match=r"0\.094 of white.* take mask\.soft blend, 11 steps or more"):
        generate(edit_of(soft(), num_inference_steps=6), scene[0], Image.new("L", (64, 64), 24), cpu(random_pair))
    assert counts == [0]
    assert generate(edit_of(soft("blend"), num_inference_steps=6), scene[0], Image.new("L", (64, 64), 24), cpu(random_pair)).base_steps == 6

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.families import Sizes
from sdxl_lab.generation.frames import CropError, frame_of, working_size
from sdxl_lab.images.boxes import size_of
from sdxl_lab.images.masks import dilate
from sdxl_lab.metrics import measure
from sdxl_lab.settings.sections import Canvas, Conditioning, Crop, EditSettings, Mask, PictureSize, Refiner
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from tests.support.edits import SEED, calls, cpu, make_edit, same
from tests.support.plain import plain

SMALL = Sizes(area=64 * 64, max_area=64 * 96, multiple=8)
SQUARE = PictureSize(width=64, height=64)
INPAINT = "StableDiffusionXLInpaintPipeline"


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, TrajectoryCache
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


def photograph(width: int = 200, height: int = 150) -> Image.Image:
    """
    A picture that is nowhere the same.
    """
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows % 256, columns % 256, (rows * columns) % 256], axis=-1).astype(np.uint8))


def disc(x: int, y: int, radius: int = 11, size: tuple[int, int] = (200, 150)) -> Image.Image:
    """
    A mask of it.
    """
    rows, columns = np.mgrid[: size[1], : size[0]]
    return Image.fromarray(((rows - y) ** 2 + (columns - x) ** 2 < radius**2).astype(np.uint8) * 255)


def edit_of(crop: Crop, size: PictureSize | None = None, conditioning: Conditioning | None = None, **settings: Any) -> Edit:
    """
    An edit with a crop.
    """
    made = make_edit(**settings)
    more = {"crop": crop, "size": size or PictureSize(), "conditioning": conditioning or Conditioning()}
    return made.model_copy(update={"settings": made.settings.model_copy(update=more)})


@pytest.mark.parametrize("padding", [0, 9])
@pytest.mark.parametrize("place", [(100, 70), (6, 5), (190, 145)])
def test_a_crop_is_diffusers_own(random_pair, padding, place):
    """
    With the size that it is told, `padding_mask_crop` of a plain call makes the very picture, in the middle and at the borders.
    """
    image, mask = photograph(), disc(*place)
    expected = plain(
        INPAINT, random_pair / "base", "euler", image=image, mask_image=mask, width=64, height=64, strength=0.99, padding_mask_crop=padding
    )
    made = generate(edit_of(Crop(padding_mask_crop=padding), SQUARE), image, mask, cpu(random_pair))
    assert made.frame is not None
    assert made.frame.size == (64, 64)
    assert same(expected, made.image)
    assert not same(made.image, image)


def test_boxes_are_diffusers_own():
    """
    Wherever a region lies and whatever the aspect at which it is seen, its box is the one that diffusers finds.
    """
    from diffusers.image_processor import VaeImageProcessor

    random = np.random.RandomState(0)
    for _ in range(40):
        left, top, width, height = (int(number) for number in (random.randint(0, 150), random.randint(0, 110), *random.randint(8, 40, 2)))
        region = (left, top, min(left + width, 200), min(top + height, 150))
        mask, padding = Image.new("L", (200, 150)), int(random.randint(0, 30))
        mask.paste(255, region)
        size = PictureSize(width=int(8 * random.randint(6, 12)), height=int(8 * random.randint(6, 12)))
        assert size.given is not None
        expected = VaeImageProcessor.get_crop_region(mask, *size.given, pad=padding)
        settings = EditSettings(crop=Crop(padding_mask_crop=padding, min_upscale=0.0), size=size)
        frame = frame_of(settings, region, (200, 150), size.given, SMALL)
        assert frame is not None
        assert frame.box == expected


def test_a_box_holds_its_region_and_keeps_its_aspect():
    """
    Of any region, it lies in the picture around all that was asked for, no smaller than in the whole picture, and not stretched by a pixel.
    """
    random, picture = np.random.RandomState(1), (900, 500)
    whole = working_size(picture, at_scale_of=picture, sizes=SMALL)
    for _ in range(200):
        left, top = int(random.randint(0, 880)), int(random.randint(0, 480))
        region = (left, top, min(left + int(random.randint(9, 300)), 900), min(top + int(random.randint(9, 300)), 500))
        padding, factor = int(random.randint(0, 60)), float(random.uniform(1, 2))
        frame = frame_of(EditSettings(crop=Crop(padding_mask_crop=padding, context_factor=factor)), region, picture, whole, SMALL)
        if frame is None:
            continue
        box, (width, height) = frame.box, size_of(frame.box)
        assert box[0] <= max(region[0] - padding, 0)
        assert box[1] <= max(region[1] - padding, 0)
        assert box[2] >= min(region[2] + padding, 900)
        assert box[3] >= min(region[3] + padding, 500)
        assert 0 <= box[0] < box[2] <= 900
        assert 0 <= box[1] < box[3] <= 500
        assert width >= min(factor * (region[2] - region[0]) + 2 * padding, 1) or box[0] == 0 or box[2] == 900
        assert frame.upscale >= np.sqrt(whole[0] * whole[1] / (900 * 500))
        assert [side % 8 for side in frame.size] == [0, 0]
        is_free = width < 900 and height < 500
        assert not is_free or abs(width * frame.size[1] - height * frame.size[0]) <= max(frame.size) + 8


def test_the_factor_is_of_the_region_and_the_padding_comes_on_top():
    """
    A region of 40x20 with a factor of 2 and 5 pixels is seen with 25 pixels on the left and right, and 15 above and below.
    """
    settings = EditSettings(crop=Crop(padding_mask_crop=5, context_factor=2.0), size=PictureSize(width=144, height=80))
    frame = frame_of(settings, (300, 200, 340, 220), (900, 500), (144, 80), SMALL)
    assert frame is not None
    assert frame.box == (275, 185, 365, 235)
    soft = settings.model_copy(update={"mask": Mask(feather_px=7)})
    frame = frame_of(soft, (300, 200, 340, 220), (900, 500), (144, 80), SMALL)
    assert frame is not None
    assert frame.box == (272, 183, 369, 237)  # the soft edge is painted, too; and 94x54 is widened to the aspect of 144x80


def test_before_pasting_a_crop_is_a_plain_call_on_the_cropped_picture(random_pair):
    """
    At the checkpoint's own size, whatever the aspect, and its conditioning is that of the crop: its size, and the corner (0, 0).
    """
    image, mask = photograph(), dilate(disc(100, 70), 31)
    made = generate(edit_of(Crop(padding_mask_crop=8), mask=Mask(kernel_size=31)), image, disc(100, 70), cpu(random_pair))
    assert made.frame is not None
    part, seen = (picture.crop(made.frame.box) for picture in (image, mask))
    width, height = made.frame.size
    expected = plain(INPAINT, random_pair / "base", "euler", image=part, mask_image=seen, width=width, height=height, strength=0.99)
    assert same(expected, made.raw)
    box = made.frame.box
    assert same(
        made.raw.resize(size_of(box), Image.Resampling.LANCZOS).crop((20, 20, 24, 24)),
        made.image.crop((box[0] + 20, box[1] + 20, box[0] + 24, box[1] + 24)),
    )


def test_a_crop_goes_on_to_the_refiner(random_pair, twin_pair):
    """
    Handed over as diffusers does, it is two plain calls on the cropped picture; consistently to the same UNet, one plain call.
    """
    image, mask = photograph(), disc(100, 70)
    box = (100 - 10 - 8, 70 - 10 - 8, 100 + 11 + 8, 70 + 11 + 8)
    part, seen = image.crop(box), mask.crop(box)
    shared = dict(mask_image=seen, width=64, height=64, strength=0.99, num_inference_steps=10)
    latents = plain(INPAINT, random_pair / "base", "euler", image=part, denoising_end=0.6, output_type="latent", **shared)
    scores: dict[str, Any] = dict(aesthetic_score=7.0, negative_aesthetic_score=2.0)
    expected = plain(INPAINT, random_pair / "refiner", "euler", image=latents, denoising_start=0.6, **shared, **scores)
    settings: dict[str, Any] = dict(num_inference_steps=10, high_noise_frac=0.6, refiner=Refiner(**scores))
    crop = Crop(padding_mask_crop=8)
    assert same(expected, generate(edit_of(crop, SQUARE, handover="stock", **settings), image, mask, cpu(random_pair)).raw)
    unsplit = plain(INPAINT, twin_pair / "base", "euler", image=part, **shared)
    assert same(unsplit, generate(edit_of(crop, SQUARE, num_inference_steps=10, high_noise_frac=0.6), image, mask, cpu(twin_pair)).raw)


@pytest.mark.parametrize("feather_px", [0, 6])
def test_outside_the_mask_a_crop_changes_nothing(random_pair, feather_px):
    """
    Every pixel farther from the mask than the feather is the input's, and in the mask all is new; whatever the seed.
    """
    image, mask = photograph(), disc(100, 70)
    white = np.asarray(mask) > 0
    rows, columns = np.nonzero(white)
    near = np.array([[np.hypot(rows - y, columns - x).min() <= feather_px for x in range(200)] for y in range(150)])
    made = [
        generate(edit_of(Crop(padding_mask_crop=0), seed=seed, mask=Mask(feather_px=feather_px)), image, mask, cpu(random_pair)) for seed in (1, 2)
    ]
    for one in made:
        changed = (np.asarray(one.image) != np.asarray(image)).any(axis=2)
        assert not changed[~near].any()
        assert changed[white].mean() > 0.9
        assert changed[near].sum() > changed[white].sum() or not feather_px
    assert not same(made[0].image, made[1].image)


def test_hand_overs_share_the_trajectory_of_a_crop(random_pair):
    """
    Two fractions take the base's steps once; another crop that looks the same takes none, and one that does not takes all.
    """
    tile = Image.fromarray(np.random.RandomState(0).randint(0, 256, (50, 50, 3), np.uint8))
    image = Image.new("RGB", (200, 150))
    for left in range(0, 200, 50):
        for top in range(0, 150, 50):
            image.paste(tile, (left, top))
    checkpoint, shared, crop = cpu(random_pair), TrajectoryCache(), Crop(padding_mask_crop=4)
    edits = [edit_of(crop, num_inference_steps=10, strength=1.0, high_noise_frac=fraction) for fraction in (0.6, 0.8)]
    with calls(checkpoint.base.unet, checkpoint.refiner.unet) as counts:
        first = [generate(edit, image, disc(75, 75), checkpoint, trajectories=shared) for edit in edits]
    assert counts == [8, 4 + 2]
    assert same(first[0].raw, generate(edits[0], image, disc(75, 75), checkpoint).raw)
    with calls(checkpoint.base.unet, checkpoint.refiner.unet) as counts:
        elsewhere = generate(edits[1], image, disc(125, 75), checkpoint, trajectories=shared)
        assert counts == [0, 0]
        generate(edits[1], image, disc(125, 74), checkpoint, trajectories=shared)
        assert counts == [8, 2]
    assert elsewhere.frame != first[1].frame
    assert same(elsewhere.raw, first[1].raw)


@pytest.mark.parametrize(
    ("crop", "said"),
    [
        (Crop(padding_mask_crop=400), "all of the picture"),
        (Crop(padding_mask_crop=30, min_upscale=9.0), "not be seen 9 times as large"),
        (Crop(context_factor=3.0), "context_factor has no effect: only crop.padding_mask_crop crops"),
        (Crop(min_upscale=0.0), "min_upscale has no effect"),
    ],
    ids=str,
)
def test_a_crop_that_makes_no_difference_makes_none(random_pair, crop, said):
    """
    The picture has the bits and the description that it has without one, and it is said.
    """
    image, mask = photograph(), disc(100, 70, 40)
    expected = generate(edit_of(Crop()), image, mask, cpu(random_pair))
    with pytest.warns(CautionWarning, match=said):
        actual = generate(edit_of(crop), image, mask, cpu(random_pair))
    assert same(expected.raw, actual.raw)
    assert same(expected.image, actual.image)
    assert (actual.edit, actual.frame) == (expected.edit, None)


def test_min_upscale_is_kept_where_it_decides(random_pair):
    """
    Where a crop is made anyway it is no part of the picture's description; where it is seen smaller than the whole picture, it is.
    """
    image, mask = photograph(64, 64), disc(32, 32, 28, (64, 64))
    made = generate(edit_of(Crop(padding_mask_crop=3, min_upscale=1.01)), photograph(), disc(100, 70), cpu(random_pair))
    assert made.edit.settings.crop == Crop(padding_mask_crop=3)
    tight = PictureSize(width=64, height=96)
    assert generate(edit_of(Crop(padding_mask_crop=0, min_upscale=0.5), tight), image, mask, cpu(random_pair)).edit.settings.crop.min_upscale in (
        0.5,
        1.0,
    )


@pytest.mark.filterwarnings("ignore:the mask has specks")
def test_specks_do_not_widen_a_crop(random_pair):
    """
    A grey fleck far away leaves the box as it is, and is not repainted; kept, it is in the box.
    """
    mask = disc(60, 70)
    flecked = mask.copy()
    flecked.paste(200, (180, 20, 183, 23))
    clean, dirty = (generate(edit_of(Crop(padding_mask_crop=8)), photograph(), one, cpu(random_pair)) for one in (mask, flecked))
    assert clean.frame is not None
    assert (clean.frame, clean.image.tobytes()) == (dirty.frame, dirty.image.tobytes())
    kept = generate(edit_of(Crop(padding_mask_crop=8), mask=Mask(specks="keep", latent_mask="cover")), photograph(), flecked, cpu(random_pair))
    assert kept.frame is not None
    assert kept.frame.box[2] > 183


def test_a_canvas_can_be_cropped_to_its_new_side(random_pair):
    """
    The strip that is new is painted from what is beside it, and the picture keeps every pixel.
    """
    canvas = Canvas(right_px=16, overlap_px=4)
    edit = edit_of(Crop(padding_mask_crop=20), task="outpaint", mode="canvas", canvas=canvas)
    made = generate(edit, photograph(), None, cpu(random_pair))
    assert made.frame is not None
    assert (made.frame.box[0] > 100, made.frame.box[2]) == (True, 216)
    assert made.image.size == (216, 150)
    assert same(made.image.crop((0, 0, 200, 150)), photograph())


def test_a_crop_below_a_cell_is_refused(random_pair):
    """
    Three pixels are no picture; the error says what would be seen, and what to ask for.
    """
    mask = Image.new("L", (200, 150))
    mask.paste(255, (90, 70, 93, 73))
    edit = edit_of(Crop(padding_mask_crop=0), mask=Mask(specks="keep"))
    with pytest.raises(CropError, match=r"sample 'disc', inpaint: only 3x3 pixels .* give crop\.padding_mask_crop"):
        generate(edit, photograph(), mask, cpu(random_pair))
    assert generate(edit_of(Crop(padding_mask_crop=8), mask=Mask(specks="keep")), photograph(), mask, cpu(random_pair)).frame is not None


def test_a_region_that_the_whole_picture_loses_is_kept_by_a_crop(random_pair):
    """
    What has no latent cell in the whole picture is told of the crop, which has cells for it.
    """
    image, mask = photograph(1200, 900), disc(610, 455, 5, (1200, 900))
    from sdxl_lab.images.masks import MaskError

    with pytest.raises(MaskError, match=r"crop\.padding_mask_crop"):
        generate(edit_of(Crop(), mask=Mask(specks="keep")), image, mask, cpu(random_pair))
    assert generate(edit_of(Crop(padding_mask_crop=16), mask=Mask(specks="keep")), image, mask, cpu(random_pair)).frame is not None


def test_metrics_are_of_what_was_decoded(random_pair):
    """
    Numbers of the decoded picture are those of the crop as a picture of its own; those of the finished one are of the whole, which kept its outside.
    """
    image, mask = photograph(), disc(100, 70)
    made = generate(edit_of(Crop(padding_mask_crop=8)), image, mask, cpu(random_pair))
    assert made.frame is not None
    parts: dict[str, Any] = {name: getattr(made, name).crop(made.frame.box) for name in ("image", "input_image", "mask_image", "seam_image")}
    alone = Generated(edit=made.edit, raw=made.raw, working_size=made.working_size, stretch=1.0, base_steps=1, refiner_steps=0, seconds=0.0, **parts)
    whole, cropped = measure(made), measure(alone)
    raw = [name for name in whole if name.startswith("raw_")]
    assert len(raw) > 4
    assert {name: whole[name] for name in raw} == {name: cropped[name] for name in raw}
    assert whole["raw_change_outside_max"] > 0
    assert whole["change_outside_max"] == 0
    assert whole["sharpness_inside"] == pytest.approx(cropped["sharpness_inside"])
    assert whole["seam_delta_e"] == pytest.approx(cropped["seam_delta_e"], rel=1e-3)


def test_what_is_told_of_the_size_is_the_askers(random_pair):
    """
    The conditioning that is asked for reaches the models as it is.
    """
    told = Conditioning(original_size=(150, 200), crops_coords_top_left=(52, 82))
    image, mask = photograph(), disc(100, 70)
    made = generate(edit_of(Crop(padding_mask_crop=8), SQUARE, told), image, mask, cpu(random_pair))
    assert made.frame is not None
    part, seen = (picture.crop(made.frame.box) for picture in (image, mask))
    call = dict(image=part, mask_image=seen, width=64, height=64, strength=0.99, original_size=(150, 200), crops_coords_top_left=(52, 82))
    assert same(plain(INPAINT, random_pair / "base", "euler", **call), made.raw)
    assert made.edit.seed == SEED

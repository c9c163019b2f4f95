from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from sdxl_lab.datasets.sources import fetch
from sdxl_lab.images import pictures
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.sections import ImageReading
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.datasets import write_dataset
from tests.support.edits import cpu, make_edit
from tests.support.profiles import ADOBE_RGB, DISPLAY_P3, GAMMA_22, SRGB_CURVE, profile


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate
    from sdxl_lab.generation.generate import generate


SRGB = ((0.43606, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71409))
"""Red, green and blue of sRGB as XYZ under D50."""

QUICK = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1, "device": "cpu"}}


def meant(pixels: np.ndarray, primaries: Any, curve: tuple[float, ...]) -> np.ndarray:
    """
    The sRGB levels of colors of another space, by the definitions of both.
    """
    values = pixels / 255
    if len(curve) == 1:
        linear = values ** curve[0]
    else:
        gamma, a, b, c, d = curve
        linear = np.where(values >= d, (a * values + b) ** gamma, c * values)
    light = np.clip(linear @ np.array(primaries) @ np.linalg.inv(np.array(SRGB)), 0, 1)
    return np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> Image.Image:
    """
    A picture written to a file and decoded again.
    """
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return pictures.decode(buffer.getvalue())


@pytest.fixture
def colors() -> Image.Image:
    """Many colors, none of them at the very edge of what sRGB can show."""
    return Image.fromarray(np.random.RandomState(5).randint(40, 200, (32, 48, 3)).astype(np.uint8))


@pytest.mark.parametrize(("primaries", "curve"), [(DISPLAY_P3, SRGB_CURVE), (ADOBE_RGB, GAMMA_22)], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colors_are_what_their_profile_says(colors, primaries, curve, kind):
    """
    A picture with a profile has the sRGB levels that its color space's own definition gives, within rounding; the result has no profile.
    """
    options = {"lossless": True} if kind == "WEBP" else {}
    read = pictures.rgb(encoded(colors, kind, icc_profile=profile(primaries, curve), **options))
    assert np.abs(np.asarray(read).astype(float) - meant(np.asarray(colors), primaries, curve)).max() <= 2
    assert "icc_profile" not in read.info


@pytest.mark.parametrize(
    "content",
    [None, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), profile(SRGB), b"no profile at all", profile()[:100]],
    ids=["none", "sRGB", "sRGB in other words", "junk", "cut off"],
)
def test_numbers_stay_where_a_profile_says_nothing_new(colors, content):
    """
    Without a profile, with sRGB's own or with one that cannot be read, the pixels are the file's, bit for bit.
    """
    image = colors.copy()
    image.info = {"icc_profile": content} if content else {}
    assert np.array_equal(np.asarray(pictures.rgb(image)), np.asarray(colors))
    assert not pictures.facts_of(image, pictures.rgb(image)).readings


def test_ignoring_a_profile_takes_the_numbers_as_they_are(colors):
    """
    `ignore` is what 0.1.0 did.
    """
    image = encoded(colors, icc_profile=profile())
    assert np.array_equal(np.asarray(pictures.rgb(image, color_profile="ignore")), np.asarray(colors))


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "L"])
def test_a_profile_is_read_in_every_mode(colors, mode):
    """
    Alpha and palette hide no profile; one that does not fit the mode changes nothing.
    """
    image = colors.convert("LA" if mode == "LA" else mode)
    flat = np.asarray(image.convert("RGB"))
    image.info["icc_profile"] = profile()
    read = np.asarray(pictures.rgb(image)).astype(float)
    expected = flat if mode in ("L", "LA") else meant(flat, DISPLAY_P3, SRGB_CURVE)
    assert np.abs(read - expected).max() <= 2


def test_transparent_pixels_are_laid_over_what_is_asked():
    """
    The background shows through by the pixel's alpha, in the colors of the profile.
    """
    image = Image.new("RGBA", (4, 4), (100, 150, 50, 0))
    for background, level in (("white", 255), ("gray", 128), ("black", 0)):
        assert pictures.rgb(image, background=background).getpixel((0, 0)) == (level, level, level)
    half = Image.new("RGBA", (4, 4), (100, 150, 50, 128))
    assert pictures.rgb(half, background="black").getpixel((0, 0)) == (50, 75, 25)
    assert pictures.facts_of(image, pictures.rgb(image)).transparent_share == 1.0


@pytest.mark.parametrize(("case", "words"), [("gamma", "its gamma is 1"), ("exif", "its EXIF data names another color space")])
def test_other_signs_of_another_color_space_are_told(colors, case, words):
    """
    A PNG's gamma, and a camera set to Adobe RGB that wrote no profile, are not read; that is known of the picture.
    """
    if case == "gamma":
        chunks = PngImagePlugin.PngInfo()
        chunks.add(b"gAMA", struct.pack(">I", 100000))
        image = encoded(colors, pnginfo=chunks)
    else:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA001] = 0xFFFF
        image = encoded(colors, "JPEG", exif=exif)
    assert pictures.facts_of(image, pictures.rgb(image)).doubt == words
    assert pictures.facts_of(colors, colors).doubt is None


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two scenes; the first as a phone would have written it."""
    folder = write_dataset(tmp_path / "photographs")
    with Image.open(folder / "0.png") as image:
        image.load()
    image.save(folder / "0.png", icc_profile=profile())
    return folder


def test_the_reading_is_written_where_it_matters(photographs, tmp_path):
    """
    The document of a picture with a profile names how it is read; that of a plain one is what 0.1.0 wrote.
    """
    asked = RunSpec.from_parameters(name="colors", dataset=str(photographs), checkpoint="pocket", tasks=["inpaint"], runs_folder=str(tmp_path))
    edits = json.loads(resolve(asked).spec.to_json())["edits"]
    assert [edit["settings"].get("image") for edit in edits] == [{"color_profile": "srgb"}, None]


def test_nothing_changes_outside_the_mask_on_a_screen(photographs, random_pair, tmp_path):
    """
    A run keeps the picture's own colors outside the mask: the result, which is sRGB, has there what the input's profile means.
    """
    asked = RunSpec.from_parameters(
        name="colors",
        dataset=str(photographs),
        checkpoint=str(random_pair),
        tasks=["inpaint"],
        samples=["scene-0"],
        tracking="off",
        runs_folder=str(tmp_path / "runs"),
        hyperparameters=QUICK,
    )
    [picture] = run(resolve(asked))
    with Image.open(photographs / "0.png") as original, Image.open(picture.image) as made, Image.open(picture.mask_image) as mask:
        outside = np.asarray(mask) == 0
        expected = meant(np.asarray(original), DISPLAY_P3, SRGB_CURVE)
        assert np.abs(np.asarray(made).astype(float) - expected)[outside].max() <= 2
        assert "icc_profile" not in made.info
    with Image.open(picture.input_image) as kept:
        assert "icc_profile" not in kept.info


def test_by_code_a_picture_is_read_by_its_profile_too(random_pair, scene):
    """
    `generate` takes what Pillow opened, with the profile that came along, and the edit says how it is read.
    """
    image, mask = scene
    phone = image.copy()
    phone.info["icc_profile"] = profile()
    edit = make_edit()
    read = generate(edit, phone, mask, cpu(random_pair)).input_image
    assert np.array_equal(np.asarray(read), np.asarray(pictures.rgb(phone)))
    ignoring = edit.model_copy(update={"settings": edit.settings.model_copy(update={"image": ImageReading(color_profile="ignore")})})
    assert np.array_equal(np.asarray(generate(ignoring, phone, mask, cpu(random_pair)).input_image), np.asarray(image))


def test_a_dataset_knows_the_profiles_of_its_pictures(photographs):
    """
    What `fetch` checks it also tells: which picture has a profile, and what that calls itself.
    """
    assert [sample.facts.color_profile for sample in fetch(photographs).samples] == ["test", None]


def test_a_picture_is_read_in_one_way_for_both_tasks():
    """
    A sample's input is kept once, so how it is read cannot differ by task; the error says where to move it.
    """
    given = {"name": "x", "dataset": "pocket-scenes", "checkpoint": "pocket"}
    with pytest.raises(SpecError, match=r"inpaint\.image: image cannot differ by task.* move it to hyperparameters\.image"):
        RunSpec.from_parameters(**given, hyperparameters={"inpaint": {"image": {"background": "gray"}}})

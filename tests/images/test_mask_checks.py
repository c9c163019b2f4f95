from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.samples import ArtifactError
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.images import mask_checks
from sdxl_lab.images.masks import MaskError


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global cv2, skimage
    import cv2
    import skimage
    import skimage.data


SIZE = (384, 256)
WHITE, BLACK = Image.new("L", SIZE, 255), Image.new("L", SIZE)


def region() -> Image.Image:
    """Draw an ellipse and a triangle, white on black."""
    mask = Image.new("L", SIZE)
    pen = ImageDraw.Draw(mask)
    pen.ellipse((120, 60, 260, 200), fill=255)
    pen.polygon([(20, 20), (110, 120), (30, 180)], fill=255)
    return mask


def strokes() -> Image.Image:
    """Draw thin soft strokes, as a brush does."""
    mask, draws = Image.new("L", SIZE), np.random.default_rng(0)
    for _ in range(40):
        x, y, dx, dy = (int(value) for value in draws.integers(0, 256, 4))
        ImageDraw.Draw(mask).line((x, y, x + dx - 128, y + dy - 128), fill=255, width=3)
    return mask.filter(ImageFilter.GaussianBlur(0.7))


def blurred(kernel_size: int) -> Image.Image:
    """Blur the region by a Gaussian."""
    return Image.fromarray(cv2.GaussianBlur(np.asarray(region()), (kernel_size, kernel_size), 0))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Compress an image and read it again."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return Image.open(content)


def noisy(mask: Image.Image, levels: int) -> Image.Image:
    """Add noise, as a video's compression or a scanner does."""
    noise = np.random.default_rng(0).integers(-levels, levels + 1, (mask.height, mask.width))
    return Image.fromarray(np.clip(np.asarray(mask).astype(int) + noise, 0, 255).astype(np.uint8))


def scaled(mask: Image.Image, most: int) -> Image.Image:
    """Give a mask another value for white."""
    return Image.fromarray((np.asarray(mask).astype(int) * most // 255).astype(np.uint8))


def levels(mask: Image.Image, black: int, white: int) -> Image.Image:
    """Give a mask other values for black and white."""
    return Image.fromarray((black + np.asarray(mask).astype(int) * (white - black) // 255).astype(np.uint8))


def blobs() -> Image.Image:
    """Draw regions all over a picture, half of it white."""
    return Image.fromarray(skimage.data.binary_blobs(512, rng=0)).convert("L").resize(SIZE)


def photograph(name: str = "astronaut.png") -> Image.Image:
    """Read one of the pictures that scikit-image brings."""
    return Image.open(Path(str(skimage.__file__)).parent / "data" / name).convert("RGB").resize(SIZE)


def lay_out(folder: Path, mask: Image.Image, image: Image.Image | None = None) -> Path:
    """Write a dataset of one picture, a photograph unless told, and its mask."""
    folder.mkdir(parents=True)
    (image or photograph()).save(folder / "image.png")
    mask.save(folder / "mask.tif" if mask.mode == "CMYK" else folder / "mask.png")
    name = "mask.tif" if mask.mode == "CMYK" else "mask.png"
    sample = {"name": "octopus", "image": "image.png", "mask": name, "inpaint": {"prompt": "a red octopus", "seed": 1}}
    (folder / "metadata.json").write_text(json.dumps({"samples": [sample]}))
    return folder


def fetched(folder: Path, mask: Image.Image, image: Image.Image | None = None) -> Dataset:
    """Lay out a dataset and fetch it."""
    return fetch(lay_out(folder, mask, image))


def made_by(line: str, path: Path) -> Image.Image:
    """Do what a message says: the line of Pillow in it."""
    return eval(line, {"Image": Image, "ImageOps": ImageOps, "PATH": path})


def white(mask: Image.Image) -> np.ndarray:
    """Which pixels of a mode "L" mask are repainted."""
    assert mask.mode == "L"
    return np.asarray(mask) >= 128


MASKS: dict[str, Callable[[], Image.Image]] = {
    "black and white": region,
    "antialiased": lambda: region().resize((1536, 1024)).resize(SIZE, Image.Resampling.LANCZOS),
    "strokes": strokes,
    "strokes, JPEG 60": lambda: jpeg(strokes(), 60),
    "JPEG 20": lambda: jpeg(region(), 20),
    "colors, JPEG 60": lambda: jpeg(region().convert("RGB"), 60),
    "feathered by 30": lambda: blurred(61),
    "feathered by 75": lambda: blurred(151),
    "feathered by 75, JPEG 60": lambda: jpeg(blurred(151), 60),
    "feathered by 75, JPEG 30, of colors": lambda: jpeg(blurred(151).convert("RGB"), 30),
    "feathered over half of it, JPEG 60": lambda: jpeg(region().filter(ImageFilter.GaussianBlur(60)), 60),
    "feathered over half of it, noisy": lambda: noisy(region().filter(ImageFilter.GaussianBlur(40)), 4),
    "a gradient, JPEG 30": lambda: jpeg(Image.linear_gradient("L").resize(SIZE), 30),
    "palette": lambda: region().convert("P"),
    "one bit": lambda: region().convert("1"),
    "sixteen bits": lambda: Image.fromarray(np.asarray(region()).astype(np.uint16) * 257),
    "gray for white": lambda: scaled(region(), 200),
    "gray for white, most of it": lambda: jpeg(scaled(ImageOps.invert(region()), 200), 60),
    "two grays": lambda: levels(region(), 60, 190),
    "two grays, JPEG 50": lambda: jpeg(levels(blobs(), 60, 190), 50),
    "blobs, blurred": lambda: blobs().filter(ImageFilter.GaussianBlur(10)),
    "blobs in two grays, blurred, JPEG 50": lambda: jpeg(levels(blobs().filter(ImageFilter.GaussianBlur(20)), 60, 190), 50),
    "ivory": lambda: ImageOps.colorize(region(), "black", "#fff4e0"),
    "yellow on black": lambda: Image.merge("RGB", (region(), region(), BLACK)),
    "ink": lambda: region().convert("RGB").convert("CMYK"),
    "opaque alpha": lambda: region().convert("RGBA"),
    "silhouette": lambda: ImageOps.invert(Image.open(Path(str(skimage.__file__)).parent / "data/horse.png").convert("L").resize(SIZE)),
}


@pytest.mark.parametrize("case", MASKS)
def test_masks_with_soft_edges_and_of_any_mode_pass(tmp_path, case):
    """
    A mask passes however it was blurred, compressed or saved, and its share is the white share at half intensity.
    """
    made = MASKS[case]()
    (sample,) = fetched(tmp_path / "d", made).samples
    mask = sample.mask()
    assert mask is not None
    assert sample.mask_check is not None
    assert sample.mask_check.share == pytest.approx(white(mask).mean())
    assert 0.005 < sample.mask_check.share < 0.9


PHOTOGRAPHS = (
    "astronaut.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "moon.png",
    "page.png",
    "rocket.jpg",
    "retina.jpg",
)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("saved", [lambda image: image, lambda image: image.convert("L"), lambda image: jpeg(image.convert("L"), 40)])
def test_photographs_are_no_masks(name, saved):
    """
    A photograph is refused as a mask, in its colors, in grays and compressed.
    """
    with pytest.raises(MaskError, match=r"is a (color picture|photograph in grays).*white"):
        mask_checks.check(saved(photograph(name)))


def test_a_drawing_in_several_colors_is_no_mask():
    """
    Red on white, and regions in red and green, are refused: half intensity would choose between colors.
    """
    inverted = ImageOps.invert(region())
    for drawing in (Image.merge("RGB", (WHITE, inverted, inverted)), Image.merge("RGB", (region(), strokes(), BLACK))):
        with pytest.raises(MaskError, match="is a color picture"):
            mask_checks.check(drawing)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("mask", [region, strokes, lambda: jpeg(region(), 60), lambda: region().convert("1")])
def test_a_swapped_image_and_mask_are_found_at_fetch(tmp_path, mode, mask):
    """
    A black and white image with a picture for its mask is one error that names the sample and the exchange.
    """
    with pytest.raises(ArtifactError, match=r"samples\[0\] 'octopus': .*mask.png is a .*black and white only: .*exchange \"image\" and \"mask\""):
        fetched(tmp_path / "d", photograph().convert(mode), mask())


def test_a_line_drawing_with_its_mask_is_not_swapped(tmp_path):
    """
    An image of black and white only is fine where its mask is one.
    """
    assert fetched(tmp_path / "d", region(), ImageOps.invert(strokes())).samples[0].mask() == region()


def test_one_file_is_not_both_image_and_mask(tmp_path):
    """
    A mask with the bytes of its image is refused, even where it could be a mask.
    """
    with pytest.raises(ArtifactError, match="are the same picture"):
        fetched(tmp_path / "d", region(), region())


LINES = re.compile(r'(?:ImageOps\.autocontrast\()?Image\.open\(PATH\)\.convert\("[A-Z]+"\)(?:\)|\.getchannel\("A"\)(?:\.point\([^)]*\))?)')

HIDDEN: dict[str, tuple[Callable[[], Image.Image], str, int]] = {
    "red on black": (lambda: Image.merge("RGB", (region(), BLACK, BLACK)), "intensity of 76 of 255", 0),
    "red on black, JPEG": (lambda: jpeg(Image.merge("RGB", (region(), BLACK, BLACK)), 90), "below half", 0),
    "classes 0 and 1": (lambda: scaled(region(), 1), "brightest value is 1 of 255", 0),
    "classes in a palette": (lambda: Image.merge("RGB", (scaled(region(), 128), BLACK, BLACK)).convert("P"), "below half", 0),
    "red strokes on nothing": (lambda: Image.merge("RGBA", (WHITE, BLACK, BLACK, region())), "at most 76 of 255", 0),
    "black with a hole": (lambda: Image.merge("RGBA", (BLACK, BLACK, BLACK, ImageOps.invert(region()))), "is transparent, which counts as black", 0),
    "black strokes on nothing": (lambda: Image.merge("LA", (BLACK, region())), "to repaint what is painted", 1),
    "picture with a hole": (
        lambda: Image.merge("RGBA", (*photograph().split(), ImageOps.invert(region()))),
        "a color picture of which .* transparent",
        0,
    ),
    "gray picture with a hole": (
        lambda: Image.merge("LA", (photograph().convert("L"), ImageOps.invert(region()))),
        "photograph in grays of which",
        0,
    ),
    "object cut out": (lambda: Image.merge("RGBA", (*photograph().split(), region())), "object that was cut out", 1),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_the_line_that_a_refusal_names_makes_the_mask(tmp_path, case):
    """
    Where a mask is hidden in a file, the error says what was found, and its line of Pillow gives the mask that was meant.
    """
    made, said, which = HIDDEN[case]
    folder = lay_out(tmp_path / "d", made())
    with pytest.raises(ArtifactError, match=said) as refused:
        fetch(folder)
    lines = LINES.findall(str(refused.value))
    assert (white(made_by(lines[which], folder / "mask.png")) == white(region())).mean() > 0.99


ALPHAS: dict[str, Callable[[], Image.Image]] = {
    "white strokes on nothing": lambda: Image.merge("RGBA", (WHITE, WHITE, WHITE, region())),
    "gray channel": lambda: Image.merge("LA", (WHITE, region())),
    "white with soft edges": lambda: Image.merge("RGBA", (WHITE, WHITE, WHITE, blurred(31))),
}


@pytest.mark.parametrize("case", ALPHAS)
def test_an_alpha_mask_says_its_convention_and_the_inversion(tmp_path, case):
    """
    White on transparent repaints the white; the note names the tools that mean the opposite, and its line gives exactly that.
    """
    folder = lay_out(tmp_path / "d", ALPHAS[case]())
    (sample,) = fetch(folder).samples
    mask, found = sample.mask(), sample.mask_check
    assert mask is not None
    assert found is not None
    (note,) = found.notes
    assert "ComfyUI and DALL-E" in note
    (line,) = LINES.findall(note)
    assert np.array_equal(white(made_by(line, folder / "mask.png")), ~white(mask))


def speck() -> Image.Image:
    """Draw ten white pixels."""
    mask = Image.new("L", SIZE)
    mask.paste(255, (9, 9, 14, 11))
    return mask


@pytest.mark.parametrize(
    ("mask", "said"),
    [(speck, "less than 0.1%"), (lambda: ImageOps.invert(speck()), "nearly all"), (lambda: blurred(151), "cut at half intensity")],
)
def test_extremes_are_said_and_pass(mask, said):
    """
    A mask of nearly nothing, of nearly all or with wide soft edges is taken, with one note.
    """
    (note,) = mask_checks.check(mask()).notes
    assert said in note


@pytest.mark.parametrize("name", ["pocket-scenes", "pocket-scenes-2", "pocket-forty"])
def test_nothing_is_to_be_said_of_the_built_in_masks(name):
    """
    The datasets that come with the lab have no note.
    """
    assert all(sample.mask_check is not None and not sample.mask_check.notes for sample in fetch(name).samples)


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.0, "0%"), (1.0, "100%"), (0.14, "14%"), (0.0042, "0.4%"), (0.00031, "0.03%"), (0.9996, "99.96%"), (0.5, "50%"), (0.99, "99%")],
)
def test_a_share_is_written_to_its_first_digit(share, written):
    """
    A share is a whole percentage, or as many decimals as it takes to be neither nothing nor all.
    """
    assert mask_checks.percent(share) == written

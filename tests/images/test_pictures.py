import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from sdxl_lab.images import pictures

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def through_file(image: Image.Image, suffix: str = "PNG", **options: object) -> Image.Image:
    """Write a picture to bytes and decode them."""
    file = io.BytesIO()
    image.save(file, format=suffix, **options)  # pyright: ignore
    return pictures.decode(file.getvalue())


@pytest.mark.parametrize("suffix", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(suffix):
    """
    Every 8-bit intensity written with 16 bits comes back as itself, as picture and as mask.
    """
    image = through_file(Image.fromarray(RAMP.astype(np.uint16) * 257), suffix)
    assert np.array_equal(np.asarray(pictures.grayscale(image)), RAMP)
    assert np.array_equal(np.asarray(pictures.rgb(image)), np.dstack([RAMP] * 3))


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "1"])
def test_opaque_pictures_of_any_mode_keep_their_colours(mode):
    """
    A black and white picture looks the same through every mode a file can have.
    """
    plain = Image.fromarray((RAMP > 99).astype(np.uint8) * 255)
    image = through_file(plain.convert(mode))
    assert image.mode == mode
    assert pictures.rgb(image) == plain.convert("RGB")
    assert pictures.grayscale(image) == plain


def test_transparency_is_white_in_pictures_and_black_in_masks():
    """
    What shows through is white paper in a picture, and not repainted in a mask, also for a transparent palette entry.
    """
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.info["transparency"] = 1
    for transparent in (image, through_file(palette, transparency=1)):
        assert pictures.rgb(transparent).getpixel((0, 0)) == (255, 255, 255)
        assert pictures.grayscale(transparent).getpixel((0, 0)) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_upright(orientation):
    """
    Whatever the EXIF orientation, the picture is seen as a viewer would turn it.
    """
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.dstack([RAMP[:8]] * 3))
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
    expected = stored.transpose(Image.Transpose[turns[orientation]]) if orientation in turns else stored
    upright = through_file(stored, exif=exif)
    assert upright == expected or upright.tobytes() == expected.tobytes()
    assert ImageOps.exif_transpose(upright).size == expected.size


def test_values_without_a_range_are_refused():
    """
    Floating-point pictures and integers beyond 16 bits raise instead of being clipped.
    """
    for image in (Image.new("F", (2, 2), 0.5), Image.new("I", (2, 2), 70_000), Image.new("I", (2, 2), -1)):
        with pytest.raises(pictures.PictureError, match="8 or 16 bits"):
            pictures.rgb(image)

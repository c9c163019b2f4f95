"""Pictures and masks as code gives them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from sdxl_lab.images import given, pictures
from sdxl_lab.images.masks import binarize
from sdxl_lab.images.pictures import PictureError
from sdxl_lab.images.png import png
from tests.support.profiles import profile

NOISE = np.random.default_rng(5).integers(0, 256, (20, 30, 4)).astype(np.uint8)


def as_file(image: Image.Image, kind: str = "PNG", **details: Any) -> bytes:
    """A picture's file, by Pillow alone."""
    file = io.BytesIO()
    image.save(file, kind, **details)
    return file.getvalue()


def sources() -> dict[str, Image.Image]:
    """Pictures in each mode that files bring, and those that code makes."""
    layers = Image.fromarray(NOISE)
    plain = layers.convert("RGB")
    held = {mode: layers.convert(mode) for mode in ("1", "L", "LA", "RGB", "RGBA", "RGBa")}
    others = {mode: plain.convert(mode) for mode in ("CMYK", "YCbCr", "HSV", "RGBX")}
    deep = NOISE[..., 0].astype(np.int32) * 257
    keyed = {mode: held[mode].copy() for mode in ("L", "RGB")}
    for image in keyed.values():
        image.info["transparency"] = image.getpixel((3, 4))
    palette = plain.quantize(9)
    cut = palette.copy()
    cut.info["transparency"] = 4
    made = {"P": palette, "P keyed": cut, "PA": palette.convert("PA"), "I": Image.fromarray(deep), "I;16": Image.fromarray(deep.astype(np.uint16))}
    return held | others | made | {f"{mode} keyed": image for mode, image in keyed.items()}


@pytest.mark.parametrize("is_profiled", [False, True])
@pytest.mark.parametrize("name", sources())
def test_what_is_kept_means_what_was_given(name, is_profiled):
    """
    A PNG of what was taken reads, by any setting, as what was given: its depth, alpha and color profile are there, or are settled in its pixels.
    """
    image = sources()[name]
    if is_profiled:
        image.info["icc_profile"] = profile()
    for reading in ({}, {"color_profile": "ignore", "background": "black"}):
        kept = pictures.decode(png(given.picture(image, **reading)))
        assert pictures.rgb(kept, **reading).tobytes() == pictures.rgb(image, **reading).tobytes()
    assert binarize(pictures.decode(png(given.mask(image)))).tobytes() == binarize(image).tobytes()


@pytest.mark.parametrize("how", ["path", "text", "image", "array"])
def test_a_picture_is_the_same_however_it_is_given(how, tmp_path):
    """
    A path, its text, an open picture and an array of one picture are taken alike.
    """
    (tmp_path / "a.png").write_bytes(as_file(Image.fromarray(NOISE)))
    values: dict[str, Any] = {"path": tmp_path / "a.png", "text": str(tmp_path / "a.png"), "array": NOISE[::-1][::-1]}
    with Image.open(tmp_path / "a.png") as opened:
        assert np.array_equal(np.asarray(given.picture(values.get(how, opened))), NOISE)


def test_a_picture_is_taken_upright_and_without_where_it_was_taken():
    """
    EXIF's orientation is carried out, also on a picture that Pillow opened; nothing of its EXIF data, comments and paths is left in the PNG.
    """
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.ImageDescription] = "/home/somebody/photo"
    content = as_file(Image.fromarray(NOISE[..., :3]), "TIFF", exif=exif)
    with Image.open(io.BytesIO(content)) as opened:
        taken = given.picture(opened)
    assert np.array_equal(np.asarray(taken), np.rot90(NOISE[..., :3], -1))
    assert b"somebody" in content
    assert b"somebody" not in png(taken)
    assert taken.info == {}


def test_floats_are_rounded_to_the_nearest_level():
    """
    Floats from 0 to 1 become 0 to 255, of any precision, for pictures and masks.
    """
    values = np.array([[0, 0.5 / 255, 0.51 / 255, 1 / 3, 0.999, 1]])
    for kind in (np.float16, np.float32, np.float64):
        assert np.asarray(given.picture(values.astype(kind)))[0].tolist()[2:] == [1, 85, 255, 255]
    assert np.asarray(given.mask(values > 0.3)).tolist() == [[0, 0, 0, 255, 255, 255]]
    assert np.asarray(binarize(given.mask(np.array([[0.49, 0.5, 0.51]])))).tolist() == [[0, 255, 255]]


class Tensor:
    """As far from an array as torch's."""

    __module__ = "torch"


PICTURE = np.zeros((8, 8, 3))
BAD: list[tuple[Any, str]] = [
    (None, "got None; give a PIL image, a numpy array .*, or the path of a picture"),
    ([[0, 1]], r"got a list; .*numpy.asarray"),
    (b"abc", "got a bytes; give"),
    (7, "got a int; give"),
    (Tensor(), r"got a torch.Tensor; .*permute\(1, 2, 0\)"),
    ("nowhere.png", "got 'nowhere.png', and there is no such file"),
    ("https://example.org/a.png", "there is no such file"),
    (".", "there is no file but a folder"),
    ("a\0b", "there is no such file"),
    ("x" * 5000, r"got 'x{200}\.\.\.'"),
    (Path(__file__), "test_given.py: not a picture of a known format"),
    (np.zeros((0, 8, 3), np.uint8), r"without a pixel \(0x8x3\)"),
    (np.zeros((1, 8, 8, 3), np.uint8), r"shape \(1, 8, 8, 3\); allowed are .*: give array\[0\]"),
    (np.zeros((3, 8, 8), np.uint8), r"give array.transpose\(1, 2, 0\)"),
    (np.zeros((8, 8, 1), np.uint8), r"give array\[..., 0\]"),
    (np.zeros((8, 8, 2), np.uint8), r"shape \(8, 8, 2\)"),
    (np.zeros(8, np.uint8), r"shape \(8,\)"),
    (np.zeros((8, 8), np.int64), r"got an array of int64; .*astype\(numpy.uint8\)"),
    (np.zeros((8, 8), np.complex64), "got an array of complex64"),
    (np.zeros((8, 8), object), "got an array of object"),
    (PICTURE + np.nan, "NaN or infinity"),
    (PICTURE + np.inf, "NaN or infinity"),
    (PICTURE + 255, "floats from 255 to 255; allowed are floats from 0 to 1: divide by 255"),
    (PICTURE - 0.5, r"give \(array \+ 1\) / 2"),
    (PICTURE + 1e6, "floats from 1e.06 to 1e.06"),
    (Image.new("F", (4, 4)), "floating point"),
    (Image.fromarray(np.full((4, 4), 70000, np.int32)), "values run from 70000 to 70000"),
    (Image.new("RGB", (0, 4)), "a picture without a pixel"),
]


@pytest.mark.parametrize(("value", "said"), BAD, ids=[said[:30] for _, said in BAD])
def test_what_is_no_picture_is_named_with_what_to_do(value, said):
    """
    Each value that cannot be taken is one error, which says what was got and what is allowed, for pictures and masks.
    """
    for take in (given.picture, given.mask):
        with pytest.raises(PictureError, match=said):
            take(value)


def test_an_array_of_bool_is_a_mask_alone():
    """
    True and False are no colors, and 0 and 1 of uint8 are no black and white: both errors say what is meant.
    """
    white = np.ones((4, 4), bool)
    assert np.asarray(given.mask(white)).min() == 255
    with pytest.raises(PictureError, match="array of bool, which is a mask"):
        given.picture(white)
    with pytest.raises(PictureError, match=r"0 and 1 alone.*astype\(bool\)"):
        given.mask(white.astype(np.uint8))


def test_a_file_that_was_closed_or_cut_off_is_named(tmp_path):
    """
    A picture whose pixels were never read before its file went, and half a file.
    """
    (tmp_path / "a.png").write_bytes(as_file(Image.fromarray(NOISE)))
    with Image.open(tmp_path / "a.png") as opened:
        pass
    with pytest.raises(PictureError, match="the PIL image can't be read"):
        given.picture(opened)
    (tmp_path / "a.png").write_bytes(as_file(Image.fromarray(NOISE))[:900])
    with pytest.raises(PictureError, match=r"a.png: the picture is cut off or damaged"):
        given.picture(tmp_path / "a.png")


def test_a_picture_that_is_too_large_to_be_read_again_is_refused(monkeypatch):
    """
    Pillow's limit holds for what code gives too.
    """
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(PictureError, match="more than 500 pixels"):
        given.picture(NOISE)

"""Pictures and masks as code gives them, a PIL image, an array or a path, brought to what a PNG can hold without another meaning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from sdxl_lab.images import pictures
from sdxl_lab.images.pictures import Background, ColorProfile, PictureError

ALLOWED = "a PIL image, a numpy array (height, width[, 3 or 4]) of uint8 or of floats from 0 to 1, or the path of a picture"

HELD = ("1", "L", "LA", "P", "RGB", "RGBA")
"""Modes that a PNG holds as they are."""

KEPT = ("icc_profile", "transparency")
"""What says how a picture's numbers are read; anything else that its file said, such as where it was taken, is not kept."""

ARRAYS = (".npy", ".npz")

LONGEST_SHOWN = 200
"""Characters of a path in a message: whatever is a text may have been given as one."""

_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}


def picture(given: Any, *, color_profile: ColorProfile = "srgb", background: Background = "white") -> Image.Image:
    """Take a picture as code gives it.

    Args:
        given: A PIL image, a numpy array or a path.
        color_profile: As in `pictures.rgb`, for a picture in a mode that a PNG cannot hold, such as CMYK; likewise `background`.
        background: What transparent pixels are laid over.

    Returns:
        A new picture, upright, in a mode that a PNG holds, with its alpha and its color profile, and nothing else that its file said.

    Raises:
        PictureError: It is none of these, or cannot be read. The message goes on after what it is for.
    """
    _refuse_bool(given)
    image = _taken(given)
    _check(image)
    if image.mode in HELD:
        return _bare(image)
    if image.mode in pictures.SIXTEEN_BIT:
        return _bare(_sixteen_bit(image), image)
    if image.mode in _PREMULTIPLIED:
        return _bare(image.convert(_PREMULTIPLIED[image.mode]), image)
    return pictures.rgb(image, color_profile=color_profile, background=background)


def mask(given: Any) -> Image.Image:
    """Take a mask as code gives it.

    Args:
        given: As for `picture`; an array may be of bool too, True for white.

    Returns:
        A new picture, upright, in a mode that a PNG holds.

    Raises:
        PictureError: It is none of these, or cannot be read. The message goes on after what it is for.
    """
    image = _taken(given)
    _refuse_labels(given)
    _check(image)
    return _bare(image) if image.mode in HELD else pictures.grayscale(image)


def _taken(given: Any) -> Image.Image:
    if isinstance(given, Image.Image):
        return _upright(given)
    if isinstance(given, np.ndarray):
        return _of_array(given)
    if isinstance(given, str | os.PathLike):
        return _read(Path(given))
    raise PictureError(f"got {_named(given)}; give {ALLOWED}{_advice(given)}")


def _upright(image: Image.Image) -> Image.Image:
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except (*pictures.UNREADABLE, AssertionError) as error:  # Pillow asserts that its file is open
        raise PictureError(
            f"the PIL image can't be read ({str(error) or 'its file is closed'}); open it again, and use it before its file is closed"
        ) from None


def _read(path: Path) -> Image.Image:
    try:
        path = path.expanduser()
        if not path.is_file():
            raise PictureError(f"got {_short(path)}, and there is {'no file but a folder' if path.is_dir() else 'no such file'}; give {ALLOWED}")
        if path.suffix.casefold() in ARRAYS:
            raise PictureError(f"got {_short(path)}, the file of an array; give the array, numpy.load(...), or save it as PNG")
        return pictures.decode(path.read_bytes())
    except PictureError as error:
        raise error if str(error).startswith("got ") else PictureError(f"{path}: {error}") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise PictureError(f"got {_short(path)}, which can't be read ({getattr(error, 'strerror', None) or error}); give {ALLOWED}") from None


def _short(path: Path) -> str:
    text = str(path)
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...")


def _of_array(array: np.ndarray) -> Image.Image:
    shape = "x".join(map(str, array.shape))
    if not array.size:
        raise PictureError(f"got an array without a pixel ({shape}); give {ALLOWED}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PictureError(
            f"got an array of shape {array.shape}; allowed are (height, width), (height, width, 3) and (height, width, 4){_turned(array)}"
        )
    if array.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(array))
    if array.dtype == bool and array.ndim == 2:
        return Image.fromarray(array.astype(np.uint8) * 255)
    if not np.issubdtype(array.dtype, np.floating):
        raise PictureError(f"got an array of {array.dtype}; allowed are uint8, from 0 to 255, and floats from 0 to 1: array.astype(numpy.uint8)")
    return Image.fromarray(_of_floats(array))


def _of_floats(array: np.ndarray) -> np.ndarray:
    if not np.isfinite(array).all():
        raise PictureError("got an array with NaN or infinity; allowed are floats from 0 to 1: look where they come from")
    lowest, highest = float(array.min()), float(array.max())
    if lowest >= 0 and highest <= 1:
        return np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    if lowest >= 0 and highest <= 255:
        advice = "divide by 255, or give array.round().astype(numpy.uint8)"
    elif lowest >= -1 and highest <= 1:
        advice = "give (array + 1) / 2"
    else:
        advice = "bring them there"
    raise PictureError(f"got floats from {lowest:g} to {highest:g}; allowed are floats from 0 to 1: {advice}")


def _turned(array: np.ndarray) -> str:
    """What an array of another shape was probably meant to be."""
    if array.ndim == 4 and len(array) == 1:
        return ": give array[0]"
    if array.ndim == 3 and array.shape[2] == 1:
        return ": give array[..., 0]"
    if array.ndim == 3 and array.shape[0] in (3, 4):
        return ": give array.transpose(1, 2, 0)"
    return ""


def _refuse_bool(given: Any) -> None:
    if isinstance(given, np.ndarray) and given.dtype == bool:
        raise PictureError("got an array of bool, which is a mask; give uint8 or floats from 0 to 1")


def _refuse_labels(given: Any) -> None:
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == 2 and given.max() == 1:
        raise PictureError("got an array of uint8 with 0 and 1 alone, and white is 255; give array.astype(bool)")


def _check(image: Image.Image) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit and image.width * image.height > limit:
        raise PictureError(f"the picture has more than {limit:,} pixels, the most that is read; scale it down first")
    if not image.width * image.height:
        raise PictureError("got a picture without a pixel; give another one")


def _sixteen_bit(image: Image.Image) -> Image.Image:
    pictures.rgb(image, color_profile="ignore")  # which refuses values that do not fit
    return Image.fromarray(np.asarray(image).astype(np.uint16))


def _bare(image: Image.Image, original: Image.Image | None = None) -> Image.Image:
    """A copy that says of itself only how its numbers are read."""
    copy, said = image.copy(), (original or image).info
    copy.info = {key: said[key] for key in KEPT if said.get(key) is not None}
    return copy


def _named(given: Any) -> str:
    if given is None:
        return "None"
    module = type(given).__module__.partition(".")[0]
    return f"a {module}.{type(given).__name__}" if module != "builtins" else f"a {type(given).__name__}"


def _advice(given: Any) -> str:
    if type(given).__module__.partition(".")[0] == "torch":
        return ": tensor.permute(1, 2, 0).cpu().numpy() for one of (channels, height, width)"
    return ": numpy.asarray(...) makes an array of a list" if isinstance(given, list | tuple) else ""

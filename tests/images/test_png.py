from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.images.png import PngError, digest_of_pixels, png, text_in

TEXTS = {"other": "first", "sdxl_lab": '{"a": "é"}', "words": "漢字", "parameters": "last\nline"}


@pytest.fixture
def image() -> Image.Image:
    """A picture of noise."""
    return Image.fromarray(np.random.RandomState(0).randint(0, 256, (5, 7, 3)).astype(np.uint8))


def test_a_file_says_what_was_written_into_it(image, tmp_path):
    """
    Pillow reads every text and every pixel of the file; each text that is Latin-1 is found by its name, and no other.
    """
    path = tmp_path / "said.png"
    path.write_bytes(png(image, TEXTS))
    with Image.open(path) as read:
        assert read.info == TEXTS
        assert np.array_equal(np.asarray(read), np.asarray(image))
    found = {name: text_in(path, name, most_bytes=100) for name in (*TEXTS, "sdxl", "absent")}
    assert found == {name: text.encode("latin-1") for name, text in TEXTS.items() if name != "words"} | dict.fromkeys(("words", "sdxl", "absent"))


def test_a_text_that_cannot_be_trusted_is_refused(image, tmp_path):
    """
    A text longer than allowed, one with another checksum, and a file that is no PNG are errors.
    """
    path, content = tmp_path / "said.png", png(image, TEXTS)
    changed = content.replace(b'"a"', b'"b"')
    for written, most, message in ((content, 9, "of 19 bytes; at most 9"), (changed, 99, "damaged"), (b"GIF", 99, "not a PNG")):
        path.write_bytes(written)
        with pytest.raises(PngError, match=message):
            text_in(path, "sdxl_lab", most_bytes=most)


def test_pixels_are_known_by_their_red_green_and_blue(image):
    """
    The digest is of the RGB bytes row by row, whatever mode and file hold them.
    """
    expected = hashlib.sha256(np.asarray(image).tobytes()).hexdigest()
    assert digest_of_pixels(image) == digest_of_pixels(image.convert("RGBA")) == expected


def test_files_that_are_named_by_their_bytes_stay_what_they_were(image):
    """
    With a level that is named, a picture is the file that Pillow makes at that level; without one it holds the same pixels.
    """
    for level in (1, 6):
        expected = io.BytesIO()
        image.save(expected, "PNG", compress_level=level)
        assert png(image, compress_level=level) == expected.getvalue()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), np.asarray(image))

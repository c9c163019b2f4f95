"""Files of a dataset that cannot be used: damaged, of other kinds, of other sizes, or elsewhere."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sdxl_lab.datasets.metadata import ArtifactError
from sdxl_lab.datasets.sources import fetch
from tests.support.smallest_dataset import draw, lay_out


def _break_json(folder: Path) -> None:
    (folder / "metadata.json").write_text('{"samples": [')


def _nest_json(folder: Path) -> None:
    (folder / "metadata.json").write_text("[" * 200_000)


def _repeat_a_field(folder: Path) -> None:
    (folder / "metadata.json").write_text('{"samples": [], "samples": []}')


def _write_latin_1(folder: Path) -> None:
    (folder / "metadata.json").write_bytes(b'{"samples": "\xe9"}')


def _remove_metadata(folder: Path) -> None:
    (folder / "metadata.json").unlink()


def _cut_off_the_picture(folder: Path) -> None:
    path = folder / "images/octopus.png"
    path.write_bytes(path.read_bytes()[:-400])


def _cut_off_a_jpeg(folder: Path) -> None:
    path = folder / "images/octopus.png"
    draw().save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:-100])


def _text_for_a_picture(folder: Path) -> None:
    (folder / "images/octopus.png").write_text("no picture")


def _empty_picture(folder: Path) -> None:
    (folder / "images/octopus.png").write_bytes(b"")


def _postscript_for_a_picture(folder: Path) -> None:
    draw().save(folder / "images/octopus.png", format="EPS")


def _decompression_bomb(folder: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(folder / "images/octopus.png")


def _floats(folder: Path) -> None:
    Image.new("F", (24, 16)).save(folder / "images/octopus.png", format="TIFF")


def _another_size(folder: Path) -> None:
    Image.linear_gradient("L").resize((16, 24)).save(folder / "masks/octopus.png")


def _white_mask(folder: Path) -> None:
    Image.new("L", (24, 16), 128).save(folder / "masks/octopus.png")


def _black_mask(folder: Path) -> None:
    Image.new("L", (24, 16), 127).save(folder / "masks/octopus.png")


def _link_out(folder: Path) -> None:
    path = folder / "images/octopus.png"
    shutil.move(path, folder.parent / "outside.png")
    path.symlink_to(folder.parent / "outside.png")


def _link_to_itself(folder: Path) -> None:
    path = folder / "images/octopus.png"
    path.unlink()
    path.symlink_to(path)


def _named_pipe(folder: Path) -> None:
    path = folder / "images/octopus.png"
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_remove_metadata, 'has no metadata.json(?s:.*)"samples": '),
        (_break_json, "isn't valid JSON"),
        (_nest_json, "nested too deeply"),
        (_repeat_a_field, "names the field 'samples' twice"),
        (_write_latin_1, "isn't UTF-8"),
        (_cut_off_the_picture, "cut off or damaged"),
        (_cut_off_a_jpeg, "cut off or damaged"),
        (_text_for_a_picture, "not a picture of a known format"),
        (_empty_picture, "not a picture of a known format"),
        (_postscript_for_a_picture, "not a picture of a known format"),
        (_decompression_bomb, "more than 89,478,485 pixels"),
        (_floats, "no fixed range"),
        (_another_size, "mask octopus.png is 16x24, and the image is 24x16 .both upright.: it lies on its side"),
        (_white_mask, "all white at half intensity"),
        (_black_mask, "all black at half intensity"),
        (_link_out, "leads out of"),
        (_link_to_itself, "can't be followed|no such file"),
        (_named_pipe, "no such file"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, spoil, message):
    """
    Each unusable file raises one ArtifactError at fetch, before anything runs.
    """
    folder = lay_out(tmp_path / "d")
    spoil(folder)
    with pytest.raises(ArtifactError, match=message):
        fetch(folder)

from __future__ import annotations

import io
import json
import struct
import zlib

import pytest
from PIL import Image
from runs import made_for, resolved_run

from sdxl_lab.stamps import LIMIT_BYTES, StampError, digest_of_pixels, read_stamp, stamp_of, stamped_png


def stamped(tmp_path, index: int = 0, **hyperparameters) -> bytes:
    """One picture of a run, encoded with its stamp."""
    resolved = resolved_run(tmp_path, **hyperparameters)
    edit = resolved.edits[index]
    image = made_for(edit).image
    stamp = stamp_of(resolved, edit, versions={"torch": "2"}, hardware="a CPU", instruction_set="AVX2", sha256=digest_of_pixels(image))
    return stamped_png(image, stamp)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Write a PNG chunk as the PNG specification has it."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_text(content: bytes) -> bytes:
    """Build a small PNG whose text chunk `sdxl_lab` holds the given bytes."""
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    png = buffer.getvalue()
    return png[:33] + chunk(b"tEXt", b"sdxl_lab\0" + content) + png[33:]


def test_a_picture_says_how_it_was_made(tmp_path):
    """
    What is read back plans exactly the one picture: words, seed, settings, digests, versions.
    """
    resolved = resolved_run(tmp_path)
    (tmp_path / "picture.png").write_bytes(stamped(tmp_path, index=2))
    stamp = read_stamp(tmp_path / "picture.png")
    assert stamp.edit == resolved.edits[2]
    assert stamp.run_id == resolved.run_id != stamp.resolved.run_id
    assert (stamp.resolved.dataset, stamp.resolved.checkpoint) == (resolved.dataset, resolved.checkpoint)
    assert stamp.versions == {"torch": "2"}
    assert stamp.sha256 == digest_of_pixels(Image.open(tmp_path / "picture.png"))


def test_pillow_finds_the_same_text(tmp_path):
    """
    Another reader finds JSON under the keyword sdxl_lab, without a local path.
    """
    image = Image.open(io.BytesIO(stamped(tmp_path)))
    content = json.loads(image.info["sdxl_lab"])
    assert content["resolved"]["edits"][0]["prompt"] == "a red octopus, on “sand”"
    assert str(tmp_path) not in image.info["sdxl_lab"]


def test_the_same_picture_is_the_same_file(tmp_path):
    """
    Encoding twice gives the same bytes, wherever the run is kept.
    """
    assert stamped(tmp_path / "a") == stamped(tmp_path / "b")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"not json",
        b"\xff\xfe",
        b"[" * 100000,
        b'{"format": 1}',
        b'{"format": 2, "run_id": "x"}',
        b'{"format": 1, "versions": {}, "resolved": {}, "instruction_set": null, "run_id": "", "sha256": ""}',
        b'{"format": 1, "versions": 3, "resolved": [], "instruction_set": 4, "run_id": 5, "sha256": 6}',
        b"9" * 5000,
    ],
)
def test_a_strange_stamp_is_one_clear_error(tmp_path, content):
    """
    Text that is no stamp is refused with the picture's name and what to do, whatever it holds.
    """
    (tmp_path / "strange.png").write_bytes(with_text(content))
    with pytest.raises(StampError, match=r"(?s)strange\.png.*give the file"):
        read_stamp(tmp_path / "strange.png")


def test_a_huge_stamp_is_not_read(tmp_path):
    """
    A text chunk above the limit is refused by its length alone, even where the file does not hold it.
    """
    picture = with_text(b"")
    (tmp_path / "huge.png").write_bytes(picture[:33] + struct.pack(">I", 2**31 - 1) + b"tEXtsdxl_lab\0")
    with pytest.raises(StampError, match=str(LIMIT_BYTES)):
        read_stamp(tmp_path / "huge.png")


def test_a_damaged_stamp_is_noticed(tmp_path):
    """
    One changed byte in the text is found by the chunk's checksum.
    """
    (tmp_path / "damaged.png").write_bytes(stamped(tmp_path).replace(b"-732", b"-733"))
    with pytest.raises(StampError, match="damaged"):
        read_stamp(tmp_path / "damaged.png")


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0"])
def test_what_is_no_stamped_png_is_refused(tmp_path, content):
    """
    Empty, cut off and foreign files are one error each.
    """
    (tmp_path / "picture.png").write_bytes(content)
    with pytest.raises(StampError, match=r"picture\.png"):
        read_stamp(tmp_path / "picture.png")
    with pytest.raises(StampError, match="cannot read"):
        read_stamp(tmp_path / "absent.png")


def test_a_prompt_too_long_for_its_picture_is_refused(tmp_path):
    """
    A stamp above the limit is never written, since it could not be read back.
    """
    resolved = resolved_run(tmp_path)
    edit = resolved.edits[0].model_copy(update={"prompt": "x" * LIMIT_BYTES})
    stamp = stamp_of(resolved, edit, versions={}, hardware=None, instruction_set=None, sha256="")
    with pytest.raises(StampError, match="shorten"):
        stamped_png(made_for(edit).image, stamp)

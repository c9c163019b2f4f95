"""Pictures from strangers: what a PNG says of itself is never more than a description."""

from __future__ import annotations

import json
import shutil
import socket
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from sdxl_lab.errors import LabError
from sdxl_lab.images.png import png, text_in
from sdxl_lab.records.stamps import LIMIT_BYTES, StampError
from sdxl_lab.runs.reproduce import ReproduceError, reproduce
from tests.conftest import write_checkpoint
from tests.support.lone_pictures import make, rewritten
from tests.support.loopback_hub import Hub, asked, serving


def at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one value in a description, by its dotted path."""

    def change(content: dict[str, Any]) -> None:
        *above, last = path.split(".")
        for key in above:
            content = content[int(key) if key.isdigit() else key]  # type: ignore[call-overload]
        content[last] = value

    return change


def dataset_named(name: str, version: str | None) -> Callable[[dict[str, Any]], None]:
    """A dataset of this name that nobody has."""
    return at("resolved.dataset", {"name": name, "version": version, "digest": "0" * 64})


def checkpoint_named(name: str, revision: str | None) -> Callable[[dict[str, Any]], None]:
    """A checkpoint of this name that nobody has."""
    return at("resolved.checkpoint", {"name": name, "revision": revision, "digest": "0" * 64, "family": "sdxl"})


HUB = "stabilityai/stable-diffusion-xl-base-1.0"
COMMIT = "a" * 40
HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "path as dataset": (
        dataset_named("/etc", None),
        "dataset /etc of digest 000000000000, .* is not",
    ),
    "traversal as dataset": (dataset_named("../../etc", ".."), "is not here"),
    "dots as dataset": (dataset_named("../..", ".."), "is not here.*with --dataset FOLDER$"),
    "URL as dataset": (dataset_named("http://127.0.0.1/x", "1"), "is not here"),
    "artifact as dataset": (dataset_named("who/what", "1.0.0"), "or let --fetch download who/what:1.0.0"),
    "control characters in a name": (at("resolved.dataset.name", "x\x1b[2J"), "resolved.dataset.name: allowed is a text"),
    "control characters in a version": (at("versions", {"torch": "2\x1b]0;x\x07"}), "versions: allowed is a text"),
    "line break in hardware": (at("hardware", "x\nidentical"), "hardware: allowed is a text"),
    "digest that is none": (at("resolved.dataset.digest", "../../x"), "resolved.dataset.digest: allowed is 64 hexadecimal digits"),
    "path as checkpoint": (
        checkpoint_named("/etc/passwd", None),
        "--checkpoint",
    ),
    "traversal as checkpoint": (
        checkpoint_named("../..", COMMIT),
        "--checkpoint",
    ),
    "URL as checkpoint": (
        checkpoint_named("http://h/x", COMMIT),
        "--checkpoint",
    ),
    "traversal as commit": (checkpoint_named(HUB, "../../.."), "--checkpoint"),
    "branch as commit": (checkpoint_named(HUB, "main"), "--checkpoint"),
    "hub id as checkpoint that is not here": (checkpoint_named(HUB, COMMIT), "--fetch"),
    "named hub checkpoint": (checkpoint_named("sdxl", COMMIT), "--fetch"),
    "code as checkpoint": (at("resolved.checkpoint.trust_remote_code", True), "unknown key"),
    "traversal as sample": (at("resolved.edits.0.sample", "../../../etc/passwd"), "has no sample '../../../etc/passwd'"),
    "long sample": (at("resolved.edits.0.sample", "x" * 100000), r"sample: allowed is a text"),
    "sample that turns the writing": (at("resolved.edits.0.sample", "x\u202etxt"), r"sample: allowed is a text"),
    "absolute path as sample": (at("resolved.edits.0.sample", "/etc/passwd"), "has no sample"),
    "device that is none": (at("resolved.device", "meta"), "device: "),
    "dtype that is none": (at("resolved.dtype", "object"), "dtype: "),
    "too many threads": (at("resolved.threads", 10**9), "threads"),
    "NaN": (at("resolved.edits.0.settings.denoising.guidance_scale", float("nan")), "guidance_scale"),
    "infinity": (at("resolved.edits.0.settings.denoising.strength", float("inf")), "strength"),
    "text for a number": (at("resolved.edits.0.settings.denoising.num_inference_steps", "6"), "num_inference_steps"),
    "list for a text": (at("resolved.edits.0.prompt", ["x"]), "prompt"),
    "seed beyond 64 bits": (at("resolved.edits.0.seed", 2**64), "seed"),
    "size beyond floats": (at("resolved.edits.0.settings.conditioning.original_size", [10**400, 1]), "cannot be made again"),
    "huge canvas": (
        lambda content: content["resolved"]["edits"][0].update(
            task="outpaint", settings={"mode": "canvas", "canvas": {"left_px": 16384, "top_px": 16384}}
        ),
        "the picture is 128x128, and its description makes one of 16512x16512",
    ),
    "canvas for a task without one": (
        at("resolved.edits.0.settings", {"mode": "canvas", "canvas": {"left_px": 8}}),
        "got mode canvas for task inpaint, which repaints the mask of the picture as it is",
    ),
    "words without a size": (
        lambda content: content["resolved"]["edits"][0].update(task="text_to_image", settings={}),
        "names no size, without which none is made from words",
    ),
    "huge working size": (
        at("resolved.edits.0.settings.size", {"width": 16384, "height": 16384}),
        "made at 16384x16384, as its description says, more than 16 times",
    ),
    "no edit": (at("resolved.edits", []), "a picture has one edit, not 0"),
    "key of a later version": (at("adapter", {"lora": "x"}), "adapter: unknown key; valid here are .* if a later version made it"),
    "setting of a later version": (at("resolved.edits.0.settings.adapter", "x"), "(?s)adapter: unknown key.* if a later version made it"),
    "format of a later version": (at("format", 2), "format: allowed is 1.* if a later version made it"),
    "missing keys": (lambda content: content.pop("resolved"), "is not what sdxl_lab writes"),
    "null for everything": (lambda content: content.update(dict.fromkeys(content)), "format: allowed is 1"),
}


@pytest.fixture
def isolated(monkeypatch, tmp_path):
    """No connection can be made and no picture painted without the test failing; and there are no artifacts but the test's."""

    def refuse(*arguments, **_):
        pytest.fail(f"called with {arguments!r}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    return refuse


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_description_is_one_clear_error(name, picture, sources, tmp_path, isolated, monkeypatch):
    """
    Whatever a description holds, it is one error that names what is wrong, and nothing is asked of the net or painted.
    """
    change, message = HOSTILE[name]
    consistent = False
    try:
        hostile = rewritten(picture, tmp_path / "hostile.png", change, consistent=True)
        consistent = True
    except Exception:  # noqa: BLE001 - no run_id can be computed for what is not valid
        hostile = rewritten(picture, tmp_path / "hostile.png", change, consistent=False)
    if name != "size beyond floats":
        monkeypatch.setattr("sdxl_lab.generation.generate.generate", isolated)
    given = {key: value for key, value in sources.items() if key not in name}
    with pytest.raises(LabError, match=message) as caught:
        reproduce(hostile, **given)
    said = str(caught.value)
    assert len(said) < 1500, consistent
    assert not any(ord(character) < 32 and character != "\n" for character in said)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Write a PNG chunk as the PNG specification has it."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@cache
def bomb() -> bytes:
    """What unpacks to 256 MiB."""
    return zlib.compress(bytes(1 << 28), 9)


CHUNKS: dict[str, tuple[Callable[[], bytes], str]] = {
    "deep JSON": (lambda: chunk(b"tEXt", b"sdxl_lab\0" + b"[" * 900000), "is not what sdxl_lab writes"),
    "deep settings": (
        lambda: chunk(b"tEXt", b'sdxl_lab\0{"format": 1, "versions": {}, "resolved": ' + b'{"a":' * 50000 + b"0" + b"}" * 50001),
        "not what",
    ),
    "huge": (lambda: chunk(b"tEXt", b"sdxl_lab\0" + b" " * (LIMIT_BYTES + 1)), f"at most {LIMIT_BYTES} are read"),
    "huge number": (lambda: chunk(b"tEXt", b'sdxl_lab\0{"format": ' + b"9" * 100000 + b"}"), "is not what sdxl_lab writes"),
    "compressed": (lambda: chunk(b"zTXt", b"sdxl_lab\0\0" + bomb()), "says nothing of how it was made"),
    "compressed international": (lambda: chunk(b"iTXt", b"sdxl_lab\0\1\0\0\0" + bomb()), "says nothing of how it was made"),
    "none": (lambda: b"", "says nothing of how it was made"),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_hostile_chunk_is_one_clear_error(name, picture, sources, tmp_path, isolated, monkeypatch):
    """
    Chunks too long, too deep or compressed are refused without being unpacked.
    """
    monkeypatch.setattr("sdxl_lab.generation.generate.generate", isolated)
    content, message = CHUNKS[name]
    plain = tmp_path / "plain.png"
    with Image.open(picture) as image:
        image.save(plain, pnginfo=PngImagePlugin.PngInfo())
    png = plain.read_bytes()
    (tmp_path / "hostile.png").write_bytes(png[:33] + content() + png[33:])
    with pytest.raises(StampError, match=message):
        reproduce(tmp_path / "hostile.png", **sources)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_bomb_beside_a_good_description_is_one_clear_error(kind, picture, sources, tmp_path):
    """
    A text chunk of other tools that unpacks to 256 MiB is refused when the pixels are read.
    """
    png = picture.read_bytes()
    content = (b"parameters\0\0" if kind == b"zTXt" else b"parameters\0\1\0\0\0") + bomb()
    (tmp_path / "bomb.png").write_bytes(png[:33] + chunk(kind, content) + png[33:])
    with pytest.raises(LabError, match=r"bomb\.png: the picture is cut off or damaged"):
        reproduce(tmp_path / "bomb.png", **sources)


NAME = "somebody/tiny-sdxl"


def test_the_hub_is_asked_only_where_that_was_allowed(dataset, tmp_path, monkeypatch):
    """
    A checkpoint of the hub is taken from the cache, at its commit, without one request; one that is not there is downloaded with --fetch alone.
    """
    from sdxl_lab.checkpoints.loading import forget

    folder = write_checkpoint(tmp_path / "made", refiner=None, variant="fp16", force_upcast=True)
    shutil.copytree(folder / "base", tmp_path / "hub" / NAME)
    monkeypatch.chdir(tmp_path)
    requests = tmp_path / "requests.txt"

    def reproduced(*, fetch: bool) -> tuple[str, int]:
        forget()
        before = len(requests.read_text().splitlines())
        try:
            said = str(reproduce(picture, dataset=str(dataset), fetch=fetch)).splitlines()[0]
        except LabError as error:
            said = str(error)
        return said, len(requests.read_text().splitlines()) - before

    with serving(Hub(tmp_path / "hub", log=requests)) as hub, asked(hub.url, tmp_path / "cache"):
        picture = make(tmp_path, dataset=dataset, checkpoint=NAME, sample="scene-0")
        assert reproduced(fetch=False) == ("identical", 0)
        shutil.rmtree(tmp_path / "cache")
        Path(NAME).mkdir(parents=True)  # a folder of the checkpoint's name is not the checkpoint
        said, asked_for = reproduced(fetch=False)
        assert f"checkpoint {NAME} is not wholly here; let --fetch download it" in said
        assert asked_for == 0
        said, asked_for = reproduced(fetch=True)
        assert said == "identical"
        assert asked_for > 0


def test_an_artifact_is_downloaded_only_where_that_was_allowed(backend, one_worker, sources, tmp_path):
    """
    A dataset from Comet that is not here is asked for without one request, fetched with --fetch alone, and then checked by its digest.
    """
    folder = tmp_path / "artifacts" / "datasets" / "team" / "sea" / "1.0.0"
    shutil.copytree(sources["dataset"], folder)
    picture = make(tmp_path, dataset="team/sea:1.0.0", checkpoint=sources["checkpoint"], sample="scene-1")
    backend.add_artifact("team/sea:1.0.0", {path.name: path.read_bytes() for path in folder.iterdir()})
    shutil.rmtree(folder)
    for given in (None, "team/sea:1.0.0", "team/sea"):
        with pytest.raises(ReproduceError, match="let --fetch download"):
            reproduce(picture, dataset=given, checkpoint=sources["checkpoint"])
    assert backend.requests == []
    assert reproduce(picture, checkpoint=sources["checkpoint"], fetch=True).is_identical
    assert backend.requests != []


def test_a_picture_of_an_adapter_that_cannot_be_put_on_is_refused(tmp_path):
    """
    A description that names an adapter on the models is no picture of the models alone.
    """
    lone = next((Path(__file__).parents[1] / "releases" / "0.1.0").glob("*.png"))
    values = json.loads(text_in(lone, "sdxl_lab", most_bytes=1 << 20) or b"")
    values["resolved"]["adapters"] = [{"kind": "lora", "name": "moon", "digest": "a" * 64}]
    with Image.open(lone) as image:
        (tmp_path / "moon.png").write_bytes(png(image.convert("RGB"), {"sdxl_lab": json.dumps(values)}))
    with pytest.raises(ReproduceError, match="made with lora on the checkpoint's models, which this version of sdxl_lab cannot put there; update"):
        reproduce(tmp_path / "moon.png")

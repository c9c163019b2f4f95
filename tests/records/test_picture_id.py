from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.settings.sections import Canvas, Mask
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.identities import DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tracking.projection import project
from tests.support.edits import KINDS, cpu, make_edit
from tests.support.runs import made_for, resolved_run


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global Checkpoint, generate, TrajectoryCache
    from sdxl_lab.checkpoints.checkpoint import Checkpoint
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.trajectory import TrajectoryCache


EDITS: list[Callable[[], Edit]] = [
    *(partial(make_edit, scheduler=scheduler) for scheduler in KINDS),
    *(partial(make_edit, scheduler="euler_a", high_noise_frac=0.6, handover=handover) for handover in ("consistent", "stock")),
    *(partial(make_edit, scheduler="dpmpp_2m", high_noise_frac=0.6, handover=handover) for handover in ("consistent", "stock")),
    partial(make_edit, "outpaint", mode="background", mask=Mask(kernel_size=3, feather_px=2)),
    partial(make_edit, "outpaint", mode="canvas", canvas=Canvas(left_px=16, fill="noise")),
    partial(make_edit, guidance_scale=1.0, strength=0.6, negative_prompt=None),
]


def named(edit: Edit, image: Image.Image, mask: Image.Image, checkpoint: Checkpoint, cache: TrajectoryCache | None, dataset: str) -> tuple[str, str]:
    """
    The picture_id and the digest of what one call makes.
    """
    made = generate(edit, image, mask, checkpoint, trajectories=cache)
    resolved = ResolvedSpec(
        spec=RunSpec.from_parameters(name="test", dataset=dataset, checkpoint="pocket"),
        dataset=DatasetIdentity(name=dataset, digest=dataset[0] * 64),
        checkpoint=checkpoint.identity,
        edits=(edit,),
        dtype="float32",
        threads=1,
        device="cpu",
    )
    name = resolved.picture_id(edit, {"input": digest_of_pixels(made.input_image), "mask": digest_of_pixels(made.mask_image)})
    return name, digest_of_pixels(made.image)


def test_one_picture_id_is_one_picture(random_pair: Path, scene: Any):
    """
    Two calls with one picture_id have the same pixels, over tasks, hand-overs and schedulers, alone or after others, whatever sample and dataset.
    """
    image, mask = scene
    checkpoint, shared = cpu(random_pair), TrajectoryCache()
    found: dict[str, set[str]] = {}
    for make in EDITS:
        edit = make()
        for name, digest in (
            named(edit, image, mask, checkpoint, None, "alone"),
            named(edit.model_copy(update={"sample": "renamed"}), image.convert("RGBA"), mask.convert("RGB"), checkpoint, shared, "beside others"),
        ):
            found.setdefault(name, set()).add(digest)
    for edit in (make() for make in reversed(EDITS)):
        name, digest = named(edit, image, mask, checkpoint, shared, "once more")
        found[name].add(digest)
    assert len(found) == len(EDITS)
    assert all(len(digests) == 1 for digests in found.values())


@pytest.mark.parametrize("other", ["image", "mask", "seed", "prompt", "threads", "dtype", "checkpoint"])
def test_what_makes_another_picture_gives_another_name(other: str, scene: Any):
    """
    Pixels of input and mask, words, seed, settings, checkpoint, dtype and threads each have a part in the name.
    """
    run = resolved_run(Path("runs"))
    edit, pixels = run.edits[0], dict(zip(("input", "mask"), map(digest_of_pixels, scene), strict=True))
    first = run.picture_id(edit, pixels)
    mirrored = {name: digest_of_pixels(ImageOps.mirror(picture)) for name, picture in zip(pixels, scene, strict=True)}
    changes: dict[str, Callable[[], str]] = {
        "image": lambda: run.picture_id(edit, pixels | {"input": mirrored["input"]}),
        "mask": lambda: run.picture_id(edit, pixels | {"mask": mirrored["mask"]}),
        "seed": lambda: run.picture_id(edit.model_copy(update={"seed": 1}), pixels),
        "prompt": lambda: run.picture_id(edit.model_copy(update={"prompt": edit.prompt + " "}), pixels),
        "threads": lambda: run.model_copy(update={"threads": 2}).picture_id(edit, pixels),
        "dtype": lambda: run.model_copy(update={"dtype": "bfloat16"}).picture_id(edit, pixels),
        "checkpoint": lambda: run.model_copy(update={"checkpoint": run.checkpoint.model_copy(update={"digest": "e" * 64})}).picture_id(edit, pixels),
    }
    assert changes[other]() != first


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[RunFolder]:
    """A run of three pictures on the disk."""
    resolved = resolved_run(tmp_path)
    with RunFolder.of(resolved).open(resolved) as folder:
        for edit in resolved.edits:
            folder.add_picture(edit, made_for(edit), notes=("prompt has 93 tokens",) if edit.task == "outpaint" else ())
        folder.finish()
        yield folder


def test_the_name_stands_in_line_png_and_comet(recorded: RunFolder, tmp_path: Path):
    """
    One picture has one picture_id wherever it is written down, and the one that is computed from its files.
    """
    pictures = recorded.pictures()
    lines = recorded.lines_file.read_text().splitlines()
    sent = {file.path: file.metadata.get("picture_id") for file in project(recorded, tmp_path).images}
    for picture, line, edit in zip(pictures, lines, recorded.resolved.edits, strict=True):
        with Image.open(picture.input_image) as image, Image.open(picture.mask_image) as mask:
            pixels = {"input": digest_of_pixels(image), "mask": digest_of_pixels(mask)}
        assert picture.picture_id == recorded.resolved.picture_id(edit, pixels)
        assert f'"picture_id": "{picture.picture_id}"' in line
        assert (read_stamp(picture.image).picture_id, sent[picture.image]) == (picture.picture_id,) * 2
    assert len({picture.picture_id for picture in pictures}) == len(pictures)


def test_a_line_without_a_name_gets_the_one_it_would_have(recorded: RunFolder):
    """
    Lines as 0.1.0 wrote them are read with the picture_id that today's have.
    """
    expected = [picture.picture_id for picture in recorded.pictures()]
    old = [
        {key: value for key, value in json.loads(line).items() if key not in ("picture_id", "notes")}
        for line in recorded.lines_file.read_text().splitlines()
    ]
    recorded.lines_file.write_text("".join(json.dumps(line) + "\n" for line in old))
    assert [picture.picture_id for picture in RunFolder(recorded.path).pictures()] == expected


def test_what_was_said_of_a_picture_stays_with_it(recorded: RunFolder):
    """
    Notes are in the line and in the PNG; where there are none, neither says anything.
    """
    pictures = recorded.pictures()
    assert [picture.notes for picture in pictures] == [(), ("prompt has 93 tokens",), ()]
    assert [read_stamp(picture.image).notes for picture in pictures] == [picture.notes for picture in pictures]
    assert [b'"notes"' in line for line in recorded.lines_file.read_bytes().splitlines()] == [False, True, False]


def test_a_run_is_named_once_however_many_pictures_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Recording a picture of a run of 1,000 does not compute the run's own name again.
    """
    from sdxl_lab.spec import resolved_spec

    few = resolved_run(tmp_path)
    edits = tuple(few.edits[0].model_copy(update={"sample": f"sample {index}"}) for index in range(1000))
    resolved = few.model_copy(update={"edits": edits})
    with RunFolder.of(resolved).open(resolved) as folder:
        counted: list[int] = []
        named_before = resolved_spec._run_id
        monkeypatch.setattr(resolved_spec, "_run_id", lambda document: counted.append(len(document["edits"])) or named_before(document))
        for edit in edits[:3]:
            folder.add_picture(edit, made_for(edit))
        assert max(counted) == 1


def test_pixels_are_what_counts(scene: Any):
    """
    The digest of pixels is of red, green and blue alone: a mask has one in any mode.
    """
    _, mask = scene
    assert digest_of_pixels(mask) == digest_of_pixels(mask.convert("RGB"))
    assert digest_of_pixels(mask) != digest_of_pixels(Image.fromarray(255 - np.asarray(mask)))

"""What a call was given: kept by its content, found again, and never taken for another's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import pytest
from PIL import Image

from sdxl_lab import inpaint, reproduce
from sdxl_lab.datasets import inputs
from sdxl_lab.errors import LabError
from sdxl_lab.files.digests import digest_of_listing
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.reproduce import ReproduceError
from sdxl_lab.settings.documents import written
from sdxl_lab.spec.identities import DatasetIdentity
from tests.support.lone_pictures import rewritten
from tests.support.run_folders import files

pytestmark = pytest.mark.usefixtures("home")

QUICK: dict[str, Any] = {"num_inference_steps": 4}


def test_inputs_are_kept_once_under_their_digests(home, sample):
    """
    Two calls with one picture and mask write two files, each named by the sha256 of its bytes; no run folder is made.
    """
    inpaint(sample.image(), sample.mask(), "a star", **QUICK)
    kept = {path: path.stat().st_mtime_ns for path in (home / "artifacts/inputs").iterdir()}
    inpaint(sample.image_path, sample.mask_path, "a heart", **QUICK)
    assert {path: path.stat().st_mtime_ns for path in (home / "artifacts/inputs").iterdir()} == kept
    assert files(home) == sorted(f"artifacts/inputs/{path.name}" for path in kept)
    assert len(kept) == 2
    for path in kept:
        said = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
        assert said.split()[0] == path.stem


def test_a_picture_of_a_call_is_made_again(home, sample):
    """
    From its PNG alone, identically; from another folder with copies too; and after its inputs went, an error that names the file.
    """
    made = inpaint(sample.image(), sample.mask(), "a star", feather_px=2, **QUICK).save(home / "made.png")
    assert str(reproduce(made)).startswith("identical\nmade again from picture of inputs with pocket")
    (home / "artifacts/inputs").rename(home / "elsewhere")
    assert reproduce(made, dataset=str(home / "elsewhere")).is_identical
    named = written(read_stamp(made).resolved.dataset)["inputs"]
    said = [f"its {name} .*artifacts/inputs/{named[name]}.png is not here" for name in ("image", "mask")]
    with pytest.raises(ReproduceError, match=f"was made from files of its own, and {' and '.join(said)}; .* --dataset FOLDER$"):
        reproduce(made)
    with pytest.raises(ReproduceError, match=r"elsewhere-2/\w+\.png is not here"):
        reproduce(made, dataset=str(home / "elsewhere-2"))


@pytest.mark.parametrize("named", [True, False], ids=["in a folder that is named", "beside the picture"])
def test_what_a_call_was_given_is_found_by_its_content(home, sample, named):
    """
    A photograph in any format and its mask are found under their own names, not what else lies there; without the mask it is said where was looked.
    """
    mine = home / "mine"
    (mine / "masks").mkdir(parents=True)
    sample.image().save(mine / "photo.jpg")
    sample.mask().save(mine / "masks/mask.png")
    made = inpaint(mine / "photo.jpg", mine / "masks/mask.png", "a star", **QUICK).save(home / "made.png")
    shutil.rmtree(home / "artifacts")
    (mine / "broken.png").write_bytes(b"no picture")
    if not named:
        for file in (mine / "photo.jpg", mine / "masks/mask.png"):
            file.rename(home / file.name)
    before = files(home)
    assert reproduce(made, dataset=str(mine) if named else None).is_identical
    assert files(home) == before
    for mask in home.rglob("mask.png"):
        mask.unlink()
    looked = f"nor does a picture in {'mine and ' if named else ''}the working folder hold the same"
    with pytest.raises(ReproduceError, match=rf"of its own, and its mask \S+ is not here; {looked}"):
        reproduce(made, dataset=str(mine) if named else None)


def test_a_file_with_other_bytes_is_not_taken(home, sample):
    """
    A kept file that was changed is named; the next call with that picture puts it right.
    """
    made = inpaint(sample.image(), sample.mask(), "a star", **QUICK).save(home / "made.png")
    [changed, *_] = (home / "artifacts/inputs").iterdir()
    changed.write_bytes(b"another")
    with pytest.raises(ReproduceError, match=f"{changed.name} holds other bytes than its name says"):
        reproduce(made)
    inpaint(sample.image(), sample.mask(), "a heart", **QUICK)
    assert reproduce(made).is_identical


def test_what_is_not_to_be_kept_leaves_nothing(home, sample):
    """
    With keep=False no file is written but the picture that is saved, which says that it cannot be made again; kept after all, it can.
    """
    made = inpaint(sample.image(), sample.mask(), "a star", keep=False, **QUICK)
    assert files(home) == []
    assert made.notes == (inputs.NOT_KEPT,)
    picture = made.save("made.png")
    with pytest.raises(
        ReproduceError, match=r"artifacts/inputs/.*; as it says itself, its inputs were not kept: without them it cannot be made again"
    ):
        reproduce(picture)
    assert inpaint(sample.image(), sample.mask(), "a star", **QUICK).picture_id == made.picture_id
    assert reproduce(picture).is_identical


@pytest.mark.parametrize("digest", ["../../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "", None])
def test_a_stranger_cannot_name_other_files(home, sample, digest):
    """
    Whatever a description says in place of a digest of 64 digits is refused before any file is looked for.
    """
    made = inpaint(sample.image(), sample.mask(), "a star", **QUICK).save(home / "made.png")

    def change(content: dict[str, Any]) -> None:
        content["resolved"]["dataset"]["inputs"]["image"] = digest

    with pytest.raises(LabError, match=r"(?s)does not say how it was made: .*dataset\.inputs"):
        reproduce(rewritten(made, home / "theirs.png", change, consistent=False))


def test_inputs_that_are_not_those_of_the_digest_are_refused(home, sample):
    """
    A description that names another kept file as its image, under the old digest, is not made from that.
    """
    made = inpaint(sample.image(), sample.mask(), "a star", **QUICK).save(home / "made.png")
    other = inputs.keep(inputs.encoded({"image": Image.new("RGB", (128, 128), "red")}), home / "artifacts/inputs")["image"]
    theirs = rewritten(made, home / "theirs.png", lambda content: content["resolved"]["dataset"]["inputs"].update(image=other))
    with pytest.raises(ReproduceError, match="dataset inputs is not the one"):
        reproduce(theirs)


@pytest.mark.parametrize("names", [[], ["mask"], ["image", "depth"], ["image", *"abcdefgh"]])
def test_inputs_of_other_names_are_refused(home, sample, names):
    """
    A description with other inputs than an image and perhaps a mask, none or very many, is an error of the lab, whatever digest it states.
    """
    made = inpaint(sample.image(), sample.mask(), "a star", **QUICK).save(home / "made.png")
    [sha256, *_] = written(read_stamp(made).resolved.dataset)["inputs"].values()
    theirs = dict.fromkeys(names, sha256)

    def change(content: dict[str, Any]) -> None:
        content["resolved"]["dataset"] |= {"inputs": theirs, "digest": digest_of_listing(theirs.items())}

    with pytest.raises(LabError, match=r"inputs: got .*; allowed" if names else "has no picture, and inpaint needs one: the description was changed"):
        reproduce(rewritten(made, home / "theirs.png", change, consistent=len(names) < 9))


def test_a_kept_file_that_is_no_picture_is_named(home, sample):
    """
    Bytes of the digest that a description names, which are no picture.
    """
    made = inpaint(sample.image(), sample.mask(), "a star", **QUICK).save(home / "made.png")
    theirs = inputs.keep({"image": b"no picture"}, home / "artifacts/inputs")

    def change(content: dict[str, Any]) -> None:
        content["resolved"]["dataset"] |= {"inputs": theirs, "digest": digest_of_listing(theirs.items())}

    with pytest.raises(LabError, match=rf"{theirs['image']}\.png: not a picture of a known format"):
        reproduce(rewritten(made, home / "theirs.png", change))


def test_a_dataset_without_inputs_is_written_as_before():
    """
    The key is absent from every document of a dataset with a name of its own.
    """
    assert written(DatasetIdentity(name="pocket-scenes", digest="d" * 64)) == {"name": "pocket-scenes", "version": None, "digest": "d" * 64}


KEEP = """
import sys
from pathlib import Path
from PIL import Image
from sdxl_lab.datasets import inputs

files = inputs.encoded({"image": Image.linear_gradient("L").resize((700, 700))})
for turn in range(30):
    [name] = inputs.keep(files, Path(sys.argv[1])).values()
    if turn % 3:
        inputs.file_of(name, Path(sys.argv[1])).unlink(missing_ok=True)
print(inputs.keep(files, Path(sys.argv[1]))["image"])
"""


def test_two_processes_may_keep_one_picture(home):
    """
    Processes that keep the same picture at the same time leave one whole file, and nothing beside it.
    """
    started = [subprocess.Popen([sys.executable, "-c", KEEP, str(home / "kept")], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    names = {process.communicate()[0].strip() for process in started}
    assert [process.returncode for process in started] == [0, 0]
    [name] = names
    assert files(home / "kept") == [f"{name}.png"]
    assert inputs.lacking({"image": name}, home / "kept") == {}

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.datasets.metadata import SMALLEST_METADATA, ArtifactError
from sdxl_lab.datasets.metadata_fields import WORDS, misplaced, sample_fields
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.files import digests
from sdxl_lab.images import pictures

SMALLEST = json.loads(SMALLEST_METADATA)


def draw(size: tuple[int, int] = (24, 16)) -> Image.Image:
    """Draw uniform colours."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))


def lay_out(folder: Path, metadata: Any = None) -> Path:
    """Write a dataset of one picture and one mask, with the smallest metadata unless told."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    draw().save(folder / "images/octopus.png")
    mask = Image.new("L", (24, 16))
    mask.paste(255, (4, 4, 12, 12))
    mask.save(folder / "masks/octopus.png")
    (folder / "metadata.json").write_text(json.dumps(SMALLEST if metadata is None else metadata))
    return folder


def as_long(image: Image.Image) -> bytes:
    """Write a picture as a file whose length is that of any other of its size."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)
    return file.getvalue()


def changed(**fields: Any) -> dict[str, Any]:
    """Return the smallest metadata with some fields of its sample changed."""
    return {"samples": [{**SMALLEST["samples"][0], **fields}]}


def test_the_smallest_metadata_works(tmp_path):
    """
    The metadata.json that error messages show makes a dataset.
    """
    (sample,) = fetch(lay_out(tmp_path / "d")).samples
    assert (sample.name, sample.tasks["inpaint"].prompt, sample.tasks["inpaint"].seed) == ("octopus", "a red octopus on a beach", None)
    assert sample.image() == draw()
    mask = sample.mask()
    assert mask is not None
    assert mask.getbbox() == (4, 4, 12, 12)


def test_pictures_that_stay_the_same_are_opened_once(tmp_path, monkeypatch):
    """
    A dataset that is fetched again opens no picture again and is the same; picture or mask overwritten in place by as many bytes is seen.
    """
    monkeypatch.setattr(digests, "_SETTLED_S", -1)
    decoded, decode = [], pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda content: decoded.append(content) or decode(content))
    folder = lay_out(tmp_path / "d")
    for name in ("images/octopus.png", "masks/octopus.png"):
        path = folder / name
        path.write_bytes(as_long(draw() if name.startswith("images") else Image.linear_gradient("L").resize((24, 16))))
        first = fetch(folder)
        count = len(decoded)
        assert fetch(folder) == first
        assert len(decoded) == count
        with Image.open(path) as image:
            turned = as_long(image.transpose(Image.Transpose.ROTATE_180))
        assert len(turned) == path.stat().st_size
        time.sleep(0.05)  # a clock that files are told by ticks in hundredths of a second
        path.write_bytes(turned)
        (seen,) = fetch(folder).samples
        assert hashlib.sha256(turned).hexdigest() in (seen.image_sha256, seen.mask_sha256)
        assert len(decoded) == count + 2


def test_the_built_in_dataset_is_whole():
    """
    The dataset that comes with the lab passes its own checks, with both tasks for each of its samples.
    """
    dataset = fetch("pocket-scenes")
    assert len(dataset.samples) == 5
    assert all(set(sample.tasks) == {"inpaint", "outpaint"} for sample in dataset.samples)


def test_unknown_fields_are_kept(tmp_path):
    """
    Fields the lab doesn't know come back as written, at each level.
    """
    metadata = {**changed(credit="me", outpaint={"prompt": "", "seed": -(2**63), "mood": 1}), "license": "CC0"}
    dataset = fetch(lay_out(tmp_path / "d", metadata))
    (sample,) = dataset.samples
    assert (dataset.extra, sample.extra, sample.tasks["outpaint"].extra) == ({"license": "CC0"}, {"credit": "me"}, {"mood": 1})
    assert sample.tasks["outpaint"].seed == -(2**63)


def test_a_sample_may_lack_a_mask(tmp_path):
    """
    A sample without a mask is fetched, and reads its mask as None.
    """
    entry = {"name": "wide", "image": "images/octopus.png", "outpaint": {}}
    assert fetch(lay_out(tmp_path / "d", {"samples": [entry]})).samples[0].mask() is None


def test_the_digest_follows_what_the_metadata_names(tmp_path):
    """
    The digest stays the same elsewhere and with other files around; one changed byte changes it.
    """
    first, second = fetch(lay_out(tmp_path / "a")), lay_out(tmp_path / "b")
    (second / "notes.txt").write_text("mine")
    assert fetch(second).digest == first.digest
    picture = draw()
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(second / "images/octopus.png")
    assert fetch(second).digest != first.digest


def test_a_file_that_changed_after_fetching_is_refused(tmp_path):
    """
    A sample whose file is no longer the fetched one raises instead of reading another picture.
    """
    folder = lay_out(tmp_path / "d")
    (sample,) = fetch(folder).samples
    Image.new("RGB", (24, 16)).save(folder / "images/octopus.png")
    with pytest.raises(ArtifactError, match="has changed since"):
        sample.image()


def test_an_artifact_lies_where_its_name_says(tmp_path):
    """
    workspace/name:version is found in the datasets folder, and carries name and version.
    """
    lay_out(tmp_path / "team/sea/1.0.0")
    dataset = fetch("team/sea:1.0.0", datasets_folder=tmp_path)
    assert (dataset.name, dataset.version) == ("team/sea", "1.0.0")


def said_of(words: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the smallest metadata with these words for inpainting, and other fields of its sample."""
    return changed(inpaint=words, **fields)


MISSPELLED = {
    "promt": (said_of({"promt": "a"}), r"samples\[0\] 'octopus': \"inpaint\": the field 'promt' is not read here. Did you mean prompt\?"),
    "Prompt": (said_of({"Prompt": "a"}), "mean prompt"),
    "seeds": (said_of({"prompt": "a", "seeds": [1, 2]}), "give it to the run, as hyperparameters.inpaint.seeds"),
    "negative": (said_of({"prompt": "a", "negative": "b"}), "mean negative_prompt"),
    "neg_prompt": (said_of({"prompt": "a", "neg_prompt": "b"}), "mean negative_prompt"),
    "negativePrompt": (said_of({"prompt": "a", "negativePrompt": "b"}), "mean negative_prompt"),
    "negative-prompt": (said_of({"prompt": "a", "negative-prompt": "b"}), "mean negative_prompt"),
    "caption": (said_of({"caption": "a"}), "mean prompt"),
    "text": (said_of({"text": "a"}), "mean prompt"),
    "noise_seed": (said_of({"prompt": "a", "noise_seed": 1}), "mean seed"),
    "mask of a task": (said_of({"prompt": "a", "mask": "masks/octopus.png"}), "mean mask of the sample"),
    "imge": ({"samples": [{"name": "a", "imge": "images/octopus.png"}]}, r"samples\[0\] 'a': the field 'imge'.*mean image\?"),
    "Mask": ({"samples": [{"name": "a", "image": "images/octopus.png", "Mask": "masks/octopus.png"}]}, "mean mask"),
    "mask_image": ({"samples": [{"name": "a", "image": "images/octopus.png", "mask_image": "masks/octopus.png"}]}, "mean mask"),
    "file_name": ({"samples": [{"name": "a", "file_name": "images/octopus.png"}]}, "mean image"),
    "inpainting": ({"samples": [{"name": "a", "image": "images/octopus.png", "inpainting": {"prompt": "a"}}]}, "mean inpaint"),
    "prompt of a sample": ({"samples": [{"name": "a", "image": "images/octopus.png", "prompt": "a"}]}, "mean prompt in the sample's inpaint"),
    "seed of a sample": (changed(seed=3), "mean seed in the sample's inpaint or outpaint"),
    "sample": ({"sample": SMALLEST["samples"]}, r"metadata.json: the field 'sample' is not read here. Did you mean samples"),
    "inpaint_prompt": ({"samples": [{"name": "a", "image": "images/octopus.png", "inpaint_prompt": "a"}]}, "mean prompt in the sample's inpaint"),
    "inpaint.seed": (changed(**{"inpaint.seed": 7}), "mean seed in the sample's inpaint"),
    "inpaint_seed of a task": (said_of({"prompt": "a", "inpaint_seed": 7}), "mean seed"),
    "outpaint_mask": ({"samples": [{"name": "a", "image": "images/octopus.png", "outpaint_mask": "masks/octopus.png"}]}, "mean mask"),
    "Mask of all": ({"Mask": "masks/octopus.png", "samples": [{"name": "a", "image": "images/octopus.png"}]}, "mean mask of each sample"),
    "strength": (said_of({"prompt": "a", "strength": 0.5}), r"a setting.* hyperparameters\.inpaint\.denoising\.strength"),
    "guidance_scale of a sample": (changed(guidance_scale=5), r"a setting.* hyperparameters\.denoising\.guidance_scale"),
    "kernel_size of all": ({**SMALLEST, "kernel_size": 5}, r"a setting.* hyperparameters\.mask\.kernel_size"),
    "canvas of a task": (changed(outpaint={"prompt": "a", "canvas": {}}), r"a setting.* hyperparameters\.outpaint\.canvas"),
    "seed of all": ({**SMALLEST, "seed": 3}, "mean seed of each sample"),
}


@pytest.mark.parametrize("case", MISSPELLED)
def test_a_field_that_was_meant_to_be_read_is_not_passed_over(tmp_path, case):
    """
    A misspelled field, another tool's name for one, and one on the wrong level are errors that name the field that was meant.
    """
    metadata, message = MISSPELLED[case]
    with pytest.raises(ArtifactError, match=message):
        fetch(lay_out(tmp_path / "d", metadata))


def slips(word: str) -> Iterator[str]:
    """A word with two neighboring letters exchanged, one left out, doubled or replaced, in each place; capitalized, in camel case, with dashes."""
    for at in range(len(word)):
        yield from (word[:at] + other + word[at + 1 :] for other in ("", word[at] * 2, "x"))
        yield word[:at] + word[at : at + 2][::-1] + word[at + 2 :]
    yield from (word.capitalize(), word.upper(), word.title().replace("_", ""), word.replace("_", "-"), word.replace("_", " "))


@pytest.mark.parametrize("field", ["image", "mask", "inpaint", "outpaint", "prompt", "negative_prompt", "seed"])
def test_every_slip_in_a_field_is_noticed_unless_the_field_stands_beside_it(field):
    """
    Whatever slip of the hand hides a field, it is asked back; beside the field itself it is the author's own.
    """
    valid = sample_fields() if field in sample_fields() else WORDS
    own = {*slips(field)} - {field, "ask"}
    assert [written for written in own if f"mean {field}" not in (misplaced({written: 1}, valid, "inpaint") or "")] == []
    assert [written for written in own if misplaced({field: 1, written: 1}, valid, "inpaint")] == []


def test_fields_of_an_authors_own_pass(tmp_path):
    """
    Fields unlike ours are kept at each level, and so are those like ours beside ours.
    """
    own = {
        "expected": {"colour": "red"},
        "caption": "octopus",
        "text": "b",
        "neg_prompt": "c",
        "speed": 1,
        "note": "",
        "style": "oil",
        "prompt_id": 3,
        "promt": "",
    }
    words = {"prompt": "a", "negative_prompt": "b", **own}
    top = {"license": "CC0", "name": "sea", "description": "", "version": 2, "Samples": [], "author": "me", "source": ""}
    sample = {"credit": "me", "id": 3, "tags": [], "caption": "octopus", "prompt": "a", "game": "", "file_name": "o.png", "task": "", "ask": ""}
    sample |= {"image_id": 7, "masked": True, "prompt_id": 3}
    dataset = fetch(lay_out(tmp_path / "d", {**changed(inpaint=words, **sample), **top}))
    (found,) = dataset.samples
    assert (dataset.extra, found.extra, found.tasks["inpaint"].extra) == (top, sample, own)


METADATA = {
    "no samples": ({"pictures": []}, r"must hold an object with a list \"samples\".*\['pictures'\]"),
    "a list": ([1], r"must hold an object with a list \"samples\""),
    "empty": ({"samples": []}, "empty list"),
    "sample is text": ({"samples": ["octopus"]}, "a sample must be an object"),
    "no name": (changed(name=None), '"name" must be a string, got nothing'),
    "number as name": (changed(name=3), '"name" must be a string, got 3'),
    "empty name": (changed(name=""), "1 to 100 bytes"),
    "long name": (changed(name="é" * 51), "1 to 100 bytes, got 102"),
    "name with folder": (changed(name="a/b"), "can't name a folder"),
    "name leading up": (changed(name=".."), "can't name a folder"),
    "name of a device": (changed(name="NUL"), "can't name a folder"),
    "name with a space at its end": (changed(name="a "), "can't name a folder"),
    "name with half a character": (changed(name="\ud800"), r"samples\[0\]\.name holds half a character"),
    "prompt with half an emoji": (changed(inpaint={"prompt": "a \ud83d"}), r"samples\[0\]\.inpaint\.prompt holds half"),
    "half an emoji in another field": ({**changed(), "by": {"who": ["", "\ude00"]}}, r"by\.who\[1\] holds half"),
    "half an emoji in a field's name": (changed(**{"\ud83d": 1}), r"the name of a field of samples\[0\] holds half"),
    "same name twice": ({"samples": SMALLEST["samples"] * 2}, r"samples\[1\] 'octopus': .* must be unique"),
    "same name but for case": ({"samples": [SMALLEST["samples"][0], changed(name="Octopus")["samples"][0]]}, "must be unique"),
    "no image": (changed(image=None), '"image" must be the path of a file'),
    "missing image": (changed(image="images/squid.png"), "there is no such file"),
    "image is a folder": (changed(image="images"), "there is no such file"),
    "path too long": (changed(image="a" * 5000), "can't be followed|no such file"),
    "path with NUL": (changed(image="a\x00b"), '"image" is'),
    "absolute path": (changed(image="/etc/passwd"), "an absolute path"),
    "windows drive": (changed(image="C:/octopus.png"), "an absolute path"),
    "backslashes": (changed(image="images\\octopus.png"), 'separate folders with "/"'),
    "path leading out": (changed(image="../d/images/octopus.png"), "leads out of"),
    "mask is a number": (changed(mask=7), '"mask" must be the path of a file'),
    "task is text": (changed(inpaint="a red octopus"), '"inpaint" must be an object'),
    "prompt is a list": (changed(inpaint={"prompt": ["a"]}), r'"inpaint.prompt" must be a string'),
    "negative prompt is a number": (changed(outpaint={"negative_prompt": 1}), r'"outpaint.negative_prompt" must be a string'),
    "seed is text": (changed(inpaint={"seed": "7"}), r"\"inpaint.seed\" must be an integer .* got '7'"),
    "seed is true": (changed(inpaint={"seed": True}), r'"inpaint.seed" must be an integer'),
    "seed is too large": (
        changed(inpaint={"seed": 2**64}),
        r'"inpaint.seed" must be an integer from -2\*\*63 to 2\*\*64 - 1, as torch takes it, got 18446744073709551616',
    ),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_that_cannot_be_used_is_refused(tmp_path, case):
    """
    Each fault in metadata.json raises one ArtifactError that names the place and what is allowed.
    """
    metadata, message = METADATA[case]
    with pytest.raises(ArtifactError, match=message):
        fetch(lay_out(tmp_path / "d", metadata))


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
        (_another_size, "mask octopus.png is 16x24 and the picture 24x16"),
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


@pytest.mark.parametrize("source", ["nowhere", "a/b/c:1", "../x:1", "pocket-scene"])
def test_a_dataset_that_is_not_there_says_what_may_be_given(tmp_path, source):
    """
    An unknown source raises one error that lists the three kinds of datasets.
    """
    with pytest.raises(ArtifactError, match=r"pocket-scenes.*workspace/name:version") as raised:
        fetch(source, datasets_folder=tmp_path)
    assert str(raised.value).endswith("Did you mean pocket-scenes?") == (source == "pocket-scene")


def test_every_unfit_sample_is_listed(tmp_path):
    """
    One error names all samples that can't be used, so that they can be put right at once.
    """
    entries = [{"name": name, "image": "missing.png"} for name in "abc"]
    with pytest.raises(ArtifactError, match=r"3 of 3 samples(?s:.*)samples\[0\] 'a'(?s:.*)samples\[2\] 'c'"):
        fetch(lay_out(tmp_path / "d", {"samples": entries}))


def test_a_field_of_a_later_tasks_name_is_its_authors_own_as_recorded(tmp_path):
    """
    What 0.1.0 passed over in a dataset does not keep its pictures from being made again; words that can be read are read.
    """
    words = {"prompt": "a", "seed": 1}
    folder = tmp_path / "d"
    folder.mkdir()
    Image.new("RGB", (8, 8), "red").save(folder / "a.png")
    sample = {"name": "a", "image": "a.png", "inpaint": words, "text_to_image": "my note", "image_to_image": words}
    (folder / "metadata.json").write_text(json.dumps({"samples": [sample]}))
    with pytest.raises(ArtifactError, match='"text_to_image" must be an object'):
        fetch(folder)
    assert set(fetch(folder, as_recorded=True).sample("a").tasks) == {"inpaint", "image_to_image"}

"""What metadata.json may say: its fields, those of others, and every fault of it by name."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.datasets.metadata import ArtifactError
from sdxl_lab.datasets.metadata_fields import WORDS, misplaced, sample_fields
from sdxl_lab.datasets.sources import fetch
from tests.support.smallest_dataset import SMALLEST, changed, lay_out


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

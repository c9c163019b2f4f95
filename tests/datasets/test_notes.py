from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin
from rich.console import Console

from sdxl_lab.datasets.sources import fetch
from sdxl_lab.pocket.world import draw, object_mask, sample_scene
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.show import print_dataset
from tests.support.datasets import write_dataset
from tests.support.profiles import ADOBE_RGB, GAMMA_22, profile


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


QUICK: dict[str, Any] = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1, "device": "cpu"}}
PICTURE, MASK = draw(sample_scene(1)), object_mask(sample_scene(1))


def linear() -> PngImagePlugin.PngInfo:
    """A chunk that says gamma 1."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))
    return chunks


def half_transparent() -> Image.Image:
    """Make the upper half of the picture transparent."""
    alpha = Image.new("L", PICTURE.size, 255)
    alpha.paste(0, (0, 0, PICTURE.width, PICTURE.height // 2))
    return Image.merge("RGBA", (*PICTURE.split(), alpha))


def alpha_mask() -> Image.Image:
    """Draw the mask as white on transparent."""
    white = Image.new("L", MASK.size, 255)
    return Image.merge("RGBA", (white, white, white, MASK))


FILES: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "phone": (PICTURE, {"icc_profile": profile()}),
    "camera": (PICTURE, {"icc_profile": profile(ADOBE_RGB, GAMMA_22)}),
    "broken": (PICTURE, {"icc_profile": b"nothing"}),
    "linear": (PICTURE, {"pnginfo": linear()}),
    "transparent": (half_transparent(), {}),
    "plain": (PICTURE, {}),
}


@pytest.fixture
def folder(tmp_path):
    """A dataset of pictures of which something is to be said, and one of which nothing is; the last three with an alpha mask."""
    (tmp_path / "scenes").mkdir()
    samples = []
    for number, (name, (picture, options)) in enumerate(FILES.items()):
        picture.save(tmp_path / "scenes" / f"{name}.png", **options)
        (alpha_mask() if number > 2 and name != "plain" else MASK).save(tmp_path / "scenes" / f"{name}-mask.png")
        words = {"prompt": "a red star on grass", "seed": 1}
        samples.append({"name": name, "image": f"{name}.png", "mask": f"{name}-mask.png", "inpaint": words, "outpaint": words})
    (tmp_path / "scenes" / "metadata.json").write_text(json.dumps({"samples": samples}))
    return tmp_path / "scenes"


def resolved(folder: Path, checkpoint: Path, hyperparameters: dict[str, Any] = QUICK, **given: Any) -> Resolved:
    """Resolve a quick run over a dataset."""
    own = {"name": "said", "dataset": str(folder), "checkpoint": str(checkpoint), "tracking": "off", "runs_folder": str(folder.parent / "runs")}
    return resolve(RunSpec.from_parameters(**own, **given, hyperparameters=hyperparameters))


def printed(folder: Path) -> list[str]:
    """What `sdxl-lab fetch` prints of a dataset, line by line."""
    out = io.StringIO()
    print_dataset(fetch(folder), Console(file=out, width=120))
    return out.getvalue().splitlines()


def test_each_fact_of_a_file_is_said_once(folder):
    """
    Profiles are counted in one line with the setting that leaves them alone; what else matters is said by sample, with what to do.
    """
    profiles, broken, gamma, alpha, transparent = fetch(folder).notes
    assert profiles == (
        "2 pictures have a color profile (test) and are converted to sRGB; hyperparameters.image.color_profile ignore takes the numbers as they are"
    )
    assert broken.startswith("broken: the picture's color profile cannot be read")
    assert gamma == "linear: its gamma is 1, and the picture is taken as sRGB all the same; convert it to sRGB first"
    assert alpha.startswith("linear and 1 more: transparent parts of the mask count as black")
    assert transparent.startswith("transparent: 50% of the picture is transparent, and laid over white")


def test_fetch_prints_them_and_each_masks_share(folder):
    """
    Every note stands whole on a line of its own, and each row has the share of white in its mask.
    """
    lines = printed(folder)
    assert set(fetch(folder).notes) <= set(lines)
    share = sum(value >= 128 for value in MASK.tobytes()) / (MASK.width * MASK.height)
    assert sum(f"{share:.0%}" in line for line in lines) == len(FILES)


def test_a_run_says_what_matters_to_it_first(folder, random_pair):
    """
    A run says the notes of the samples that it uses, as it reads them, before those of its words, and keeps none in its pictures.
    """
    words = {"inpaint": {"prompt": "a very " + "very " * 60 + "red star"}}
    found = resolved(folder, random_pair, QUICK | words, samples=["phone", "plain"], tasks=["inpaint"])
    assert found.said[0].startswith("1 picture has a color profile (test) and is converted")
    assert len(found.said) == 2
    assert found.said[1].startswith("phone inpaint and 1 more: prompt has ")
    as_they_are = resolved(
        folder, random_pair, QUICK | {"image": {"color_profile": "ignore", "background": "black"}}, samples=["phone", "transparent"]
    )
    assert [line.partition(" and laid over ")[2].partition(";")[0] for line in as_they_are.said] == ["black", ""]
    plain = resolved(folder, random_pair, samples=["phone"], tasks=["inpaint"])
    assert plain.said
    assert [picture.notes for picture in run(plain)] == [()]


def test_a_plan_says_them_once(folder, random_pair):
    """
    However many points use a dataset, a plan says each note once.
    """
    parameters = {
        key: value for key, value in resolved(folder, random_pair).spec.spec.model_dump(mode="json").items() if key not in ("name", "samples")
    }
    planned = plan(SweepFile.from_dict({"name": "seeds", "parameters": parameters, "grid": {"hyperparameters.seed": [1, 2]}}))
    *said, about_defaults = planned.notes
    assert tuple(said) == fetch(folder).notes
    assert about_defaults.startswith("defaults since 0.1.0: ")


@pytest.mark.parametrize("dataset", ["pocket-scenes", "pocket-scenes-2", "pocket-forty"])
def test_nothing_is_said_of_the_built_in_datasets(dataset):
    """
    The datasets that come with the lab have no notes.
    """
    assert fetch(dataset).notes == ()


def test_words_in_brackets_are_words(tmp_path):
    """
    Prompts and names that look like a terminal's markup are printed as they are.
    """
    folder = write_dataset(tmp_path / "scenes", 1, name="[red]star", inpaint={"prompt": "[bold]a sign[/b] with [/] on it", "seed": 1})
    text = "\n".join(printed(folder))
    assert "[red]star" in text
    assert "[bold]a sign[/b] with [/] on it" in text


def test_what_a_file_says_of_itself_cannot_move_the_cursor(tmp_path):
    """
    A profile's name is a stranger's text: what a terminal would obey is not in a note.
    """
    folder = write_dataset(tmp_path / "scenes", 1)
    PICTURE.save(folder / "0.png", icc_profile=profile().replace("test".encode("utf-16-be"), "\x1b[2J".encode("utf-16-be")))
    (note,) = fetch(folder).notes
    assert "\x1b" not in note
    assert "[2J" in note


def test_a_sample_without_a_mask_has_none(tmp_path):
    """
    A sample without a mask has no share.
    """
    assert any("none" in line for line in printed(write_dataset(tmp_path / "scenes", 1, mask=None)))


def test_what_a_task_does_not_read_is_not_spoken_of(tmp_path, folder, random_pair):
    """
    In whatever order tasks stand, a picture is spoken of as those read it that do, and its mask where one needs it.
    """
    metadata = json.loads((folder / "metadata.json").read_text())
    for sample in metadata["samples"]:
        sample |= {"text_to_image": {"prompt": "a red star"}, "image_to_image": {"prompt": "a red star"}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    black = QUICK | {"image": {"background": "black"}}

    def said(*tasks: str) -> set[str]:
        return set(resolved(folder, random_pair, black, samples=["phone", "transparent"], tasks=list(tasks)).said)

    alike = "2 samples get the same prompt and seed, so the same picture: give samples: [phone]"
    assert said("inpaint", "text_to_image") == said("text_to_image", "inpaint") == said("inpaint") | {alike}
    assert {line.partition(" and laid over ")[2][:5] for line in said("inpaint")} == {"", "black"}
    assert said("text_to_image") == {"hyperparameters.image.background has no effect: no task of this run takes it (text_to_image)", alike}
    assert any("transparent parts of the mask" in line for line in said("inpaint"))
    assert said("image_to_image") == {line for line in said("inpaint") if "of the mask" not in line}


def test_a_size_of_another_shape_is_said_to_stretch(tmp_path, random_pair):
    """
    Where a picture would be seen twice as wide or as high, that is said; rounding to latent cells is no matter.
    """
    folder = write_dataset(tmp_path / "scenes")

    def stretched(width: int, height: int) -> list[str]:
        asked = {"size": {"width": width, "height": height}, "prompt": "a"}
        return [line for line in resolved(folder, random_pair, QUICK | asked, tasks=["image_to_image"]).said if "stretched" in line]

    [line] = stretched(128, 64)
    assert line.startswith("pictures of 128x128 are seen at 128x64")
    assert stretched(96, 104) == []

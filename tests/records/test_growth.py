from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import BaseModel

from sdxl_lab.images.png import png
from sdxl_lab.records.stamps import StampError, read_stamp, stamp_of, stamped_png
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings import sections as settings_sections
from sdxl_lab.settings.documents import FIRST_KEYS, Neutral, later_fields, meant, neutral, written
from sdxl_lab.settings.hyperparams import flatten, replace
from sdxl_lab.settings.sections import Compute, Crop, EditSettings, ImageReading, PictureSize
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tasks import TASKS
from tests.records.test_releases import DEMO, LONE, PICTURES, RUNS
from tests.support.datasets import write_dataset
from tests.support.grown_package import SECTIONS, grow, run

READ_ALL = """
import json, sys
from pathlib import Path
import sdxl_lab
from sdxl_lab.viewing import compare
from sdxl_lab.sweeps.attempts import is_done
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path
from sdxl_lab.records.stamps import read_stamp

assert str(Path(sdxl_lab.__file__)).startswith(sys.argv[1]), sdxl_lab.__file__
runs, pictures = json.loads(sys.argv[2]), json.loads(sys.argv[3])
for run in runs:
    folder = RunFolder(run)
    assert folder.resolved.to_json() == folder.spec_file.read_text()
    assert len(folder.pictures()) == 10 and is_done(folder)
    print_path(folder.path)
for picture in pictures:
    stamp = read_stamp(Path(picture))
    assert stamp.is_unchanged
    print("means", picture, [getattr(section, "later", "-") for section in (stamp.edit.settings.mask, stamp.edit)])
compare.compare(runs)
write_report([RunFolder(run) for run in runs], Path(sys.argv[1]) / "report.html")
"""

PLAN_THE_DEMO = """
import json, sys
from sdxl_lab import demo
from sdxl_lab.checkpoints import locating
from sdxl_lab.checkpoints.moved_defaults import pinned
from sdxl_lab.datasets.sources import FIRST_DATASET
from sdxl_lab.kernels import notebooks
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec

own = {"dataset": FIRST_DATASET, "runs_folder": sys.argv[1]}
common, pocket = notebooks.parameters_of(notebooks.find(notebooks.BUILT_IN)) | own, locating.identify("pocket")
for name, hyperparameters in demo.RUNS.items():
    given = pinned(common | {"name": name, "hyperparameters": hyperparameters}, "0.1.0", pocket)
    print(name, resolve(RunSpec.from_parameters(**given)).spec.run_id[:10])
print("whole", resolve(RunSpec.from_parameters(**json.loads(sys.argv[2]))).spec.run_id)
"""
"""And the run of `whole_pictures`."""

CHANGE_EACH = """
import sys
from pathlib import Path
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.resolved_spec import ResolvedSpec

resolved = RunFolder(sys.argv[1]).resolved
edit = resolved.edits[0]
pixels = {"input": "a" * 64, "mask": "b" * 64}

def ids(edit, spec):
    changed = resolved.model_copy(update={"edits": (edit, *resolved.edits[1:]), "spec": spec})
    assert ResolvedSpec.from_json(changed.to_json()).run_id == changed.run_id
    return changed.run_id, changed.picture_id(edit, pixels)

found = {ids(edit, resolved.spec)}
for name in ("denoising", "refiner", "mask", "conditioning", "canvas", "image"):
    section = getattr(edit.settings, name).model_copy(update={"later": 1})
    found.add(ids(edit.model_copy(update={"settings": edit.settings.model_copy(update={name: section})}), resolved.spec))
found.add(ids(edit.model_copy(update={"settings": edit.settings.model_copy(update={"later": 1})}), resolved.spec))
found.add(ids(edit.model_copy(update={"later": 1}), resolved.spec))
found.add(ids(edit, resolved.spec.model_copy(update={"hyperparameters": {"compute": {"later": 1}}})))
print(len({run_id for run_id, _ in found}), len({picture_id for _, picture_id in found}))
"""


LATER_TASKS = [name for name, task in TASKS.items() if not task.is_first]


def whole_pictures(folder: Path) -> dict[str, Any]:
    """
    The parameters of a run of all tasks that came after 0.1.0, refined and with settings of their own.
    """
    words = {task: {"prompt": "a red star", "seed": 5} for task in LATER_TASKS}
    hyperparameters = {"denoising": {"num_inference_steps": 9, "high_noise_frac": 0.8}, "size": {"aspect": "3:2"}, "compute": {"threads": 1}}
    return {
        "name": "whole",
        "dataset": str(write_dataset(folder / "scenes", count=1, **words)),
        "checkpoint": "pocket",
        "tasks": LATER_TASKS,
        "hyperparameters": hyperparameters,
        "runs_folder": str(folder / "runs"),
        "tracking": "off",
    }


def everything() -> tuple[str, str]:
    """
    All runs and pictures of earlier releases, as a process takes them.
    """
    return json.dumps([str(run) for run in RUNS]), json.dumps([str(picture) for picture in PICTURES])


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Path:
    """A later version with an optional key in every section."""
    return grow(tmp_path_factory.mktemp("later"), "later: int | None = None")


def test_a_neutral_key_in_every_section_leaves_all_earlier_records_whole(grown):
    """
    A version with one more optional key in each section shows, compares and reports every earlier run, and believes every earlier picture.
    """
    assert run(grown, READ_ALL, str(grown), *everything()).count("means") == len(PICTURES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Any]:
    """The parameters of a run of the later tasks."""
    return whole_pictures(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def planned(grown, whole, tmp_path_factory) -> dict[str, str]:
    """The ids of the demo's runs and of that one, as the later version plans them."""
    return dict(line.split() for line in run(grown, PLAN_THE_DEMO, str(tmp_path_factory.mktemp("runs")), json.dumps(whole)).splitlines())


def test_a_neutral_key_in_every_section_makes_no_run_again(planned):
    """
    The demo of 0.1.0 has its runs in a version with more keys.
    """
    assert {name: planned[name] for name in DEMO} == DEMO


def test_a_later_key_that_is_not_neutral_names_another_run_and_picture(grown):
    """
    In whichever section it stands.
    """
    assert run(grown, CHANGE_EACH, str(RUNS[0])).split() == [str(1 + len(SECTIONS))] * 2


def test_what_a_document_lacks_is_neutral_not_the_default(tmp_path):
    """
    A key whose default makes other pictures than before is read as its neutral value where an earlier record lacks it.
    """
    other = grow(tmp_path, 'later: Annotated[str, Neutral("as before", since="9.0.0")] = "as today"', tuple({*SECTIONS} - {"Compute"}))
    meanings = [line for line in run(other, READ_ALL, str(other), *everything()).splitlines() if line.startswith("means")]
    assert len(meanings) == len(PICTURES)
    assert all(line.endswith("['as before', 'as before']") for line in meanings)


def sections() -> list[type[BaseModel]]:
    """
    Every class of settings that documents hold.
    """
    return [getattr(settings_sections, name) for name in FIRST_KEYS if hasattr(settings_sections, name)] + [Crop, Edit, ImageReading, PictureSize]


def test_every_later_key_says_since_when_and_what_is_neutral():
    """
    Of the keys that came after 0.1.0 none relies on its default to be neutral; those of `compute`, which documents hold sparse, default to neutral.
    """
    later = {(section.__name__, name): field for section in sections() for name, field in later_fields(section).items()}
    unmarked = [key for key, field in later.items() if not any(isinstance(mark, Neutral) for mark in field.metadata)]
    assert unmarked == [("EditSettings", "image"), ("EditSettings", "size"), ("EditSettings", "crop")]  # sections; their own keys are marked
    assert all(field.default == neutral(field) for field in later_fields(Compute).values())


def test_first_keys_are_those_of_the_first_release():
    """
    The keys that are always written are those that 0.1.0's record holds, no more and no fewer.
    """
    document = json.loads((RUNS[0] / "spec.json").read_text())
    edit = document["edits"][0]
    held = {"Edit": edit, "EditSettings": edit["settings"], "RunSpec": document["spec"], "DatasetIdentity": document["dataset"]}
    held |= {"CheckpointIdentity": document["checkpoint"]}
    held |= {name.capitalize(): edit["settings"][name] for name in ("denoising", "refiner", "mask", "conditioning", "canvas")}
    held |= {"ResolvedSpec": {key: value for key, value in document.items() if key not in ("format", "run_id")}}
    assert {name: set(values) for name, values in held.items()} == {name: set(FIRST_KEYS[name]) for name in held}


def test_writing_and_meaning_are_inverse():
    """
    What is written of settings means those settings, also where a default is not neutral.
    """
    for image in (ImageReading(), ImageReading(color_profile="ignore"), ImageReading(color_profile="ignore", background="gray")):
        whole = EditSettings(image=image)
        assert EditSettings.model_validate(meant(EditSettings, written(whole))) == whole
    assert "image" not in written(EditSettings(image=ImageReading(color_profile="ignore")))


def test_a_document_of_a_later_task_holds_what_the_task_takes(tmp_path):
    """
    No path that it does not take is in it, all that it takes and 0.1.0 knew is, and read back it is the same edit and run.
    """
    resolved = resolve(RunSpec.from_parameters(**whole_pictures(tmp_path))).spec
    document = json.loads(resolved.to_json())
    first = set(flatten(json.loads((RUNS[0] / "spec.json").read_text())["edits"][0]["settings"]))
    assert [edit["task"] for edit in document["edits"]] == LATER_TASKS
    for edit in document["edits"]:
        held, untaken = set(flatten(edit["settings"])), set(TASKS[edit["task"]].untaken)
        assert not held & untaken
        assert first - untaken <= held
    again = ResolvedSpec.from_json(resolved.to_json())
    assert (again.edits, again.run_id, again.to_json()) == (resolved.edits, resolved.run_id, resolved.to_json())


def test_a_neutral_key_leaves_runs_of_later_tasks_what_they_are(planned, whole):
    """
    A version with one more optional key in each section, taken or not, plans the same run of each of these tasks.
    """
    assert planned["whole"] == resolve(RunSpec.from_parameters(**whole)).spec.run_id


@pytest.mark.parametrize(
    ("path", "value"), [("denoising.strength", 0.5), ("mask.kernel_size", 3), ("mode", "canvas"), ("canvas.left_px", 8), ("denoising.strength", "x")]
)
def test_a_stamp_with_a_setting_that_its_task_does_not_take_is_refused(tmp_path, path, value):
    """
    A picture from words that claims a strength, a mask or a canvas has one clear error that names it.
    """
    resolved = resolve(RunSpec.from_parameters(**whole_pictures(tmp_path))).spec
    edit = next(edit for edit in resolved.edits if edit.task == "text_to_image")
    stamp = stamp_of(resolved, edit, versions={"torch": "2"}, hardware=None, instruction_set=None, sha256="a" * 64)
    (tmp_path / "picture.png").write_bytes(stamped_png(Image.new("RGB", (8, 8)), stamp))
    assert read_stamp(tmp_path / "picture.png").edit == edit
    with Image.open(tmp_path / "picture.png") as image:
        text = json.loads(image.info["sdxl_lab"])
        text["resolved"]["edits"][0]["settings"] = replace(text["resolved"]["edits"][0]["settings"], path, value)
        (tmp_path / "picture.png").write_bytes(png(image, {"sdxl_lab": json.dumps(text)}))
    with pytest.raises(StampError, match=rf"(?s)picture\.png does not say how it was made.*{path.rpartition('.')[2]}"):
        read_stamp(tmp_path / "picture.png")


def test_a_document_of_a_later_version_is_called_one():
    """
    A setting that this version does not know is not passed over: the error names it and says to update.
    """
    document = json.loads((RUNS[0] / "spec.json").read_text())
    document["edits"][0]["settings"]["mask"]["later"] = 1
    with pytest.raises(SpecError, match=r"mask\.later: unknown key(.|\n)*later version of sdxl_lab.*update"):
        ResolvedSpec.from_json(json.dumps(document))


def test_lone_pictures_of_each_task_are_kept():
    """
    The pictures that later versions are held to cover both tasks and both ways to outpaint.
    """
    assert {path.stem for path in LONE} >= {"inpaint", "outpaint-background", "outpaint-canvas"}

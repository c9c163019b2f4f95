"""How far masks are grown where nobody says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.asked_again import as_parameters
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.datasets import write_dataset


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global ndimage
    from scipy import ndimage


def two_sizes(folder: Path) -> Path:
    """Write a dataset whose second picture is three times as large as its first."""
    write_dataset(folder, 2)
    metadata = json.loads((folder / "metadata.json").read_text())
    for key in ("image", "mask"):
        path = folder / metadata["samples"][1][key]
        image = Image.open(path)
        image.resize((image.width * 3, image.height * 3), Image.Resampling.NEAREST).save(path)
    return folder


def asked(folder: Path, hyperparameters: dict[str, object]) -> RunSpec:
    """A run over a dataset, both tasks."""
    return RunSpec.from_parameters(
        name="grown", dataset=str(folder), checkpoint="pocket", tracking="off", runs_folder=str(folder / "runs"), hyperparameters=hyperparameters
    )


@pytest.mark.parametrize(
    "hyperparameters", [{}, {"mask": {"kernel_size": "auto"}}, {"mask": {"kernel_size": 5}, "inpaint": {"mask": {"kernel_size": "auto"}}}]
)
def test_the_region_grows_in_proportion_to_the_picture(tmp_path, hyperparameters):
    """
    Unless told otherwise an object's region grows by a sixteenth of the picture's shorter side, its background's by a 128th, as scipy grows them.
    """
    resolved = resolve(asked(two_sizes(tmp_path / "d"), hyperparameters))
    given = {edit.task: resolved.spec.spec.given(edit.task).get("mask", {}).get("kernel_size", "auto") for edit in resolved.spec.edits}
    masks = resolved.masks()
    for edit in resolved.spec.edits:
        sample = resolved.dataset.sample(edit.sample)
        object_mask = np.asarray(sample.mask()) > 0
        region = object_mask if edit.task == "inpaint" else ~object_mask
        reach = round(min(sample.size) / {"inpaint": 16, "outpaint": 128}[edit.task]) if given[edit.task] == "auto" else 2
        assert edit.settings.mask.kernel_size == 2 * reach + 1
        grown = ndimage.binary_dilation(region, np.ones((2 * reach + 1, 2 * reach + 1)))
        assert np.array_equal(np.asarray(masks[f"{edit.sample} {edit.task}"]) > 0, grown)


def test_a_canvas_is_not_grown_by_itself(tmp_path):
    """
    Beyond the borders exactly what is new is painted, but for the overlap.
    """
    resolved = resolve(asked(write_dataset(tmp_path / "d", 1), {"outpaint": {"mode": "canvas", "canvas": {"left_px": 16}}}))
    assert {edit.task: edit.settings.mask.kernel_size > 1 for edit in resolved.spec.edits} == {"inpaint": True, "outpaint": False}


def test_a_record_holds_the_number_and_continues_from_it(tmp_path):
    """
    What is stored names the kernel in pixels, and the parameters that continue from a picture plan that picture.
    """
    resolved = resolve(asked(two_sizes(tmp_path / "d"), {}))
    for edit in resolved.spec.edits:
        assert resolve(RunSpec.from_parameters(**as_parameters(edit, resolved.spec))).spec.edits == (edit,)
    stored = json.loads(resolved.spec.to_json())
    assert {type(edit["settings"]["mask"]["kernel_size"]) for edit in stored["edits"]} == {int}
    assert stored["spec"]["hyperparameters"] == {}


@pytest.mark.parametrize("got", ["Auto", "automatic", 4, 0, 2.0])
def test_other_kernels_are_refused_with_what_is_allowed(got):
    """
    A kernel is an odd number of pixels or `auto`.
    """
    with pytest.raises(
        SpecError, match=r"1 problem in the parameters:\n  - hyperparameters\.mask\.kernel_size: got .*(or auto, in proportion|take 3 or 5)"
    ):
        RunSpec.from_parameters(name="x", dataset="d", checkpoint="pocket", hyperparameters={"mask": {"kernel_size": got}})

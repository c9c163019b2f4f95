"""How long a UNet's forward takes on this machine, by the pictures that it has recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sdxl_lab.files.disk import whole_lines
from sdxl_lab.records import machine
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.settings.sections import Compute

MOST_RUNS = 60
"""How many recorded runs are looked at, the latest first: a plan must not wait for an archive of thousands."""

OF_ALL_ITS_WORK = 0.5
"""A run whose forwards took less than this share of the slowest run's took over an earlier run's work, and says nothing of a forward."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What decides how long a forward takes, besides the machine.

    Attributes:
        checkpoint: Its digest.
        device: As torch writes it; likewise `dtype`.
        threads: CPU threads of torch.
        offload: Where models wait that are not needed.
        switches: What else of `Compute` changes pixels, such as another VAE; as `ComputedBy` has it.
        size: (width, height) in pixels at which the UNets see the picture.
        is_guided: Whether each forward is of two, with the words and without.
    """

    checkpoint: str
    device: str
    dtype: str
    threads: int
    offload: str
    switches: tuple[tuple[str, Any], ...]
    size: tuple[int, int]
    is_guided: bool


class Pace:
    """Seconds of a forward, as far as runs of this machine tell.

    Args:
        folders: What holds folders of runs, such as `artifacts/runs`; they need not exist.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self._found: dict[Load, list[float]] = {}
        records = {record.resolve() for folder in folders for record in folder.glob("*/*/record.json")}
        for record in sorted(records, key=_age)[:MOST_RUNS]:
            for load, seconds in _of_run(RunFiles(record.parent)):
                self._found.setdefault(load, []).append(seconds)

    def forward_s(self, load: Load) -> float | None:
        """Estimate the seconds of one forward; None where nothing like it is recorded here.

        Args:
            load: What is computed.
        """
        found = self._found.get(load, ())
        return median(each for each in found if each >= OF_ALL_ITS_WORK * max(found)) if found else None


def _age(record: Path) -> float:
    try:
        return -record.stat().st_mtime
    except OSError:
        return 0.0


def _of_run(run: RunFiles) -> Iterator[tuple[Load, float]]:
    """For each kind of work in a run, the seconds of a forward in the middle one of its pictures."""
    try:
        spec, local = (json.loads(file.read_text("utf-8")) for file in (run.spec_file, run.local_file))
        if not _is_here(local["machine"], spec["device"]):
            return
        asked = Compute.model_validate(spec["spec"]["hyperparameters"].get("compute") or {})
        guided = {(edit["sample"], edit["task"], edit["seed"]): edit["settings"]["denoising"]["guidance_scale"] > 1 for edit in spec["edits"]}
        taken: dict[Load, list[float]] = {}
        for line in map(json.loads, whole_lines(run.lines_file)):
            load = Load(
                checkpoint=spec["checkpoint"]["digest"],
                **{key: spec[key] for key in ("device", "dtype", "threads")},
                offload=asked.offload,
                switches=tuple(sorted(asked.changing.items())),
                size=(line["working_width"], line["working_height"]),
                is_guided=guided[line["sample"], line["task"], line["seed"]],
            )
            taken.setdefault(load, []).append(line["seconds"] / (line["base_steps"] + line["refiner_steps"]))
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError):  # damaged, or not from here: it says nothing
        return
    yield from ((load, median(seconds)) for load, seconds in taken.items())


def _is_here(facts: dict[str, Any], device: str) -> bool:
    """Whether a run was made by what would compute now."""
    made_by = facts["gpus"][0] if device.startswith("cuda") else facts["processor"]
    return made_by == machine.hardware(device)

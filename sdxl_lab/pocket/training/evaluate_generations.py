"""Say how much better SDXL edits than Stable Diffusion 2: `python -m sdxl_lab.pocket.training.evaluate_generations` writes docs/generations.md.

It reads what the sweep `generations` recorded, and puts a table and a sheet into the page. Numbers are of pocket-forty, the sheet of
pocket-scenes-2. A difference is paired by scene with the older checkpoint's picture of the same seed and mask, and its interval resamples scenes.
What the judge, a small network that knows the built-in world, says is said of no other pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.images.grid import contact_sheet
from sdxl_lab.kernels.examples import examples
from sdxl_lab.pocket.dataset import Edited, forty
from sdxl_lab.pocket.training.card import mean, put, share
from sdxl_lab.pocket.training.evaluate_around import show_another
from sdxl_lab.pocket.training.evaluate_matched import wanted_of
from sdxl_lab.pocket.training.judge import Judge, load_judge
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.sweeps.planner import plan
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.wording import counted

DOCS = Path(__file__).parents[3] / "docs"
PAGE, SHEET = DOCS / "generations.md", DOCS / "images" / "generations.webp"
COUNTED, SHOWN = "pocket-forty", "pocket-scenes-2"
MASKS = {"as it is": True, "dilated": False}
"""Whether a mask is taken exactly, by what the page calls it."""


@dataclass(frozen=True, kw_only=True)
class System:
    """What edits.

    Attributes:
        checkpoint: Its name.
        is_refined: Whether the refiner takes over.
        is_exact: Whether masks are taken as they are.
    """

    checkpoint: str
    is_refined: bool
    is_exact: bool

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> System:
        """That of a planned run."""
        given = parameters["hyperparameters"]
        is_refined = given.get("denoising", {}).get("high_noise_frac") is not None
        return cls(checkpoint=parameters["checkpoint"], is_refined=is_refined, is_exact=given["mask"]["kernel_size"] == 1)

    def called(self) -> str:
        """What a row or column says of it, besides its mask."""
        return f"{self.checkpoint}, refined" if self.is_refined else self.checkpoint


@dataclass(frozen=True, kw_only=True)
class Column:
    """What is measured of pictures of a task.

    Attributes:
        head: The table's.
        task: Of the pictures.
        unit: "%" of what is 100 or 0.
    """

    head: str
    task: str
    unit: str = ""


COLUMNS = {
    "color": Column(head="color, by the judge", task="inpaint", unit="%"),
    "shape": Column(head="shape, by the judge", task="inpaint", unit="%"),
    "seam": Column(head="seam ΔE, inpaint", task="inpaint"),
    "sharpness": Column(head="sharpness, inpaint", task="inpaint"),
    "background": Column(head="background, by the judge", task="outpaint", unit="%"),
    "one": Column(head="one object, by the judge", task="outpaint", unit="%"),
    "seam around": Column(head="seam ΔE, outpaint", task="outpaint"),
}
METRICS = {"seam": "seam_delta_e", "sharpness": "sharpness_inside", "seam around": "seam_delta_e"}


def numbers_of(picture: Picture, edited: Edited, judge: Judge) -> Mapping[str, float]:
    """Measure a picture: the judge's answers as 100 or 0, and its metrics."""
    image, wanted = _read(picture.image), wanted_of(edited, picture.task)
    [verdict] = judge.judge([image])
    if picture.task == "inpaint":
        answers = {"color": verdict.colour == wanted.colour, "shape": verdict.shape == wanted.shape}
    else:
        [another] = show_another([image], [edited.pictures()["masks"]], judge)
        answers = {"background": verdict.background == wanted.background, "one": not another}
    numbers = {name: 100.0 * is_so for name, is_so in answers.items()}
    columns = {name: metric for name, metric in METRICS.items() if COLUMNS[name].task == picture.task}
    return numbers | {name: picture.metrics[metric] for name, metric in columns.items() if metric in picture.metrics}


Numbers = Mapping[tuple[str, str], Mapping[str, float]]
"""What was measured, by sample and task."""


def measured(run: RunFolder, system: System, judge: Judge) -> Numbers:
    """Measure all pictures of a run over the forty scenes."""
    scenes = {edited.name: edited for edited in forty()}
    pictures = each(run.pictures(), f"looking at {system.called()}")
    return {(picture.sample, picture.task): numbers_of(picture, scenes[picture.sample], judge) for picture in pictures}


def table(found: Mapping[System, Numbers], older: str) -> str:
    """Of the older checkpoint what it reaches, of the others that and their difference to it, in bold where its interval leaves out 0."""
    heads = ["mask", "made by", *(column.head for column in COLUMNS.values())]
    rows = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for words, is_exact in MASKS.items():
        before = found[System(checkpoint=older, is_refined=False, is_exact=is_exact)]
        for system, numbers in found.items():
            if system.is_exact == is_exact:
                cells = [cell(name, numbers, None if system.checkpoint == older else before) for name in COLUMNS]
                rows.append(f"| {words} | {system.called()} | {' | '.join(cells)} |")
    return "\n".join(rows)


def cell(name: str, numbers: Numbers, before: Numbers | None) -> str:
    """A value, with its interval; or with the difference to what was before, of the scenes in which both are defined."""
    column = COLUMNS[name]
    own = {key: values[name] for key, values in numbers.items() if key[1] == column.task and name in values}
    if before is None:
        figure = share(name, [number > 0 for number in own.values()]) if column.unit else mean(name, list(own.values()), "")
        return f"{_written(figure.value, column)} ({_written(figure.low, column)} to {_written(figure.high, column)})"
    pairs = [(number, before[key][name]) for key, number in own.items() if name in before[key]]
    difference = mean(name, [after - then for after, then in pairs], "")
    low, high = (_written(number, column, sign="+") for number in (difference.low, difference.high))
    told = f"{_written(difference.value, column, sign='+')} ({low} to {high})"
    reached = _written(sum(own.values()) / len(own), column)
    return f"{reached}, {told if difference.low <= 0 <= difference.high else f'**{told}**'}"


def sheet(runs: Mapping[System, RunFolder]) -> Image.Image:
    """The five scenes by every system, a row a scene and task."""
    pictures = {system: {(picture.sample, picture.task): picture for picture in run.pictures()} for system, run in runs.items()}
    columns = ["input", *(f"{system.called()}\nmask {words}" for words, is_exact in MASKS.items() for system in runs if system.is_exact == is_exact)]
    ordered = [system for is_exact in MASKS.values() for system in runs if system.is_exact == is_exact]
    rows, cells = [], []
    for task in ("inpaint", "outpaint"):
        for key, first in pictures[ordered[0]].items():
            if key[1] == task:
                rows.append(f"{task}:\n{first.prompt}")
                cells.append([_read(first.files["input"]), *(_read(pictures[system][key].image) for system in ordered)])
    return contact_sheet(rows=rows, columns=columns, cells=cells, cell_px=None)


def runs_by_dataset(file: Path) -> Mapping[str, Mapping[System, RunFolder]]:
    """The sweep's runs over each dataset, in its order, wherever they are recorded.

    Raises:
        LabError: Some are not made yet.
    """
    planned = plan(SweepFile.read(file)).runs
    if missing := [run for run in planned if run.status != "done"]:
        raise LabError(f"{len(missing)} of {counted(len(planned), 'run')} not made yet; make them with: sdxl-lab sweep notebooks/{file.name}")
    found: dict[str, dict[System, RunFolder]] = {}
    for run in planned:
        found.setdefault(run.parameters["dataset"], {})[System.of(run.parameters)] = RunFolder(run.folder)
    return found


def _written(number: float, column: Column, sign: str = "") -> str:
    return f"{number:{sign}.{1 if column.unit else 2}f}{column.unit}"


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def main() -> None:
    """Write the answers."""
    runs, judge = runs_by_dataset(examples()["generations"]), load_judge()
    found = {system: measured(run, system, judge) for system, run in runs[COUNTED].items()}
    made = table(found, next(iter(found)).checkpoint)
    print(made, flush=True)
    put(made, "answers of generations", PAGE)
    sheet(runs[SHOWN]).save(SHEET, quality=80)
    print(f"written: the table in {PAGE.name}, and {SHEET.name}", file=sys.stderr)


if __name__ == "__main__":
    as_command(main)

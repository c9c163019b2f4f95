"""The demo: five pictures, both tasks, three ways; then the sheets that show where the ways differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image

from sdxl_lab import progress
from sdxl_lab.files.disk import write_whole
from sdxl_lab.images.grid import contact_sheet, details_box
from sdxl_lab.images.png import png
from sdxl_lab.kernels import notebooks
from sdxl_lab.progress.bars import following
from sdxl_lab.progress.signs import shown
from sdxl_lab.records.picture import Picture
from sdxl_lab.runs.early import home
from sdxl_lab.runs.experiment import execute
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.tracking import tracker
from sdxl_lab.viewing.report import write_report

EXACT = {"mask": {"kernel_size": 1}}
"""The masks as they are: what the two ways before the last are there to show."""

REFINED = {"denoising": {"high_noise_frac": 0.8}}
DILATED = {"mask": {"kernel_size": 25}, "outpaint": {"mask": {"kernel_size": 5}}}
RUNS: Mapping[str, Mapping[str, Any]] = {"base": EXACT, "refined": EXACT | REFINED, "refined-dilated": REFINED | DILATED}
TITLES = {"base": "base", "refined": "base + refiner", "refined-dilated": "base + refiner, dilated mask"}
DETAIL_PX = 256
"""Details smaller than this are enlarged by a whole factor, so that single pixels can be seen."""


def demo() -> None:
    """Make the three runs, those that are not done yet, both sheets and the report; say where to look.

    Raises:
        LabError: A run fails. The next call goes on where it stopped.
    """
    folder = home() / "artifacts" / "runs" / "demo"
    runs = make_runs(folder)
    with shown():
        progress.tell("laying out the sheets and the report")
        write_whole(folder / "contact-sheet.png", png(sheet(runs)))
        write_whole(folder / "details.png", png(details(runs)))
        report = write_report([run.folder for run in runs.values()], folder / "report.html", title="The demo: three ways to edit five pictures")
    here = tracker.short(folder)
    print(f"30 pictures are in {here}; look at {here / 'contact-sheet.png'} first, then at {here / 'details.png'}")
    print(f"to compare them in a browser, settings and metrics included: {tracker.short(report)}")
    print(tracker.of_comet([run.folder for run in runs.values()], folder))


def make_runs(
    folder: Path,
    dataset: str = "pocket-scenes-2",
    checkpoint: str = "pocket",
    hyperparameters: Mapping[str, Any] = MappingProxyType({}),
    *,
    tracking: str = "offline",
) -> dict[str, Resolved]:
    """Run the built-in notebook in three ways, each unless it is done already, in one kernel that stays warm.

    Args:
        folder: The runs' folder.
        dataset: As in `RunSpec`.
        checkpoint: As in `RunSpec`.
        hyperparameters: As in `RunSpec`, beneath those of each run.
        tracking: As in `RunSpec`; archives unless it is said, which anybody can look into.

    Returns:
        Name of each run in `RUNS` to the run, done.
    """
    notebook = notebooks.find(notebooks.BUILT_IN)
    common = notebooks.parameters_of(notebook) | {"dataset": dataset, "checkpoint": checkpoint, "runs_folder": str(folder), "tracking": tracking}
    with following() as follow:
        return {
            name: execute(notebook, common | {"name": name, "hyperparameters": merge(hyperparameters, changed)}, follow, warm=True)
            for name, changed in RUNS.items()
        }


def sheet(runs: Mapping[str, Resolved]) -> Image.Image:
    """Lay all pictures out: a row for each sample and task; input, mask, dilated mask and the results of each run.

    Args:
        runs: What `make_runs` made.

    Returns:
        A labeled picture.
    """
    return _laid_out(runs, lambda _, image: image)


def details(runs: Mapping[str, Resolved]) -> Image.Image:
    """Lay the same pictures out, cropped to the object and what is around it: there refiner and dilation show.

    Args:
        runs: What `make_runs` made.

    Returns:
        A labeled picture, nothing in it scaled down.
    """
    boxes = {sample.name: details_box(mask) for sample in runs["base"].samples if (mask := sample.mask())}

    def crop(picture: Picture, image: Image.Image) -> Image.Image:
        part = image.crop(boxes[picture.sample])
        scale = max(1, DETAIL_PX // max(part.size))
        return part.resize((part.width * scale, part.height * scale), Image.Resampling.NEAREST)

    return _laid_out(runs, crop, cell_px=None)


def _laid_out(runs: Mapping[str, Resolved], view: Any, cell_px: int | None = DETAIL_PX) -> Image.Image:
    base, *others = (run.folder.pictures() for run in runs.values())
    rows, cells = [], []
    for pictures in zip(base, *others, strict=True):
        first, last = pictures[0], pictures[-1]
        files = [first.input_image, first.mask_image, last.mask_image, *(picture.image for picture in pictures)]
        rows.append(f"{first.sample}\n{first.task}: {first.prompt}")
        cells.append([view(first, _read(file)) for file in files])
    columns = ["input", "mask", "dilated mask", *(TITLES[name] for name in runs)]
    return contact_sheet(rows=rows, columns=columns, cells=cells, cell_px=cell_px)


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")

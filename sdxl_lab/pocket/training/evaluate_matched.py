"""Measure what `mask.color_match` does to colors: `python -m sdxl_lab.pocket.training.evaluate_matched` writes it into docs/study.md.

It reads what the sweep `holes` recorded of forty scenes, matched and not, which are the same decoded pictures. What was asked for is known, since the
world draws it: the object's color when inpainting, the background's when outpainting.
"""

from __future__ import annotations

import argparse
import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from sdxl_lab.errors import LabError
from sdxl_lab.metrics.colour import painted_colour
from sdxl_lab.pocket.dataset import Edited, forty
from sdxl_lab.pocket.training.card import Figure, mean, put, share
from sdxl_lab.pocket.training.judge import Judge, load_judge
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import Scene, draw, object_mask, paint_background
from sdxl_lab.records.finding import find_runs
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.early import home

PAGE = Path(__file__).parents[3] / "docs" / "study.md"
TEXTURES = range(20)
"""Seeds of the backgrounds whose mean is the color that one is asked for in."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a picture shows of what it was asked for.

    Attributes:
        is_as_asked: Whether the judge sees the color, or the background, that was asked for.
        off: CIELAB distance (CIEDE2000) from the color that was asked for; None where nothing stands out.
        hue_off_deg: How far its hue is from that one's; None for white, which has none, and for backgrounds.
    """

    is_as_asked: bool
    off: float | None
    hue_off_deg: float | None = None


def painted(picture: Image.Image, mask: Image.Image, wanted: Scene, judge: Judge) -> Seen:
    """Look at the object that was inpainted."""
    [verdict] = judge.judge([picture])
    found = painted_colour(picture, mask)
    if found is None:
        return Seen(is_as_asked=verdict.colour == wanted.colour, off=None)
    asked = np.median(np.asarray(draw(wanted))[np.asarray(object_mask(wanted)) == 255], axis=0)
    turned = abs((_hue_deg(found) - _hue_deg(asked) + 180) % 360 - 180) if wanted.colour != "white" else None
    return Seen(is_as_asked=verdict.colour == wanted.colour, off=_distance(_lab(found), _lab(asked)), hue_off_deg=turned)


def around(picture: Image.Image, mask: Image.Image, wanted: Scene, judge: Judge) -> Seen:
    """Look at the background that was outpainted."""
    [verdict] = judge.judge([picture])
    white = np.asarray(mask) > 127
    worlds = [_lab(paint_background(replace(wanted, texture_seed=seed)))[white].mean(axis=0) for seed in TEXTURES]
    off = _distance(_lab(np.asarray(picture))[white].mean(axis=0), np.mean(worlds, axis=0))
    return Seen(is_as_asked=verdict.background == wanted.background, off=off)


def wanted_of(edited: Edited, task: str) -> Scene:
    """The scene that an edit asks for."""
    colour, shape = edited.inpaint
    return replace(edited.scene, colour=colour, shape=shape) if task == "inpaint" else replace(edited.scene, background=edited.outpaint)


def runs_of(folder: Path) -> Mapping[str | None, RunFolder]:
    """The sweep's runs in which nothing but colors was matched, or not even that, by what `mask.color_match` is.

    Raises:
        LabError: One of them is not made yet.
    """
    found = {}
    for run in find_runs(folder) if folder.exists() else ():
        ways = {(edit.settings.mask.fill, edit.settings.mask.blend, edit.settings.mask.color_match) for edit in run.resolved.edits}
        if run.is_done and len(ways) == 1 and (way := ways.pop())[:2] == ("original", "alpha"):
            found[way[2]] = run
    if found.keys() != {None, "ring"}:
        raise LabError(f"{folder} lacks the runs with and without mask.color_match; make them with: sdxl-lab sweep notebooks/holes.yaml")
    return found


def look(run: RunFolder, task: str, judge: Judge) -> list[Seen]:
    """Look at all pictures of a run and task, by scene."""
    scenes, seen = {edited.name: edited for edited in forty()}, []
    pictures = [picture for picture in run.pictures() if picture.task == task]
    for picture in each(sorted(pictures, key=lambda picture: picture.sample), f"looking, {task}"):
        assert picture.mask_image is not None
        with Image.open(picture.image) as image, Image.open(picture.mask_image) as mask:
            made, region = image.convert("RGB"), mask.convert("L")
        seen.append((painted if task == "inpaint" else around)(made, region, wanted_of(scenes[picture.sample], task), judge))
    return seen


def table(plain: Mapping[str, Sequence[Seen]], matched: Mapping[str, Sequence[Seen]]) -> str:
    """What matching changes, in Markdown: Wilson's 95% intervals of shares, and of paired differences those that resample scenes."""
    rows = ["| | pictures | none | ring | difference |", "|---|---|---|---|---|"]
    for task, what in (("inpaint", "object's color"), ("outpaint", "background")):
        pairs = list(zip(plain[task], matched[task], strict=True))
        hits = [[float(one.is_as_asked) for one in pair] for pair in pairs]
        rows.append(_row(f"{task}: {what} as asked, by the judge", hits, "%"))
        rows.append(_row(f"{task}: {what} off the asked one, ΔE", [[one.off for one in pair] for pair in pairs], ""))
        if task == "inpaint":
            rows.append(_row(f"{task}: hue off the asked one", [[one.hue_off_deg for one in pair] for pair in pairs], "°"))
    return "\n".join(rows)


def _row(what: str, pairs: Sequence[Sequence[float | None]], unit: str) -> str:
    """A row of pairs; those of which one is not defined are left out."""
    known = np.array([pair for pair in pairs if None not in pair], np.float64)
    if unit == "%":
        cells = [share(what, [bool(hit) for hit in column]).cell() for column in known.T]
        return f"| {what} | {len(known)} | {' | '.join(cells)} | {_told(mean(what, 100 * (known[:, 1] - known[:, 0]), ' points'))} |"
    means = [f"{column.mean():.2f}{unit}" for column in known.T]
    return f"| {what} | {len(known)} | {' | '.join(means)} | {_told(mean(what, known[:, 1] - known[:, 0], unit))} |"


def _told(difference: Figure) -> str:
    """With its interval, in bold where that leaves out 0."""
    digits = 1 if difference.unit == " points" else 2
    text = f"{difference.value:+.{digits}f}{difference.unit} ({difference.low:+.{digits}f} to {difference.high:+.{digits}f})"
    return text if difference.low <= 0 <= difference.high else f"**{text}**"


def _lab(levels: np.ndarray) -> np.ndarray:
    from skimage.color import rgb2lab

    return rgb2lab(np.asarray(levels, np.float64) / 255)


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    from skimage.color import deltaE_ciede2000

    return float(deltaE_ciede2000(one, other))


def _hue_deg(rgb: np.ndarray) -> float:
    return 360 * colorsys.rgb_to_hsv(*(float(level) / 255 for level in rgb))[0]


def main() -> None:
    """Look, print, and rewrite the table of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="the sweep's runs (default: artifacts/runs/holes)")
    parser.add_argument("--page", type=Path, default=PAGE, help="gets the table between its marks (default: docs/study.md)")
    arguments = parser.parse_args()
    runs, judge = runs_of(arguments.folder or home() / "artifacts" / "runs" / "holes"), load_judge()
    plain, matched = ({task: look(runs[way], task, judge) for task in ("inpaint", "outpaint")} for way in (None, "ring"))
    made = table(plain, matched)
    print(made, flush=True)
    put(made, "answers of matched", arguments.page)


if __name__ == "__main__":
    as_command(main)

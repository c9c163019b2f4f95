"""How often pictures that are made whole are as asked, by the built-in pocket checkpoint and its judge.

Use: python benchmarks/whole_pictures.py [guidance | handovers | strength | aspects ...] [--pictures 200] [--steps 30] [--folder FOLDER]

`guidance` makes half as many pictures from words at five guidance scales, `handovers` all of them without the refiner and with it, from other words,
`strength` a fifth as many from pictures at seven strengths, `aspects` some that are no squares. What was made is not made again. No caption
stands in the model card's evaluation, and no seed. All together take half an hour on one core.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdxl_lab import RunFolder, SweepFile, contact_sheet, fetch, find_runs, home, plan
from sdxl_lab.pocket.dataset import FOLDER as BUILT_IN
from sdxl_lab.pocket.training import evaluate
from sdxl_lab.pocket.training.card import share
from sdxl_lab.pocket.training.judge import Verdict, load_judge
from sdxl_lab.pocket.training.regions import region
from sdxl_lab.pocket.world import COLOURS, HELD_OUT, PLACES, RADII_PX, SHAPES, caption, sample_scene
from sdxl_lab.settings.arguments import written

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))
KINDS = ("colour", "shape", "background")
FIRST_SEED = 7_000_000
"""Far from the seeds of training, evaluation and the built-in datasets."""
NEAR_PX = 12
"""How far an object's center may move where it is said to be in its place: a small object's radius is 16 pixels or more."""
CHOOSING, MEASURING = 100, 200
"""How many captions settings are chosen by, and how many others are measured with."""


def words() -> list[dict[str, str]]:
    """Captions of all colors, shapes and backgrounds, each about as often, none of which the model card's evaluation used.

    It used all of the pairs that are held out of training, without a size: these have one here, as they had in neither.
    """
    scenes = itertools.product((False, True), range(216))
    used = {caption(sample_scene(evaluate.FIRST_SEED + 50_000 + number, held_out=held_out)) for held_out, number in scenes}
    every = list(itertools.product(COLOURS, SHAPES, PLACES))
    left = [every[index] for index in np.random.RandomState(0).permutation(len(every))]
    rows: list[dict[str, str]] = []
    counts: Counter[str] = Counter()
    while len(rows) < CHOOSING + MEASURING:
        asked = min(left, key=lambda words: sum(counts[word] for word in words))
        left.remove(asked)
        known = dict(zip(KINDS, asked, strict=True))
        scene = replace(sample_scene(0), size=list(RADII_PX)[len(rows) % 3], **known)
        prompt = caption(scene, say_size=asked[:2] in HELD_OUT)
        if prompt not in used:
            rows.append({"prompt": prompt, "seed": str(FIRST_SEED + len(rows)), **known})
            counts.update(asked)
    return rows


def prompts_file(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write a file of prompts, with what they ask for in further columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return path


def pictures_to_remake(folder: Path, count: int) -> Path:
    """Write some of the forty built-in scenes as a dataset for image to image, which asks for what inpainting asks for there."""
    metadata = json.loads((BUILT_IN / "pocket-forty" / "metadata.json").read_text())
    samples = [{key: sample[key] for key in ("name", "image", "mask")} | {"image_to_image": sample["inpaint"]} for sample in metadata["samples"]]
    for kind in ("images", "masks"):
        shutil.copytree(BUILT_IN / "pocket-forty" / kind, folder / kind, dirs_exist_ok=True)
    (folder / "metadata.json").write_text(json.dumps({"samples": samples[:count]}, indent=2))
    return folder


def swept(folder: Path, name: str, dataset: Path, steps: int, **points: Any) -> dict[str, RunFolder]:
    """Make what is missing of a sweep by the lab's own command: its runs by what sets them apart, in order."""
    task = name.partition("-")[0]
    hyperparameters = {"prompt": None, "denoising": {"num_inference_steps": steps}}  # the dataset's own, not the notebook's
    parameters = {"dataset": str(dataset), "tracking": "off", "runs_folder": str(folder / name), "hyperparameters": hyperparameters}
    path = folder / f"{name}.yaml"
    path.write_text(written({"name": name, "notebook": task, "parameters": parameters, **points}))
    subprocess.run([COMMAND, "sweep", str(path)], check=True, stdout=sys.stderr)
    runs = {run.resolved.run_id: run for run in find_runs(folder / name)}
    return {run.label: runs[run.run_id] for run in plan(SweepFile.read(path)).runs}


def place(picture: Image.Image, colour: str, background: str) -> np.ndarray | None:
    """Where an object of a color is, (x, y) in pixels: the center of its region; None without one."""
    inside = region(picture, colour, background)
    return None if inside is None else center(inside)


def center(inside: np.ndarray) -> np.ndarray:
    """The middle of a region, (x, y) in pixels."""
    return np.argwhere(inside).mean(axis=0)[::-1]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A picture and what the judge says of it; `hits` by kind, whether that was asked for."""

    picture: Image.Image
    prompt: str
    sample: str
    verdict: Verdict
    hits: Mapping[str, bool]


def seen(run: RunFolder, expected: Mapping[str, Mapping[str, str]]) -> list[Seen]:
    """Look at a run's pictures, which are of one size.

    Args:
        run: It is done.
        expected: By sample, the color, shape and background that are asked for.
    """
    pictures = [Image.open(picture.image).convert("RGB") for picture in run.pictures()]
    rows = []
    for recorded, picture, verdict in zip(run.pictures(), pictures, load_judge().judge(pictures), strict=True):
        asked = expected[recorded.sample]
        hits = {kind: getattr(verdict, kind) == asked[kind] for kind in KINDS}
        rows.append(Seen(picture=picture, prompt=recorded.prompt, sample=recorded.sample, verdict=verdict, hits=hits | {"all": all(hits.values())}))
    return rows


def print_table(of: str, rows: Mapping[str, Mapping[str, Sequence[bool]]], **further: Sequence[str]) -> None:
    """Print shares in percent with their 95% intervals, as a table in Markdown: a row a setting, a column a kind of hit."""
    kinds = list(next(iter(rows.values())))
    print(f"\n| {of} | n | {' | '.join([*kinds, *further])} |\n|{'---|' * (2 + len(kinds) + len(further))}")
    for (label, hits), *others in zip(rows.items(), *further.values(), strict=True):
        cells = [f"{figure.value:.1f} ({max(figure.low, 0):.1f} to {figure.high:.1f})" for figure in (share(kind, hits[kind]) for kind in kinds)]
        print(f"| {label} | {len(hits[kinds[0]])} | {' | '.join([*cells, *others])} |")


def hits_of(rows: Sequence[Seen]) -> dict[str, list[bool]]:
    """By kind, which pictures are as asked."""
    return {name.replace("colour", "color"): [row.hits[name] for row in rows] for name in (*KINDS, "all")}


def from_words(folder: Path, name: str, rows: Sequence[Mapping[str, str]], steps: int, **points: Any) -> dict[str, list[Seen]]:
    """Make pictures from words at each point of a sweep, and look at them."""
    file = prompts_file(folder / f"{name}.csv", rows)
    expected = {sample.name: {kind: sample.extra[kind] for kind in KINDS} for sample in fetch(str(file)).samples}
    return {label: seen(run, expected) for label, run in swept(folder, f"text_to_image-{name}", file, steps, **points).items()}


def guidance(folder: Path, count: int, steps: int) -> None:
    """Print how often pictures from words are as asked at each guidance scale, of the same words and seeds."""
    scales = [2.0, 3.0, 5.0, 7.5, 10.0]
    looked = from_words(folder, "guidance", words()[:CHOOSING][: count // 2], steps, grid={"hyperparameters.denoising.guidance_scale": scales})
    print_table("text to image", {label: hits_of(rows) for label, rows in looked.items()})


def handovers(folder: Path, count: int, steps: int) -> None:
    """Print how often pictures from words are as asked by the task's own defaults, and how often with the refiner, and draw some of them."""
    points = {"grid": {"hyperparameters.denoising.high_noise_frac": [None, 0.8]}, "points": [{"hyperparameters.denoising.handover": "sdedit"}]}
    looked = from_words(folder, "handovers", words()[CHOOSING:][:count], steps, **points)
    print_table("text to image", {label: hits_of(rows) for label, rows in looked.items()})
    few = looked["high_noise_frac=none"][:24]
    lines = [few[start : start + 6] for start in range(0, len(few), 6)]
    labels = ["\n".join(f"{number} {row.prompt}" for number, row in enumerate(line, start=1)) for line in lines]
    cells = [[row.picture for row in line] + [None] * (6 - len(line)) for line in lines]
    sheet = contact_sheet(rows=labels, columns=[*"123456"], cells=cells)
    sheet.save(folder / "handovers.webp", quality=85)


def strength(folder: Path, count: int, steps: int) -> None:
    """Print how often image to image makes another object of a scene's, and how often in its place, at each strength."""
    dataset = pictures_to_remake(folder / "pictures", -(-count // 5))
    samples = {sample.name: sample for sample in fetch(str(dataset)).samples}
    expected = {name: sample.tasks["image_to_image"].extra["expected"] for name, sample in samples.items()}
    runs = swept(folder, "image_to_image-strength", dataset, steps, grid={"hyperparameters.denoising.strength": "0.3-0.9 (0.1)"})
    table, medians = {}, []
    for label, run in runs.items():
        rows = seen(run, expected)
        moved = np.array([moved_px(row, samples[row.sample].mask()) for row in rows])
        changed = [row.hits["colour"] and row.hits["shape"] for row in rows]
        table[label] = {name: hits for name, hits in hits_of(rows).items() if name != "all"} | {
            "color and shape": changed,
            f"within {NEAR_PX} px": list(moved <= NEAR_PX),
            "color and shape there": [is_other and px <= NEAR_PX for is_other, px in zip(changed, moved, strict=True)],
        }
        medians.append(f"{np.median(moved):.1f}")
    print_table("image to image", table, **{"median px": medians})


def moved_px(row: Seen, mask: Image.Image | None) -> float:
    """How far the center of what the judge saw is from that of the object which was there; infinitely far where it saw none."""
    found = row.verdict.colour and place(row.picture, row.verdict.colour, row.verdict.background)
    if found is None or mask is None:
        return np.inf
    return float(np.hypot(*(found - center(np.asarray(mask) > 0))))


def aspects(folder: Path, count: int, steps: int) -> None:
    """Print how often pictures from words are as asked where they are no squares, and draw them."""
    sizes = [{"aspect": "3:2"}, {"aspect": "16:9"}, {"aspect": "2:3"}, {"width": 192, "height": 128}]
    points = [{"hyperparameters": {"size": size}} for size in sizes]
    looked = from_words(folder, "aspects", words()[CHOOSING:][: -(-count // 16)], steps, points=points)
    print_table("text to image", {f"{label} {'x'.join(map(str, rows[0].picture.size))}": hits_of(rows) for label, rows in looked.items()})
    rows = [row.prompt for row in next(iter(looked.values()))]
    cells = [list(pictures) for pictures in zip(*([row.picture for row in rows] for rows in looked.values()), strict=True)]
    contact_sheet(rows=rows, columns=list(looked), cells=cells).save(folder / "aspects.webp", quality=85)


PARTS = {"guidance": guidance, "handovers": handovers, "strength": strength, "aspects": aspects}


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--pictures", type=int, default=MEASURING, help="how many captions figures rest on (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=30, help="denoising steps of a picture (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=home() / "artifacts" / "runs" / "whole-pictures", help="of the runs (default: %(default)s)")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for part in given.parts or PARTS:
        PARTS[part](given.folder, given.pictures, given.steps)


if __name__ == "__main__":
    main()

"""Measure what distances say of worse pictures: `python -m sdxl_lab.pocket.training.evaluate_distances` writes it into docs/distances.md.

Scenes of the pocket world as it draws them, blurred and with noise, and the checkpoint's own pictures of their captions at few steps and at many,
each against as many other scenes. The checkpoint's pictures are kept as they are made, so that a second call goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

from sdxl_lab.checkpoints.checkpoint import Checkpoint
from sdxl_lab.checkpoints.loading import load
from sdxl_lab.distances import DISTANCES, Estimate, Seen, jackknife
from sdxl_lab.distances.printed import ends, short
from sdxl_lab.distances.results import Measured
from sdxl_lab.extractors import Extractor, open_extractor
from sdxl_lab.files.digests import cache_folder
from sdxl_lab.pocket.training.card import put
from sdxl_lab.pocket.training.evaluate import FIRST_SEED, GUIDANCE_SCALE
from sdxl_lab.pocket.training.under_way import as_command, each
from sdxl_lab.pocket.world import caption, draw, sample_scene
from sdxl_lab.settings.sections import Compute

PAGE = Path(__file__).parents[3] / "docs" / "distances.md"
OURS, OTHERS = FIRST_SEED + 400_000, FIRST_SEED + 600_000
BATCH = 8
STEPS = (30, 10, 5)
"""The last are those that should be worse."""
BLURS_PX, NOISES = (2, 4, 8), (24, 48, 96)
"""Beyond what the judge was trained not to mind."""
COUNTS = (40, 100, 260, 500, 1000, 2000, 4000)
METRICS = ("fid", "kid", "precision", "recall")


def scenes(first: int, count: int) -> list[Image.Image]:
    """Pictures of scenes as the world draws them."""
    return [draw(sample_scene(first + index)) for index in each(range(count), "scenes")]


def blurred(picture: Image.Image, radius_px: float) -> Image.Image:
    """A picture with a Gaussian blur."""
    return picture.filter(ImageFilter.GaussianBlur(radius_px))


def noisy(picture: Image.Image, number: int, levels: float) -> Image.Image:
    """A picture with Gaussian noise of its own, of a standard deviation in levels of 255."""
    noise = levels * np.random.RandomState(number).standard_normal((picture.height, picture.width, 3))
    return Image.fromarray(np.clip(np.rint(np.asarray(picture) + noise), 0, 255).astype(np.uint8))


def made(folder: Path, steps: int, count: int) -> Iterator[Image.Image]:
    """The checkpoint's pictures of the scenes' captions; those that lie in the folder are not made again."""
    starts = range(0, count, BATCH)
    missing = [start for start in starts if not _batch(folder, steps, start).is_file()]
    if missing:
        checkpoint = load("pocket", Compute())
        for start in each(missing, f"pocket, {steps} steps", unit="batch"):
            _make(checkpoint, _batch(folder, steps, start), steps, start)
    pictures = (Image.fromarray(levels) for start in starts for levels in np.load(_batch(folder, steps, start)))
    return (picture for picture, _ in zip(pictures, range(count), strict=False))


def seen(extractor: Extractor, name: str, pictures: Iterable[Image.Image], scene: str) -> Seen:
    """What the extractor sees of pictures, each of a scene of its own; sets of the same scenes are left out alike."""
    features = extractor.features(pictures).astype(np.float64)
    return Seen(name=name, n=len(features), features=features, samples=[f"{scene} {index}" for index in range(len(features))])


def measured(ours: Seen, other: Seen) -> dict[str, Estimate]:
    """The distances of one set from another."""
    parts = jackknife.parts_of(ours.samples, other.samples)
    return {name: DISTANCES[name].of(ours, other, parts, {}) for name in METRICS}


def of_spoiled(looked_at: Mapping[str, Seen], other: Seen) -> str:
    """The table of sets that are known to be worse, and by how much more their FID is than that of what they are worse than."""
    found = {name: measured(ours, other) for name, ours in looked_at.items()}
    rows = {name: [_cell(name, each) for name, each in estimates.items()] for name, estimates in found.items()}
    *others, fewest = map(_made_in, STEPS)
    for name, estimates in found.items():
        better = others if name == fewest else ["scenes"] if name != "scenes" else []
        rows[name].append("; ".join(f"{_cell('more', _less(estimates['fid'], found[each]['fid']))}, {each}" for each in better))
    return _table(f"{other.n} pictures", rows, [*METRICS, "fid more than of"])


def of_counts(ours: Seen, other: Seen) -> str:
    """The table of how much of a distance is too few pictures: scenes against other scenes, which differ in nothing."""
    found = {n: measured(_first(ours, n), _first(other, n)) for n in COUNTS if n <= (ours.n or 0)}
    rows = {str(n): [_cell(name, each) for name, each in estimates.items()] for n, estimates in found.items()}
    return _table("scenes against as many others", rows, METRICS)


def _less(estimate: Estimate, other: Estimate) -> Estimate:
    """The difference of two numbers from which the same parts were left out."""
    assert estimate.without is not None
    assert other.without is not None
    return Estimate(value=estimate.value - other.value, without=estimate.without - other.without, parameters={})


def _table(title: str, rows: Mapping[str, Sequence[str]], columns: Sequence[str]) -> str:
    head = [f"| {title} | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    return "\n".join(head + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()])


def _cell(name: str, estimate: Estimate) -> str:
    limits = DISTANCES[name].limits if name in DISTANCES else (-np.inf, np.inf)
    low, high = jackknife.interval(estimate, limits) or (None, None)
    number = Measured(value=estimate.value, low=low, high=high)
    return f"{short(number.value, number)} {ends(number)}".strip()


def _first(whole: Seen, count: int) -> Seen:
    assert whole.features is not None
    return Seen(name=whole.name, n=count, features=whole.features[:count], samples=whole.samples[:count])


def _made_in(steps: int) -> str:
    return f"made from captions, {steps} steps"


def _batch(folder: Path, steps: int, start: int) -> Path:
    return folder / f"{steps}-steps" / f"{start:04}.npy"


def _make(checkpoint: Checkpoint, file: Path, steps: int, start: int) -> None:
    """A batch of pictures, with diffusers' own pipeline."""
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pipe(checkpoint.base, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    numbers = range(start, start + BATCH)
    generators = [torch.Generator().manual_seed(number) for number in numbers]
    prompts = [caption(sample_scene(OURS + number)) for number in numbers]
    pictures = pipeline(prompts, num_inference_steps=steps, guidance_scale=GUIDANCE_SCALE, generator=generators, height=128, width=128).images
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    with unfinished.open("wb") as stream:
        np.save(stream, np.stack([np.asarray(picture) for picture in pictures]))
    unfinished.replace(file)


def main() -> None:
    """Make what is missing, measure, print, and rewrite the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000, help="pictures a set has (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=cache_folder() / "pocket-distances", help="where pictures are kept (default: %(default)s)")
    asked = parser.parse_args()
    extractor, drawn = open_extractor(), scenes(OURS, asked.count)
    other = seen(extractor, "other scenes", scenes(OTHERS, asked.count), "other")
    sets: dict[str, Iterable[Image.Image]] = {"scenes": drawn}
    sets |= {f"blurred by {radius} pixels": map(partial(blurred, radius_px=radius), drawn) for radius in BLURS_PX}
    sets |= {f"noise of {levels} levels": map(partial(noisy, levels=levels), drawn, range(asked.count)) for levels in NOISES}
    sets |= {_made_in(steps): made(asked.folder, steps, asked.count) for steps in STEPS}
    looked_at = {name: seen(extractor, name, pictures, "scene") for name, pictures in sets.items()}
    tables = {"spoiled": of_spoiled(looked_at, other), "counts": of_counts(looked_at["scenes"], other)}
    for name, table in tables.items():
        print(table, end="\n\n")
        put(table, name, PAGE)


if __name__ == "__main__":
    as_command(main)

"""The page of `sdxl-lab memory`: what a run's models take, and the fastest settings with which it fits each card."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.needs import Needs, fastest_offload, needs_of, needs_of_any, tile_side_px
from sdxl_lab.checkpoints.own_defaults import defaults
from sdxl_lab.checkpoints.shapes import Shapes, shapes_of
from sdxl_lab.families import family_of
from sdxl_lab.generation.frames import whole_size
from sdxl_lab.settings.sections import Compute, EditSettings
from sdxl_lab.spec.homes import laid_out as laid_out_for
from sdxl_lab.spec.homes import task_that_takes, unknown
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tables import laid_out
from sdxl_lab.tasks import TASKS

TASK = "text_to_image"
"""What is reckoned where no setting is of another task."""

OF_RUNS = RunSpec.model_fields.keys() - {"hyperparameters"}
"""Parameters that are no settings of a picture."""

CARDS = (6, 8, 12, 16, 24)
"""What cards are sold as, in GiB."""

TAKEN_BYTES = 600_000_000
"""Of each card, by the driver and by PyTorch itself."""

FIX, TILES, FP8 = {"vae": "fp16-fix"}, {"vae_tiling": True}, {"layerwise": "fp8"}
MODEL, GROUP, SEQUENTIAL = ({"offload": name} for name in ("model", "group", "sequential"))
WAYS: Sequence[Mapping[str, Any]] = (
    {},
    *(FIX, TILES, FP8, {**FP8, **FIX}, {**FP8, **TILES}),
    *(MODEL, {**MODEL, **FIX}, {**MODEL, **TILES}, {**MODEL, **FP8}, {**MODEL, **FP8, **TILES}),
    *(GROUP, {**GROUP, **TILES}),
    *(SEQUENTIAL, {**SEQUENTIAL, **TILES}),
)
"""What may be set, the fastest first, by what is copied how often: nobody has timed them here."""

_LAST = (
    "So for paint; for runs the path is hyperparameters.compute.offload.",
    "Reckoned from shapes, with 1.1 GB to spare; no GPU was measured.",
)

WORTHWHILE = 0.97
"""A slower way that takes more than this share of a faster one's is left out."""

KNOWN_BY = {
    "files": "Sizes by the headers of its files.",
    "configurations": "Sizes by its configurations; its weights are not all here.",
    "name": "Sizes by what was published; it is not here yet.",
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """Settings, and what they make a run take.

    Attributes:
        settings: Of `Compute`, beside those that were asked for.
        needs_bytes: Of a GPU.
    """

    settings: Mapping[str, Any]
    needs_bytes: int

    @property
    def keeps_pixels(self) -> bool:
        """Whether it makes the picture that it makes without."""
        return self.settings.keys() <= {"offload"}

    @property
    def card(self) -> int | None:
        """The smallest card that it fits, in GiB."""
        return next((card for card in CARDS if self.needs_bytes <= free_bytes_of(card)), None)

    def __str__(self) -> str:
        return " ".join(f"-p {name} {'true' if value is True else value}" for name, value in self.settings.items()) or "as asked"


def free_bytes_of(card: int) -> int:
    """What is free of a card that is sold as so many GiB, without a desktop on it."""
    return (card << 30) - TAKEN_BYTES


def page(checkpoint: str, asked: Mapping[str, Any]) -> str:
    """Reckon what a picture takes; nothing is loaded and nothing downloaded.

    It is one from words, unless settings such as `padding_mask_crop` are of another task. That is then reckoned at the size at which models see any
    picture of the checkpoint's own shape.

    Args:
        checkpoint: A name, a folder, a .safetensors file or a hub id.
        asked: Settings by section or by their names, such as `width`.

    Returns:
        A text of at most 80 columns.

    Raises:
        SpecError: There is no such setting, or its value is not allowed.
        CheckpointError: There is no such checkpoint, something of it is broken, or nothing is known of its size.
    """
    task = task_that_takes(asked, TASK)
    spec = _spec(checkpoint, task, asked)
    source = locate(checkpoint)
    shapes = shapes_of(source, spec.compute.prediction)
    suits = defaults(CheckpointIdentity(name=checkpoint, digest="unknown", family=shapes.family), task=task)
    side = math.isqrt(shapes.sizes.area)
    own = (side, side)
    settings, compute = spec.settings(task, suits, own if TASKS[task].needs_image else None, shapes.sizes), spec.compute
    width, height = whole_size(settings, own, shapes.sizes)
    settings = settings.model_copy(update={"size": settings.size.model_copy(update={"width": width, "height": height})})
    is_auto = compute.offload == "auto"
    if is_auto:
        compute = Compute.model_validate(compute.model_dump(exclude_unset=True, exclude={"offload"}))
    ways = list(_ways(shapes, compute, settings))
    needs = _needs(shapes, compute, settings)
    lines = [*_head(checkpoint, task, shapes, compute, settings), "", *_models(shapes, needs), "", *_table(ways), "", *_cards(ways), ""]
    return "\n".join([*lines, *(_chosen(shapes, compute) if is_auto else []), *_LAST])


def _spec(checkpoint: str, task: str, asked: Mapping[str, Any]) -> RunSpec:
    others = [f"{name}: it makes nothing larger or smaller; give settings of a picture, such as width or vae" for name in asked if name in OF_RUNS]
    hyperparameters, twice = laid_out_for(task, asked)
    if problems := [*others, *unknown(task, asked), *twice]:
        raise SpecError(problems, "the settings")
    return RunSpec.from_parameters(name="memory", dataset="pocket-prompts", checkpoint=checkpoint, tasks=[task], hyperparameters=hyperparameters)


def _needs(shapes: Shapes, compute: Compute, settings: EditSettings) -> Needs:
    width, height = settings.size.given or (0, 0)
    is_refined, is_guided = settings.denoising.is_refined, settings.denoising.guidance_scale > 1
    return needs_of(shapes, compute, pixels=width * height, is_refined=is_refined, is_guided=is_guided)


def _ways(shapes: Shapes, compute: Compute, settings: EditSettings) -> Iterator[Way]:
    """Those that take less than all faster ones or, if they keep pixels, than all faster ones that do."""
    width, height = settings.size.given or (0, 0)
    idle = set()
    if family_of(shapes.family).fixed_vae is None or shapes.vae_dtype(compute) == shapes.dtype(compute):
        idle.add("vae")
    if width * height <= tile_side_px(shapes.sizes) ** 2:
        idle.add("vae_tiling")
    given = compute.model_fields_set
    least, least_same = math.inf, math.inf
    for settings_of_way in WAYS:
        if idle & settings_of_way.keys() or given & settings_of_way.keys():
            continue
        changed = compute.model_copy(update=settings_of_way)
        way = Way(settings=settings_of_way, needs_bytes=_needs(shapes, changed, settings).on_gpu(changed.offload))
        if way.needs_bytes < WORTHWHILE * (least_same if way.keeps_pixels else least):
            yield way
            least = min(least, way.needs_bytes)
            least_same = min(least_same, way.needs_bytes) if way.keeps_pixels else least_same


def _head(checkpoint: str, task: str, shapes: Shapes, compute: Compute, settings: EditSettings) -> list[str]:
    width, height = settings.size.given or (0, 0)
    refined = "and its refiner" if settings.denoising.is_refined else "without a refiner"
    if not settings.denoising.is_refined and "refiner" in shapes.layers:
        refined = "without its refiner, which -p high_noise_frac 0.8 asks for"
    return [
        f"{checkpoint}, {refined}",
        KNOWN_BY[shapes.known_by],
        f"{'' if task == TASK else f'{task} at '}{width}x{height} in {shapes.dtype(compute)}, the VAE in {shapes.vae_dtype(compute)}",
    ]


def _models(shapes: Shapes, needs: Needs) -> list[str]:
    names = [*needs.weights]
    numbers = [sum(layer.numbers for layer in shapes.layers[name]) for name in names]
    columns = [
        ("model", [*names, "all"]),
        ("numbers", [f"{count:,}" for count in (*numbers, sum(numbers))]),
        ("weights", [gigabytes(size) for size in (*needs.weights.values(), sum(needs.weights.values()))]),
        ("at work", [*(gigabytes(needs.at_work[name]) if name in needs.at_work else "" for name in names), ""]),
    ]
    return laid_out(columns, left=1)


def _table(ways: Sequence[Way]) -> list[str]:
    columns = [
        ("settings, the fastest first", [str(way) for way in ways]),
        ("pixels", ["same" if way.keeps_pixels else "other" for way in ways]),
        ("takes", [gigabytes(way.needs_bytes) for way in ways]),
        ("fits", [f"{way.card} GB" if way.card else "no card" for way in ways]),
    ]
    return laid_out(columns, left=2)


def _cards(ways: Sequence[Way]) -> list[str]:
    """For each card the fastest way that fits, and where that makes other pixels the fastest that keeps them."""
    rows: list[tuple[str, str]] = []
    for card in CARDS:
        fitting = [way for way in ways if way.needs_bytes <= free_bytes_of(card)]
        fastest, keeping = fitting[:1], [way for way in fitting if way.keeps_pixels][:1]
        chosen = fastest if fastest == keeping else fastest + keeping
        said = [f"{way}{'' if way.keeps_pixels or not keeping else ', or, with the same pixels:'}" for way in chosen] or [
            "a smaller picture, or none"
        ]
        rows += [(f"{card} GB" if index == 0 else "", line) for index, line in enumerate(said)]
    names, lines = zip(*rows, strict=True)
    return laid_out([("card", list(names)), ("the fastest that fits", list(lines))], left=2)


def _chosen(shapes: Shapes, compute: Compute) -> list[str]:
    """What `offload: auto` comes to on each card."""
    needs = needs_of_any(shapes, compute)
    cards: dict[str, list[str]] = {}
    for card in CARDS:
        cards.setdefault(fastest_offload(needs, free_bytes_of(card)), []).append(str(card))
    said = [f"{offload} on {' or '.join(filter(None, [', '.join(sizes[:-1]), sizes[-1]]))} GB" for offload, sizes in cards.items()]
    return [f"auto takes {', '.join(said)}."]


def gigabytes(size: int) -> str:
    """Bytes as people read them; a GB is a billion."""
    return f"{size / 1e9:.2f} GB"

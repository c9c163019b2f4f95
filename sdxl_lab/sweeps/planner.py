"""From a sweep file to a plan: every point resolved, and compared with what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sdxl_lab import families, progress
from sdxl_lab.checkpoints import descriptions, locating, outlines, own_defaults, settling, tokens, whole_weights
from sdxl_lab.checkpoints.moved_defaults import noticed, pinned
from sdxl_lab.checkpoints.outlines import Outline
from sdxl_lab.checkpoints.single_files import file_meant_by
from sdxl_lab.datasets import sources
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.notes import gathered
from sdxl_lab.errors import LabError
from sdxl_lab.families import Sizes
from sdxl_lab.files.room import check_room
from sdxl_lab.generation.inputs import Pixels, as_edited, refined_key, seen, trajectory_key, words_of
from sdxl_lab.generation.regions import placing, regions
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs import resolution
from sdxl_lab.runs.faults import window_of
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.settings.documents import RELEASES
from sdxl_lab.settings.hyperparams import merge
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.asked_again import with_files
from sdxl_lab.spec.edit import Edit, PictureKey
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.applies import advice
from sdxl_lab.sweeps.attempts import begun, is_done
from sdxl_lab.sweeps.pace import Load, Pace
from sdxl_lab.sweeps.plan import Plan, PlannedRun, Work, grouped
from sdxl_lab.sweeps.sweep_file import Point, SweepFile
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import few

_T = TypeVar("_T")

WAYS = ("steps", "guidance", "strength", "seen at")
"""What a checkpoint may do in a way of its own."""


class PlanError(SpecError):
    """A sweep that cannot be run as it is. Lists every problem of every point."""


def plan(file: SweepFile) -> Plan:
    """Resolve every point of a sweep, and order them so that they share the most; no weights are loaded and nothing is written.

    Args:
        file: The sweep.

    Returns:
        The plan. What a point left to the machine (dtype, threads) is chosen here, once for all workers.

    Raises:
        PlanError: Points that cannot be run: a dataset, a checkpoint, a mask or a step is missing. Lists every problem.

    Examples:
        With the `file` of `SweepFile`'s example:

        >>> planned = plan(file)
        >>> [run.status for run in planned.runs]
        ['new', 'new']
    """
    resolver = _Resolver(file.defaults)
    problems: dict[str, list[str]] = {}
    runs: dict[str, PlannedRun] = {}
    for point in progress.told(file.points, f"planning {file.name}", unit="point"):
        try:
            run = resolver.planned(point)
            runs.setdefault(run.run_id, replace(run, place=len(runs)))
        except LabError as error:
            for line in getattr(error, "problems", (str(error),)):
                problems.setdefault(line, []).append(point.label)
    if problems:
        lines = [line + _where(labels, len(file.points)) for line, labels in problems.items()]
        raise PlanError([*lines, *advice(problems)], f"the points of sweep {file.name}")
    runs_folder = Path(next(iter(runs.values())).parameters["runs_folder"])
    to_make = [resolver.sizes[run.run_id][key] for run in runs.values() if run.status != "done" for key in run.pending]
    return Plan(
        name=file.name,
        notebook=file.notebook,
        runs_folder=runs_folder,
        groups=grouped(list(runs.values())),
        points=len(file.points),
        notes=(
            *file.left_out,
            *resolver.of_samples,
            *check_room(runs_folder, to_make),
            *gathered(resolver.notes),
            *resolver.of_checkpoints,
            *resolver.of_ways,
            *_about_defaults(resolver.moved),
        ),
    )


class _Resolver:
    """Resolves points, each dataset, checkpoint and mask once."""

    def __init__(self, release: str | None) -> None:
        self._known: dict[Hashable, Any] = {}
        self._release = release
        self.notes: dict[str, tuple[str, ...]] = {}
        self.of_samples: dict[str, None] = {}
        self.moved: dict[str, tuple[Any, Any]] = {}
        self.sizes: dict[str, dict[PictureKey, tuple[int, int]]] = {}
        self.of_checkpoints: dict[str, None] = {}
        self._ways: dict[str, dict[str, dict[str, None]]] = {}

    def planned(self, point: Point) -> PlannedRun:
        dataset = self._once(("dataset", point.spec.dataset), lambda: resolution.fetch(point.spec.dataset))
        identity = self._once(("checkpoint", point.spec.checkpoint), lambda: locating.identify(point.spec.checkpoint))
        parameters = pinned(point.parameters, self._release, identity) if self._release else point.parameters
        spec = RunSpec.from_parameters(**parameters)
        found = resolve(spec, dataset=dataset, identity=identity, outline_of=self._outline)
        resolved = found.spec
        self.notes[point.label] = tuple(dict.fromkeys(line for lines in found.notes.values() for line in lines))
        self.of_samples |= dict.fromkeys((*found.of_settings, *found.of_samples))
        self.sizes[resolved.run_id] = {edit.key: size for edit, size in zip(resolved.edits, found.picture_sizes, strict=True)}
        if self._release is None:
            self.moved |= noticed(spec, resolved.edits, identity)
        compute = spec.compute.model_copy(update={"device": resolved.device, "dtype": resolved.dtype, "threads": resolved.threads})
        outline = self._outline(identity, settling.settle(compute, identity))
        self.of_checkpoints |= self._once(("of", identity.name), lambda: dict.fromkeys(_of_checkpoint(identity)))
        self._take_note(point.spec.checkpoint, found)
        works = {edit.key: self._work(edit, found, outline) for edit in resolved.edits}
        folder = self._folder(resolved)
        is_begun = folder.is_begun
        status = "done" if is_done(folder) else "begun" if is_begun else "new"
        if status != "done":
            self._once(("weights", identity.name, identity.digest), lambda: whole_weights.require_weights(identity))
        name = folder.resolved.spec.name if is_begun else point.spec.name
        return PlannedRun(
            label=point.label,
            run_id=resolved.run_id,
            parameters=_settled(parameters, resolved) | {"name": name},
            folder=folder.path,
            status=status,
            works=works,
            pending=tuple(edit.key for edit in (folder.pending() if is_begun else resolved.edits)),
            checkpoint=(outline.models, compute.offload),
            overrides=point.overrides,
        )

    @property
    def of_ways(self) -> list[str]:
        """How the pictures of each checkpoint are made, where that is not alike: steps, guidance, strength, and how large they are seen."""
        differ = [key for key in WAYS if len({tuple(ways[key]) for ways in self._ways.values()}) > 1]
        told = {name: "; ".join(f"{key} {few([*ways[key]], most=4)}" for key in differ) for name, ways in self._ways.items()}
        return [f"checkpoint {name}: {said}" for name, said in told.items() if said]

    def _take_note(self, checkpoint: str, found: Resolved) -> None:
        ways = self._ways.setdefault(checkpoint, {key: {} for key in WAYS})
        for edit in found.spec.edits:
            denoising, (width, height) = edit.settings.denoising, found.sizes_of(edit)[1]
            values = (denoising.num_inference_steps, f"{denoising.guidance_scale:g}", f"{denoising.strength:g}", f"{width}x{height}")
            for key, value in zip(WAYS, values, strict=True):
                ways[key].setdefault(str(value))

    def _outline(self, identity: CheckpointIdentity, compute: Compute) -> Outline:
        return self._once(("outline", identity.name, identity.digest, compute), lambda: outlines.outline(identity, compute))

    def _folder(self, resolved: ResolvedSpec) -> RunFolder:
        """Where the run is recorded, or will be. In the lab's own runs, what other sweeps recorded counts: a changed name is not another run."""
        runs_folder = Path(resolved.spec.runs_folder).absolute()
        own = begun(runs_folder, resolved.run_id)
        if own is not None and is_done(own):
            return own
        if runs_folder.parent == resolution.runs_folder():
            others = [found for folder in sorted(resolution.runs_folder().glob("*")) if folder.is_dir() and (found := begun(folder, resolved.run_id))]
            recorded = next((other for other in others if is_done(other)), None)
            if recorded is not None:
                return recorded
        return own or RunFolder(runs_folder / RunFolder.of(resolved).path.name)

    def _work(self, edit: Edit, found: Resolved, outline: Outline) -> Work:
        resolved = found.spec
        pixels = self._pixels_of(edit, found.dataset, outline.sizes)
        scope = resolved.computed_by.trajectories(resolved.device)
        identity = resolved.checkpoint
        tokenizers = partial(self._once, ("tokenizers", identity.name, identity.digest), lambda: tokens.tokenizers(identity))
        words = words_of(edit, tokens.fits_in(tokenizers, found.learned))
        forwards = self._once(("window", edit.settings.denoising, edit.settings.refiner, outline.models), lambda: window_of(edit, outline))
        return Work(
            base=trajectory_key(edit, words, pixels, scope),
            refined=refined_key(edit, words, pixels, scope) if edit.settings.denoising.is_refined else None,
            base_forwards=forwards.base,
            refiner_forwards=forwards.refiner,
            forward_s=self._once(("pace",), lambda: Pace([resolution.runs_folder(), Path(resolved.spec.runs_folder).parent])).forward_s(
                Load(
                    checkpoint=resolved.checkpoint.digest,
                    device=resolved.device,
                    dtype=resolved.dtype,
                    threads=resolved.threads,
                    offload=resolved.spec.compute.offload,
                    switches=resolved.computed_by.switches,
                    size=pixels.size,
                    is_guided=edit.settings.denoising.guidance_scale > 1,
                )
            ),
        )

    def _pixels_of(self, edit: Edit, dataset: Dataset, sizes: Sizes) -> Pixels:
        settings, task = edit.settings, TASKS[edit.task]
        noise = edit.seed if settings.canvas.extends or settings.mask.fill == "noise" else None  # what fills them may be drawn from the seed

        def scaled() -> Pixels:
            if not task.needs_image:
                return seen(edit, None, None, sizes).pixels
            sample = dataset.sample(edit.sample)
            image = sample.image(**settings.image.model_dump())
            assert image is not None  # resolving found what the task needs
            found = regions(edit, image.size, sample.soft_mask(), sizes) if task.area else None
            return seen(edit, as_edited(edit, image), found, sizes).pixels

        return self._once(("pixels", dataset.digest, edit.sample, edit.task, placing(settings), noise, sizes), scaled)

    def _once(self, key: Hashable, make: Callable[[], _T]) -> _T:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


def _of_checkpoint(identity: CheckpointIdentity) -> list[str]:
    """A line on the license of a checkpoint that somebody else made, if one is known, one on what a single file holds, and one on few steps."""
    said = [f"license {terms}"] if (terms := locating.license_of(identity)) else []
    said += (
        [about]
        if (about := descriptions.described(locating.locate(identity.name, identity.revision), but=descriptions.cautions(identity, None)))
        else []
    )
    said += [str(few)] if (few := own_defaults.few_steps(identity)) else []
    return [f"checkpoint {identity.name}: {line}" for line in said]


def _settled(parameters: Mapping[str, Any], resolved: ResolvedSpec) -> dict[str, Any]:
    """The parameters with nothing left that another process, folder or machine could choose or read differently."""
    paths = {"runs_folder": str(Path(resolved.spec.runs_folder).absolute())}
    for name in ("dataset", "checkpoint"):
        written = getattr(resolved.spec, name)  # an alias of an artifact is a version by now
        source = sources.source_of(written)
        is_path = source is not None and source.is_path if name == "dataset" else families.named(written) is None
        local = Path(written).expanduser()
        is_here = local.exists() or (name == "checkpoint" and file_meant_by(local) is not None)
        paths[name] = str(local.absolute()) if is_path and is_here else written
    compute = {"dtype": resolved.dtype, "threads": resolved.threads}
    return merge(parameters, paths | {"hyperparameters": with_files(parameters.get("hyperparameters", {}), resolved.files) | {"compute": compute}})


def _about_defaults(moved: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Say which of today's defaults make other pictures than the first release's, and how to have those."""
    if not moved:
        return []
    first = RELEASES[0]
    values = "; ".join(f"{path} is {new}, was {old}" for path, (old, new) in moved.items())
    return [f"defaults since {first}: {values}; a file from then makes its own pictures with the line `defaults: {first}`"]


def _where(labels: Sequence[str], total: int) -> str:
    return "" if len(labels) == total else f" (in {len(labels)} of {total} points, the first is {labels[0]})"

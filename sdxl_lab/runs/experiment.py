"""One experiment: load its checkpoint, run it over its dataset picture by picture, project the record to Comet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import comet, progress
from sdxl_lab.datasets.samples import Sample
from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import make_folder, whole_lines
from sdxl_lab.files.locks import locked, once_free
from sdxl_lab.kernels import notebooks
from sdxl_lab.progress import Doing, Follow, signs
from sdxl_lab.records import machine
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.picture import Picture
from sdxl_lab.runs.adapted import put_on
from sdxl_lab.runs.early import PRELOAD, home, started
from sdxl_lab.runs.resolution import fetch, resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import TASKS
from sdxl_lab.tracking import tracker

__all__ = ["CACHE_BYTES", "ExperimentError", "Resolved", "execute", "fetch", "finish", "home", "load", "resolve", "run"]

if TYPE_CHECKING:
    from sdxl_lab.checkpoints.checkpoint import Checkpoint
    from sdxl_lab.generation.steps import Step
    from sdxl_lab.generation.trajectory import TrajectoryCache

CACHE_BYTES = "SDXL_LAB_TRAJECTORY_BYTES"
"""Environment variable: how much of earlier runs a process remembers, in bytes; 0 remembers nothing. 1 GiB when it is not set."""

LOCK_WAIT_S = 10.0
"""A kernel notices within seconds that its parent was killed; until then it holds the lock."""


class ExperimentError(LabError):
    """A run did not end as it should."""


class NotMadeError(ExperimentError):
    """A notebook ran to its end, and its run is not done."""


def load(resolved: Resolved) -> Checkpoint:
    """Load the run's checkpoint; a second call in the same process returns the same one.

    Args:
        resolved: The run.

    Raises:
        CheckpointError: It cannot be loaded.

    Examples:
        >>> checkpoint = load(resolved)
        >>> checkpoint.identity.name
        'pocket'
    """
    spec = resolved.spec
    began = time.monotonic()
    with signs.shown(resolved.folder.progress_file) as sign:
        progress.tell(f"loading {spec.checkpoint.name}")
        loaded = models_of(spec)
        sign.end = f"loaded {spec.checkpoint.name} in {progress.clock(time.monotonic() - began)}"
    return loaded


def models_of(spec: ResolvedSpec) -> Checkpoint:
    """Load a run's checkpoint, and what is to be on its models, as `load` does, without a word."""
    from sdxl_lab.checkpoints import loading

    chosen = {"device": spec.device, "dtype": spec.dtype, "threads": spec.threads}
    return loading.load(spec.checkpoint, spec.spec.compute.model_copy(update=chosen)).with_adapters(put_on(spec))


def run(
    resolved: Resolved,
    checkpoint: Checkpoint | None = None,
    *,
    trajectories: TrajectoryCache | None = None,
    show: Callable[[str, Path], object] | None = None,
) -> tuple[Picture, ...]:
    """Make every picture of a run that is not there yet, each recorded before the next one starts. Shows how far it is.

    Args:
        resolved: The run.
        checkpoint: The loaded models; loaded here, if they are needed, when left out.
        trajectories: What earlier runs left to build on; one cache a process when left out. The pictures are the same.
        show: Called with the title and the file of each picture as soon as it is there: at once with those of earlier attempts.

    Returns:
        The pictures of the run, those of earlier attempts included.

    Raises:
        LockError: Another process works on the same run.
        LabError: A picture cannot be made; those before it are kept, and the next call goes on after them.

    Examples:
        >>> [picture] = run(resolved, checkpoint)  # in a notebook: run(resolved, checkpoint, show=Gallery().add)
        >>> picture.image.name
        'inpaint.png'
    """
    with _opened(resolved) as folder:
        tracker.begin(folder)
        pending = folder.pending()
        checkpoint = checkpoint if checkpoint or not pending else load(resolved)
        planned, began = len(resolved.spec.edits), time.monotonic()
        shown = show or _not_shown
        with signs.shown(folder.progress_file) as sign:
            sign.pictures(planned, made=planned - len(pending))
            for picture in folder.pictures():
                shown(picture.title, picture.image)
            for edit in pending:
                assert checkpoint is not None
                sign.picture(folder.resolved.title(edit))
                progress.tell("")
                picture = _make(edit, resolved, folder, checkpoint, process_trajectories() if trajectories is None else trajectories)
                shown(picture.title, picture.image)
            sign.end = f"{planned} of {planned} pictures, {len(pending)} made now in {progress.clock(time.monotonic() - began)}"
        return folder.pictures()


def finish(resolved: Resolved) -> str:
    """Write the record, which says that the run is done, and project it to Comet.

    Args:
        resolved: The run, all of whose pictures are made.

    Returns:
        Where everything is, for people.

    Raises:
        RecordError: Pictures are missing.
        CometError: The archive cannot be built.

    Examples:
        >>> print(finish(resolved))
        run ... is done: ...
    """
    began = time.monotonic()
    with signs.shown(resolved.folder.progress_file) as sign, _opened(resolved) as folder:
        folder.finish()
        tracked = tracker.end(folder)
        sign.end = f"finished in {progress.clock(time.monotonic() - began)}"
    return "\n".join([f"run {resolved.spec.run_id[:10]} is done: {folder.path}", *tracked])


def execute(
    notebook: Path,
    parameters: Mapping[str, Any],
    follow: Follow | None = None,
    *,
    warm: bool = False,
    say: Callable[[str], None] | None = None,
) -> Resolved:
    """Run a notebook through papermill, unless its run is done already.

    The parameters are validated before a kernel starts, and resolved while it imports; if that finds a mistake, or the run done, the kernel ends.

    Args:
        notebook: A notebook that resolves, runs and finishes the spec of its parameters, as the built-in one does.
        parameters: All eight.
        follow: Shows the progress; nothing is shown when left out.
        warm: Use this thread's warm kernel, and keep it for the next run.
        say: Shows one line of what is to be said before pictures are made; nothing is said when left out.

    Returns:
        The run, done: recorded, with a whole executed notebook.

    Raises:
        LockError: Another process makes the run, and went on for longer than is waited.
        LabError: The parameters cannot be used, a cell failed, or the notebook ended without finishing the run.
    """
    spec = RunSpec.from_parameters(**parameters)
    with started(notebook, spec, warm=warm):
        resolved = resolve(spec)
        if say:
            for line in resolved.said:
                say(line)
        there = {"dataset": resolved.spec.spec.dataset, "runs_folder": resolved.spec.spec.runs_folder}
        execute_in(resolved.folder, len(resolved.spec.edits), notebook, dict(parameters) | there, follow, warm=warm, say=say)
    return resolved


def execute_in(
    folder: RunFolder,
    planned: int,
    notebook: Path,
    parameters: Mapping[str, Any],
    follow: Follow | None = None,
    *,
    warm: bool = False,
    say: Callable[[str], None] | None = None,
) -> None:
    """Do what is left for a run that was resolved, in this process or another one, as `execute` does; without PyTorch in this one.

    Args:
        folder: Where it is recorded, or will be.
        planned: How many pictures it has.
        notebook: As for `execute`; likewise `parameters`, `follow`, `warm` and `say`.
        parameters: See `notebook`.
        follow: See `notebook`.
        warm: See `notebook`.
        say: See `notebook`.

    Raises:
        NotMadeError: The notebook made another run, or none.
        LockError: As for `execute`.
        LabError: As for `execute`.
    """
    spec = RunSpec.from_parameters(**parameters)

    def count() -> int:
        return min(len(whole_lines(folder.lines_file)), planned)

    def doing() -> Doing | None:
        return progress.read(folder.progress_file)

    def is_recorded() -> bool:
        return _is_done(folder) and notebooks.is_whole(folder.executed_notebook)

    if folder.path.is_dir() and not is_recorded():
        told = say and (lambda error: say(f"waiting {LOCK_WAIT_S:g} s: {error}"))
        # Before a kernel is needed, and before another's pictures are counted as this run's.
        with once_free(lambda: locked(folder.path), patience_s=LOCK_WAIT_S, told=told):
            pass
    with (follow or _unseen)(spec.name, planned, count, doing), progress.passed_on(folder.progress_file):
        if is_recorded():
            if tracker.has_notebook(folder):  # else it was killed at its very end
                return
        else:
            make_folder(folder.path)
            with tracker.following(folder, spec):
                notebooks.run(notebook, parameters, folder.executed_notebook, warm=warm, preload=PRELOAD)
                if not _is_done(folder):
                    told = f"{notebook} ran to its end, but {folder.path} is not done; it must call run(...) and finish(...) for the parameters"
                    raise NotMadeError(f"{told} it was given")
        if comet.way(spec.tracking) in ("online", "offline"):
            with once_free(lambda: folder.open(folder.resolved_here), patience_s=LOCK_WAIT_S):
                tracker.add_notebook(folder)


def _is_done(folder: RunFolder) -> bool:
    return folder.is_done and not folder.pending()


def generated(
    edit: Edit, sample: Sample, checkpoint: Checkpoint, trajectories: TrajectoryCache, on_step: Callable[[Step], object] | None = None
) -> Generated:
    """Make a picture from its sample's files; what there is to be said of it was said when it was resolved."""
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.spec.cautions import said_before

    needed = TASKS[edit.task].needs(edit.settings)
    image = sample.image(**edit.settings.image.model_dump()) if "image" in needed else None
    mask = sample.soft_mask() if "mask" in needed else None
    with said_before():
        return generate(edit, image, mask, checkpoint, trajectories=trajectories, on_step=on_step)


def measured(made: Generated, sample: Sample) -> dict[str, float]:
    """What is recorded of a picture in numbers: its metrics, and the most memory that the process has held.

    Args:
        made: The picture; on a GPU the memory is that since `machine.forget_gpu_peak`.
        sample: What it was made from, whose dataset may say what it should show.
    """
    from sdxl_lab.metrics import measure

    return measure(made, expected=_expected(made.edit, sample)) | machine.peak_memory()


def _make(edit: Edit, resolved: Resolved, folder: RunFolder, checkpoint: Checkpoint, trajectories: TrajectoryCache) -> Picture:
    sample = resolved.dataset.sample(edit.sample)
    machine.forget_gpu_peak()
    made = generated(edit, sample, checkpoint, trajectories)
    return folder.add_picture(edit, made, measured(made, sample), (*resolved.notes.get(edit.key, ()), *made.notes))


def _expected(edit: Edit, sample: Sample) -> Mapping[str, Any]:
    """What the dataset says that a picture should show: of its own prompt only."""
    metadata = sample.tasks.get(edit.task)
    expected = metadata.extra.get("expected") if metadata and metadata.prompt == edit.prompt else None
    return expected if isinstance(expected, Mapping) else {}


@contextmanager
def _opened(resolved: Resolved) -> Iterator[RunFolder]:
    with once_free(lambda: resolved.folder.open(resolved.spec), patience_s=LOCK_WAIT_S) as folder:
        yield folder


@cache
def process_trajectories() -> TrajectoryCache:
    """What the earlier pictures of this process left to build on, as many bytes of it as `CACHE_BYTES` says."""
    from sdxl_lab.generation.trajectory import TrajectoryCache

    written = os.environ.get(CACHE_BYTES) or str(2**30)
    if not written.isdecimal():
        raise ExperimentError(f"{CACHE_BYTES} is {written!r}; it is a whole number of bytes, such as {2**30}: set it again, or unset it")
    return TrajectoryCache(max_bytes=int(written))


def _unseen(label: str, total: int, count: object, doing: object) -> nullcontext[None]:
    return nullcontext()


def _not_shown(title: str, image: Path) -> None:
    """Where nobody looks."""

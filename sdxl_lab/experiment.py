"""One experiment: resolve a spec, run it over its dataset picture by picture, project the record to Comet."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import artifacts, comet, machine, notebooks, tracking
from sdxl_lab.artifacts import Dataset, Sample, TaskMetadata
from sdxl_lab.disk import make_folder, whole_lines
from sdxl_lab.errors import LabError
from sdxl_lab.locks import LockError
from sdxl_lab.progress import Follow
from sdxl_lab.records import Picture, RunFolder
from sdxl_lab.spec import CheckpointIdentity, DatasetIdentity, Edit, ResolvedSpec, RunSpec, SpecError

if TYPE_CHECKING:
    from PIL import Image

    from sdxl_lab.checkpoints import Checkpoint
    from sdxl_lab.trajectory import TrajectoryCache

# Said at every import in a notebook: that tqdm has no widgets (its text will do), and that transformers resizes pictures, which the lab
# never asks of it, without torchvision.
warnings.filterwarnings("ignore", message="IProgress not found")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

CACHE_BYTES = "SDXL_LAB_TRAJECTORY_BYTES"
"""Environment variable: how much of earlier runs a process remembers, in bytes; 0 remembers nothing. 1 GiB when it is not set."""

LOCK_WAIT_S = 10.0
"""A kernel notices within seconds that its parent was killed; until then it holds the lock."""


class ExperimentError(LabError):
    """A run did not end as it should."""


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A run that is ready to start: every picture planned, dataset checked, checkpoint identified.

    Attributes:
        spec: What will be made, exactly.
        dataset: Where inputs and masks are read from.
        folder: Where the run is recorded.
    """

    spec: ResolvedSpec
    dataset: Dataset
    folder: RunFolder

    def __str__(self) -> str:
        made, planned = len(self.folder.pictures()) if self.folder.spec_file.is_file() else 0, len(self.spec.edits)
        return f"run {self.spec.run_id[:10]}: {planned} pictures, {made} of them made, in {self.folder.path}"

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples that are edited, in the order of the edits."""
        return tuple(self.dataset.sample(name) for name in dict.fromkeys(edit.sample for edit in self.spec.edits))

    def inputs(self) -> dict[str, Image.Image]:
        """The pictures as they are read: sample's name to an upright RGB image."""
        return {sample.name: sample.image() for sample in self.samples}

    def masks(self) -> dict[str, Image.Image]:
        """The regions that will be repainted: "sample task" to a mask, white where it is repainted."""
        from sdxl_lab.inputs import prepare

        sources = {sample.name: (sample.image(), sample.mask()) for sample in self.samples}
        return {title(edit): prepare(edit, *sources[edit.sample])[1] for edit in self.spec.edits}

    @property
    def is_done(self) -> bool:
        """Whether the run is recorded and its pictures are still whole."""
        return self.folder.is_done and not self.folder.pending()


def title(picture: Edit | Picture) -> str:
    """Name a picture within its run: sample and task."""
    return f"{picture.sample} {picture.task}"


def fetch(dataset: str) -> Dataset:
    """Find a dataset and check all of it; artifacts lie in the lab's own `artifacts/datasets`.

    Args:
        dataset: A folder, a built-in one such as `pocket-scenes`, or a Comet artifact `workspace/name:version`, downloaded if it is not here.

    Raises:
        ArtifactError: It is not there, or something in it is unfit.
        CometError: The artifact cannot be downloaded.
    """
    return artifacts.fetch(dataset, datasets_folder=home() / "artifacts" / "datasets")


def home() -> Path:
    """The folder whose `artifacts` the lab uses: the repository around the working folder, else the working folder itself."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "artifacts" / "README.md").is_file()), here)


def resolve(spec: RunSpec, *, dataset: Dataset | None = None, identity: CheckpointIdentity | None = None) -> Resolved:
    """Tie a spec to the content of its dataset and checkpoint, before anything runs; no weights are loaded.

    Args:
        spec: What was asked for.
        dataset: What `fetch` found for the spec's dataset, to spare finding it again; likewise `identity`, what `checkpoints.identify` found.
        identity: Of the spec's checkpoint.

    Returns:
        Every picture that will be made, and where it is recorded.

    Raises:
        SpecError: The dataset lacks a sample, a mask, a prompt or a seed that the spec needs; all of them are listed.
        ArtifactError: The dataset is not there, or something in it is unfit.
        CheckpointError: The checkpoint is not there, or cannot run here as asked.
        CometError: Comet cannot be used as asked.
    """
    comet.check(spec.tracking)
    dataset = dataset or fetch(spec.dataset)
    samples = _chosen(spec, dataset)
    from sdxl_lab import checkpoints  # slow: after the mistakes that show without it

    identity = identity or checkpoints.identify(spec.checkpoint)
    compute = checkpoints.settle(spec.compute, identity)
    resolved = ResolvedSpec(
        spec=spec.model_copy(update={"dataset": _pinned(spec.dataset, dataset), "runs_folder": str(_runs_folder(spec.runs_folder))}),
        dataset=DatasetIdentity(name=dataset.name, version=dataset.version, digest=dataset.digest),
        checkpoint=identity,
        edits=_edits(spec, samples, checkpoints.defaults(identity)),
        device=compute.device,
        dtype=compute.dtype,
        threads=compute.threads or 1,
    )
    return Resolved(spec=resolved, dataset=dataset, folder=RunFolder.of(resolved))


def load(resolved: Resolved) -> Checkpoint:
    """Load the run's checkpoint; a second call in the same process returns the same one.

    Args:
        resolved: The run.

    Raises:
        CheckpointError: It cannot be loaded.
    """
    from sdxl_lab import checkpoints

    spec = resolved.spec
    compute = spec.spec.compute.model_copy(update={"device": spec.device, "dtype": spec.dtype, "threads": spec.threads})
    return checkpoints.load(spec.checkpoint, compute)


def run(resolved: Resolved, checkpoint: Checkpoint | None = None, *, trajectories: TrajectoryCache | None = None) -> tuple[Picture, ...]:
    """Make every picture of a run that is not there yet, each recorded before the next one starts.

    Args:
        resolved: The run.
        checkpoint: The loaded models; loaded here, if they are needed, when left out.
        trajectories: What earlier runs left to build on; one cache a process when left out. The pictures are the same.

    Returns:
        The pictures of the run, those of earlier attempts included.

    Raises:
        LockError: Another process works on the same run.
        LabError: A picture cannot be made; those before it are kept, and the next call goes on after them.
    """
    from tqdm import tqdm

    with _opened(resolved) as folder:
        tracking.begin(folder)
        pending = folder.pending()
        checkpoint = checkpoint if checkpoint or not pending else load(resolved)
        done = len(resolved.spec.edits) - len(pending)
        # A widget needs an extension in JupyterLab; text on stdout does without, and a saved notebook keeps its last line.
        with tqdm(total=len(resolved.spec.edits), initial=done, unit="picture", file=sys.stdout, mininterval=0.5) as bar:
            for edit in pending:
                bar.set_postfix_str(title(edit))
                assert checkpoint is not None
                _make(edit, resolved, folder, checkpoint, _trajectories() if trajectories is None else trajectories)
                bar.update()
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
    """
    with _opened(resolved) as folder:
        folder.finish()
        tracked = tracking.end(folder)
    return "\n".join([f"run {resolved.spec.run_id[:10]} is done: {folder.path}", *tracked])


def execute(notebook: Path, parameters: Mapping[str, Any], follow: Follow | None = None, *, warm: bool = False) -> Resolved:
    """Run a notebook through papermill, unless its run is done already.

    The parameters are resolved first, so that mistakes show before a kernel starts.

    Args:
        notebook: A notebook that resolves, runs and finishes the spec of its parameters, as the built-in one does.
        parameters: All eight.
        follow: Shows the progress; nothing is shown when left out.
        warm: Use this thread's warm kernel, and keep it for the next run.

    Returns:
        The run, done: recorded, with a whole executed notebook.

    Raises:
        LabError: The parameters cannot be used, a cell failed, or the notebook ended without finishing the run.
    """
    spec = RunSpec.from_parameters(**parameters)
    resolved = resolve(spec)
    folder, planned = resolved.folder, len(resolved.spec.edits)

    def count() -> int:
        return min(len(whole_lines(folder.lines_file)), planned)

    with (follow or _unseen)(spec.name, planned, count):
        if resolved.is_done and notebooks.is_whole(folder.executed_notebook):
            if not tracking.has_notebook(folder):  # it was killed at its very end
                with _opened(resolved):
                    tracking.add_notebook(folder)
            return resolved
        make_folder(folder.path)
        tracking.prepare(spec)
        given = dict(parameters) | {"dataset": resolved.spec.spec.dataset, "runs_folder": resolved.spec.spec.runs_folder}
        notebooks.run(notebook, given, folder.executed_notebook, warm=warm)
        if not resolved.is_done:
            raise ExperimentError(
                f"{notebook} ran to its end, but {folder.path} is not done; it must call run(...) and finish(...) for the parameters it was given"
            )
        with _opened(resolved):
            tracking.add_notebook(folder)
    return resolved


def _make(edit: Edit, resolved: Resolved, folder: RunFolder, checkpoint: Checkpoint, trajectories: TrajectoryCache) -> None:
    from sdxl_lab.generate import generate
    from sdxl_lab.metrics import measure

    sample = resolved.dataset.sample(edit.sample)
    machine.forget_gpu_peak()
    made = generate(edit, sample.image(), sample.mask(), checkpoint, trajectories=trajectories)
    folder.add_picture(edit, made, measure(made, colour=_asked_colour(edit, sample)) | machine.peak_memory())


def _asked_colour(edit: Edit, sample: Sample) -> str | None:
    """What color the mask should show: the dataset says so of the object, and of its own prompt only."""
    metadata = sample.tasks.get(edit.task)
    if edit.task != "inpaint" or metadata is None or metadata.prompt != edit.prompt:
        return None
    expected = metadata.extra.get("expected")
    colour = expected.get("colour") if isinstance(expected, Mapping) else None
    return colour if isinstance(colour, str) else None


def _chosen(spec: RunSpec, dataset: Dataset) -> tuple[Sample, ...]:
    if spec.samples is None:
        return dataset.samples
    names = [sample.name for sample in dataset.samples]
    unknown = [name for name in spec.samples if name not in names]
    if unknown:
        raise SpecError([f"samples: got {name!r}; dataset {dataset.name} has {', '.join(names)}" for name in unknown])
    return tuple(dataset.sample(name) for name in spec.samples)


def _edits(spec: RunSpec, samples: tuple[Sample, ...], defaults: Mapping[str, Any]) -> tuple[Edit, ...]:
    edits, problems = [], []
    for sample in samples:
        for task in spec.tasks:
            metadata = sample.tasks.get(task, TaskMetadata())
            words = {"prompt": metadata.prompt, "negative_prompt": metadata.negative_prompt, "seed": metadata.seed}
            try:
                edit = spec.edit(sample.name, task, **words, defaults=defaults)
            except SpecError as error:
                problems += error.problems
                continue
            if sample.mask_path is None and edit.settings.mode != "canvas":
                problems.append(
                    f"tasks: sample {sample.name} has no mask, and {task} needs one; add it to metadata.json, or outpaint with mode canvas"
                )
            edits.append(edit)
    if problems:
        raise SpecError(problems)
    return tuple(edits)


def _pinned(written: str, dataset: Dataset) -> str:
    """The dataset as written, or the version of the artifact that an alias stood for."""
    return f"{dataset.name}:{dataset.version}" if dataset.version else written


def _runs_folder(written: str) -> Path:
    """Where runs are kept: what lies under `artifacts` belongs to the lab, wherever in it the notebook lies."""
    folder = Path(written).expanduser()
    return home() / folder if folder.parts[:1] == ("artifacts",) else folder


@contextmanager
def _opened(resolved: Resolved) -> Iterator[RunFolder]:
    deadline = time.monotonic() + LOCK_WAIT_S
    with ExitStack() as stack:
        while True:
            try:
                folder = stack.enter_context(resolved.folder.open(resolved.spec))
                break
            except LockError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield folder


@cache
def _trajectories() -> TrajectoryCache:
    from sdxl_lab.trajectory import TrajectoryCache

    return TrajectoryCache(max_bytes=int(os.environ.get(CACHE_BYTES) or 2**30))


def _unseen(label: str, total: int, count: object) -> nullcontext[None]:
    return nullcontext()

"""What a run will do exactly: a spec tied to the content of its dataset and checkpoint, and what is to be said of it before it begins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import comet, progress
from sdxl_lab.adapters.embeddings import written_out
from sdxl_lab.datasets import notes, sources
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.notes import gathered
from sdxl_lab.datasets.samples import Sample, TaskMetadata
from sdxl_lab.files.disk import whole_lines
from sdxl_lab.files.room import check_room
from sdxl_lab.process.imports import importing
from sdxl_lab.process.quiet import quiet_libraries
from sdxl_lab.prompts.wildcards import LinesOf, WildcardError
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import as_note
from sdxl_lab.runs import trained_words
from sdxl_lab.runs.adapted import Adapted, adapted, few_steps, sections, unasked
from sdxl_lab.runs.early import home, runs_folder_of
from sdxl_lab.runs.word_lists import lists_of
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.spec.cautions import MINUS_ONE, cautions
from sdxl_lab.spec.edit import Edit, PictureKey
from sdxl_lab.spec.generated import Frame
from sdxl_lab.spec.resolved_spec import CheckpointIdentity, DatasetIdentity, ResolvedSpec, as_it_matters, with_files
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.spec.templates import Template, nothing_replaced
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import counted, few, printable

if TYPE_CHECKING:
    from PIL import Image

    from sdxl_lab.checkpoints.loading import Outline, Sizes
    from sdxl_lab.runs.faults import Checked
    from sdxl_lab.settings.sections import Compute


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A run that is ready to start: every picture planned, dataset checked, checkpoint identified.

    Attributes:
        spec: What will be made, exactly.
        dataset: Where inputs and masks are read from.
        folder: Where the run is recorded.
        sizes: What the checkpoint was made for.
        left_out: Sample and task of what was asked for and has no prompt.
        room: What is to be said of the disk; at most one line.
        notes: What is to be said of pictures before they are made, such as words that the model will not read: lines by picture.
        learned: Tokens of embeddings, which the tokenizers know besides.
        frames: The crops that the models see, of pictures of which they do not see all.
    """

    spec: ResolvedSpec
    dataset: Dataset
    folder: RunFolder
    sizes: Sizes
    left_out: tuple[tuple[str, str], ...] = ()
    room: tuple[str, ...] = ()
    notes: Mapping[PictureKey, tuple[str, ...]] = field(default_factory=dict)
    learned: tuple[str, ...] = ()
    frames: Mapping[PictureKey, Frame] = field(default_factory=dict)

    def __str__(self) -> str:
        made, planned = len(self.folder.pictures()) if self.folder.spec_file.is_file() else 0, len(self.spec.edits)
        return "\n".join([f"run {self.spec.run_id[:10]}: {counted(planned, 'picture')}, {made} of them made, in {self.folder.path}", *self.said])

    @property
    def said(self) -> tuple[str, ...]:
        """Everything that is to be said of the run, one line each and each once: of its samples, the disk and its pictures."""
        of_pictures = {self.spec.title(edit): self.notes.get(edit.key, ()) for edit in self.spec.edits}
        return (*self.of_settings, *self.of_samples, *self.room, *gathered(of_pictures))

    @property
    def of_settings(self) -> tuple[str, ...]:
        """What was asked for all tasks and is read by none of those that there are, and a seed that means another thing elsewhere: a line each."""
        asked = self.spec.spec
        paths, tasks = asked.passed_over(), ", ".join(asked.tasks)
        has, it = ("has", "it") if len(paths) == 1 else ("have", "them")
        idle = [f"{' and '.join(paths)} {has} no effect: no task of this run takes {it} ({tasks})"] if paths else []
        # False is what holds without it too, and only here is it known whether somebody wrote it
        refused = {task for task in asked.tasks if asked.given(task).get("denoising", {}).get("karras") is False}
        named = [edit.settings.denoising.scheduler for edit in self.spec.edits if edit.task in refused]
        karras = [f"denoising.karras has no effect: {name} has Karras sigmas anyway" for name in dict.fromkeys(named) if SCHEDULERS[name].is_karras]
        return (*idle, *karras, *([MINUS_ONE] if asked.asks_for_minus_one else []))

    @property
    def of_samples(self) -> tuple[str, ...]:
        """What is to be said of the files of the samples that are edited, read as the run reads them, of their sizes, and of what is left out."""
        edits, own = self.spec.edits, {sample.name: sample.size for sample in self.samples}
        readings = {edit.sample: edit.settings.image for edit in edits if TASKS[edit.task].needs_image}
        masked = {edit.sample for edit in edits if "mask" in TASKS[edit.task].needs(edit.settings)}
        cut = {edit.sample for edit in edits if edit.settings.mask.soft == "off"}
        files = notes.of_samples([sample for sample in self.samples if sample.name in readings], readings, masked, cut)
        asked = [
            (edit.settings.canvas.around(size), given)
            for edit in edits
            if (size := own[edit.sample]) and TASKS[edit.task].needs_image and (given := edit.settings.size.given) and edit.key not in self.frames
        ]
        whole = [edit for edit in edits if edit.key not in self.frames]
        sizes = [(edit.task, *of) for edit, of in zip(whole, _sizes(self.dataset, whole, self.sizes), strict=True)]
        samples = {sample.name: sample for sample in self.dataset.samples}
        return (
            *files,
            *notes.of_sizes(sizes),
            *notes.of_aspects(asked),
            *notes.without_prompt([(samples[name], task) for name, task in self.left_out]),
            *_of_same(edits),
        )

    def sizes_of(self, edit: Edit) -> tuple[tuple[int, int], tuple[int, int]]:
        """The size of one of its finished pictures, and the one at which the UNets see it or the crop of it: (width, height) in pixels."""
        [(size, whole)] = _sizes(self.dataset, [edit], self.sizes)
        return size, frame.size if (frame := self.frames.get(edit.key)) else whole

    @property
    def picture_sizes(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each picture, in pixels, in the order of the edits."""
        return tuple(size for size, _ in _sizes(self.dataset, self.spec.edits, self.sizes))

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples that are edited, in the order of the edits."""
        return tuple(self.dataset.sample(name) for name in dict.fromkeys(edit.sample for edit in self.spec.edits))

    def inputs(self) -> dict[str, Image.Image]:
        """The pictures as they are read: sample's name to an upright RGB image, of those that a task needs."""
        readings = {edit.sample: edit.settings.image for edit in self.spec.edits if TASKS[edit.task].needs_image}
        read = {name: self.dataset.sample(name).image(**reading.model_dump()) for name, reading in readings.items()}
        return {name: image for name, image in read.items() if image is not None}

    def masks(self) -> dict[str, Image.Image]:
        """The regions to be repainted, whatever the seed: "sample task" to a mask, white where it is repainted; not of tasks that make all."""
        from sdxl_lab.generation.regions import regions

        first = [edit for edit in self.spec.edits if TASKS[edit.task].area and self.spec.ordinals[edit.key] == 0]
        masked = (self.dataset.sample(name) for name in dict.fromkeys(edit.sample for edit in first))
        samples = {sample.name: (sample.size, sample.soft_mask()) for sample in masked if sample.size}
        return {self.spec.title(edit): regions(edit, *samples[edit.sample], self.sizes).repainted for edit in first}

    @property
    def is_done(self) -> bool:
        """Whether the run is recorded and its pictures are still whole."""
        return self.folder.is_done and not self.folder.pending()


def fetch(dataset: str, *, as_recorded: bool = False) -> Dataset:
    """Find a dataset and check all of it; artifacts lie in the lab's own `artifacts/datasets`.

    Args:
        dataset: A folder, a .txt or .csv file of prompts, a built-in one such as `pocket-scenes`, or a Comet artifact `workspace/name:version`,
            downloaded if it is not here.
        as_recorded: Whether to take what 0.1.0 took, for pictures that were made from it; see `samples.read_samples`.

    Raises:
        ArtifactError: It is not there, or something in it is unfit.
        CometError: The artifact cannot be downloaded.

    Examples:
        >>> [sample.name for sample in fetch("pocket-scenes").samples]
        ['red-circle', 'yellow-star', 'blue-heart', 'green-diamond', 'white-cross']
    """
    return sources.fetch(dataset, datasets_folder=home() / "artifacts" / "datasets", as_recorded=as_recorded)


def inputs_folder() -> Path:
    """Where single calls keep what they were given, each file under its digest; it need not exist."""
    return home() / "artifacts" / "inputs"


def runs_folder() -> Path:
    """Where runs, sweeps and sessions are, each kind in a folder of its own; it need not exist."""
    return home() / "artifacts" / "runs"


def resolve(
    spec: RunSpec,
    *,
    dataset: Dataset | None = None,
    identity: CheckpointIdentity | None = None,
    outline_of: Callable[[CheckpointIdentity, Compute], Outline] | None = None,
) -> Resolved:
    """Tie a spec to the content of its dataset and checkpoint, before anything runs; no weights are loaded.

    Args:
        spec: What was asked for.
        dataset: What `fetch` found for the spec's dataset, to spare finding it again; likewise `identity`, what `checkpoints.identify` found.
        identity: Of the spec's checkpoint.
        outline_of: Stands in for `checkpoints.outline`, such as one that remembers its answers.

    Returns:
        Every picture that will be made, and where it is recorded.

    Raises:
        SpecError: The dataset lacks a sample, a picture or a mask that the spec needs, a mask vanishes, a stage has no step: all of it is listed; or
            there is no prompt at all; or an adapter is not there, or does not fit the checkpoint.
        ArtifactError: The dataset is not there, or something in it is unfit.
        CheckpointError: The checkpoint is not there, or cannot run here as asked.
        CometError: Comet cannot be used as asked.
        DiskError: There certainly is no room for the pictures.

    Examples:
        With the `spec` of `RunSpec`'s example:

        >>> resolved = resolve(spec)
        >>> print(resolved)
        run ...: 1 picture, 0 of them made, in ...three-steps-...
    """
    comet.check(spec.tracking)
    dataset = dataset or fetch(spec.dataset)
    samples = _chosen(spec, dataset)
    progress.tell("starting PyTorch")
    quiet_libraries()
    with importing:
        from sdxl_lab.checkpoints import loading, locating, own_defaults  # slow: after the mistakes that show without it

    progress.tell(f"looking at checkpoint {spec.checkpoint}")
    identity = identity or locating.identify(spec.checkpoint)
    compute = loading.settle(spec.compute, identity)
    outline = (outline_of or loading.outline)(identity, compute)
    left_out = tuple(
        (sample.name, task) for sample in samples for task in spec.tasks if not (sample.has_prompt(task) or "prompt" in spec.words(task))
    )
    defaults = {task: own_defaults.defaults(identity, task=task) for task in spec.tasks}
    content = DatasetIdentity(
        name=dataset.name, version=dataset.version, digest=dataset.digest, inputs=dict(dataset.inputs) if dataset.inputs else None
    )
    lines_of = lists_of(None if content.is_of_call else dataset.folder)
    planned, templates = _planned(spec, samples, frozenset(left_out), defaults, outline, lines_of)
    edits = tuple(found.edit for found in planned)
    on_models = _adapted(spec, dataset, identity, outline)
    here = {"dataset": _pinned(spec.dataset, dataset), "runs_folder": str(runs_folder_of(spec))}
    here |= {"hyperparameters": with_files(spec.hyperparameters, on_models.files)} if on_models.files else {}
    resolved = ResolvedSpec(
        spec=spec.model_copy(update=here),
        dataset=content,
        checkpoint=identity,
        edits=edits,
        device=compute.device,
        dtype=compute.dtype,
        threads=compute.threads or 1,
        adapters=on_models.identities,
        steps=_steps(dataset, edits),
        templates=templates,
    )
    folder = RunFolder.of(resolved)
    to_make = [size for size, _ in _sizes(dataset, edits, outline.sizes)][len(whole_lines(folder.lines_file)) :]
    return Resolved(
        spec=resolved,
        dataset=dataset,
        folder=folder,
        sizes=outline.sizes,
        left_out=left_out,
        room=tuple(check_room(folder.path, to_make)),
        notes=_notes(planned, identity, outline, on_models, compute.weights),
        learned=on_models.tokens,
        frames={found.edit.key: found.frame for found in planned if found.frame},
    )


def _chosen(spec: RunSpec, dataset: Dataset) -> tuple[Sample, ...]:
    if spec.samples is None:
        return dataset.samples
    names = [sample.name for sample in dataset.samples]
    known = set(names)
    unknown = [name for name in spec.samples if name not in known]
    if unknown:
        raise SpecError([f"samples: got {name!r}; dataset {dataset.name} has {few(names)}" for name in unknown])
    return tuple(dataset.sample(name) for name in spec.samples)


def _planned(
    spec: RunSpec,
    samples: tuple[Sample, ...],
    left_out: Collection[tuple[str, str]],
    defaults: Mapping[str, Mapping[str, Any]],
    outline: Outline,
    lines_of: LinesOf,
) -> tuple[tuple[Checked, ...], tuple[Template, ...]]:
    """Every picture that will be made, and what their prompts were before words of them were replaced or drawn."""
    from sdxl_lab.runs.faults import checked, no_picture, no_pictures

    plans: list[Checked] = []
    templates, problems = [], []
    lacking: dict[str, list[str]] = {}
    unreplaced: dict[tuple[str, str], dict[str, str | None]] = {}
    undrawn: dict[str, list[str]] = {}
    for sample in samples:
        asked = [task for task in spec.tasks if (sample.name, task) not in left_out]
        if unsuited := [task for task in asked if not sample.suits(task)]:
            lacking.setdefault(unsuited[0], []).append(sample.name)
        for task in (task for task in asked if task not in unsuited):
            metadata = sample.tasks.get(task, TaskMetadata())
            words = {"prompt": metadata.prompt, "negative_prompt": metadata.negative_prompt}
            texts = {name: spec.words(task).get(name, text) for name, text in words.items()}
            for name, word in spec.variation(task).unreplaced(texts):
                unreplaced.setdefault((name, word), {})[f"{sample.name} {task}"] = texts[name]
            rest = {"seed": metadata.seed, "defaults": defaults[task], "size": sample.size, "sizes": outline.sizes, "lines_of": lines_of}
            try:
                planned = spec.edits(sample.name, task, **words, **rest)
            except SpecError as error:
                problems += error.problems
                continue
            except WildcardError as error:
                undrawn.setdefault(str(error), []).append(f"{sample.name} {task}")
                continue
            templates += Template.of(planned, texts)
            plans += [checked(as_it_matters(edit, readings=sample.facts.readings), sample, outline) for edit in planned]
    problems += [line for plan in plans for line in plan.problems]
    problems = [*(no_picture(names, task) for task, names in lacking.items()), *problems]
    for (name, word), found in unreplaced.items():
        problems.append(nothing_replaced(name, word, next(iter(found.values())), few([*found], most=3)))
    problems += [f"hyperparameters.wildcards: {error} (in the prompts of {few(titles, most=3)})" for error, titles in undrawn.items()]
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    if not plans and not any(sample.suits(task) for sample in samples for task in spec.tasks):
        raise SpecError([no_pictures(spec.tasks)])
    if not plans:
        raise SpecError(
            [
                f"hyperparameters.prompt: none of the samples asked for has a prompt of its own for {' or '.join(spec.tasks)}; give one here, or in "
                f'metadata.json, as {{"{spec.tasks[0]}": {{"prompt": "a red octopus"}}}} beside a sample\'s name'
            ]
        )
    return tuple(plans), tuple(templates)


def _steps(dataset: Dataset, edits: Sequence[Edit]) -> dict[str, int] | None:
    """Where the samples stand in their dataset; None where that is where they stand in the run."""
    places = {sample.name: index for index, sample in enumerate(dataset.samples)}
    steps = {edit.sample: places[edit.sample] for edit in edits}
    return None if [*steps.values()] == [*range(len(steps))] else steps


def _of_same(edits: Sequence[Edit]) -> list[str]:
    """Say which samples of words alone get the same picture: those that differ in nothing but their names."""
    same: dict[str, list[str]] = {}
    words_alone = [edit for edit in edits if not TASKS[edit.task].needs(edit.settings)]
    for edit in words_alone:
        same.setdefault(edit.model_dump_json(exclude={"sample"}), []).append(edit.sample)
    most = max(same.values(), key=len, default=[])
    if len(most) < 2:
        return []
    is_all = len(most) == len({edit.sample for edit in words_alone})
    advice = (
        f"give samples: [{printable(most[0])}]" if is_all else f"of those like {printable(most[0])} name one in samples, or give them other seeds"
    )
    return [f"{counted(len(most), 'sample')} get the same prompt and seed, so the same picture: {advice}"]


def _sizes(dataset: Dataset, edits: Sequence[Edit], sizes: Sizes) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Of each picture its own size and the working size."""
    from sdxl_lab.generation.frames import sizes_of

    own = {sample.name: sample.size for sample in dataset.samples}
    return [sizes_of(edit, own[edit.sample], sizes) for edit in edits]


def _adapted(spec: RunSpec, dataset: Dataset, identity: CheckpointIdentity, outline: Outline) -> Adapted:
    if not any(True for _ in sections(spec)):
        return Adapted()
    from sdxl_lab.checkpoints.adapter_files import models_of

    return adapted(spec, models_of(identity, outline), dataset.folder)


def _notes(
    planned: Sequence[Checked], identity: CheckpointIdentity, outline: Outline, on_models: Adapted, weights: str | None
) -> dict[PictureKey, tuple[str, ...]]:
    from sdxl_lab.checkpoints import descriptions, loading, own_defaults, tokens
    from sdxl_lab.generation.regions import SPECKS

    edits = [found.edit for found in planned]
    words = {edit.key: {"prompt": edit.prompt, "negative_prompt": edit.negative_prompt} for edit in edits}
    limit = tokens.CLIP_TOKENS if identity.revision else tokens.FEWEST_TOKENS
    is_long = any(tokens.may_be_cut(written_out(text or "", on_models.tokens), limit=limit) for texts in words.values() for text in texts.values())
    folders = loading.tokenizers(identity) if is_long else ()
    traits = own_defaults.traits(identity, area=outline.sizes.area)
    traits = replace(traits, few_steps=traits.few_steps or few_steps(on_models, identity.family))
    files = trained_words.files_by_word()

    def is_known(word: str) -> bool:
        return any(f"{word}</w>" in tokens.loaded(folder).get_vocab() for folder in loading.tokenizers(identity))

    of_file = list(descriptions.cautions(identity, weights))
    unread = unasked(on_models, [text for texts in words.values() for text in texts.values() if text])
    said = {
        edit.key: [
            *tokens.notes(words[edit.key], folders, on_models.tokens, syntax=edit.settings.prompt_syntax, long_prompt=edit.settings.long_prompt),
            *cautions(edit, traits),
            *of_file,
            *([SPECKS] if edit.settings.mask.specks == "ignore" else []),
            *found.cautions,
            *unread,
            *trained_words.cautions(words[edit.key], on_models.tokens, files, is_known),
        ]
        for edit, found in zip(edits, planned, strict=True)
    }
    return {key: tuple(map(as_note, lines)) for key, lines in said.items() if lines}


def _pinned(written: str, dataset: Dataset) -> str:
    """The dataset as written, or the version of the artifact that an alias stood for."""
    return f"{dataset.name}:{dataset.version}" if dataset.version else written

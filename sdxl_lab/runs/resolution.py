"""A spec tied to the content of its dataset and checkpoint: what will be made exactly, or all that stands in its way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab import comet, progress
from sdxl_lab.adapters.embeddings import written_out
from sdxl_lab.datasets import sources
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.datasets.samples import Sample, TaskMetadata
from sdxl_lab.files.disk import whole_lines
from sdxl_lab.files.room import check_room
from sdxl_lab.process.imports import importing
from sdxl_lab.process.quiet import quiet_libraries
from sdxl_lab.prompts.wildcards import LinesOf, WildcardError
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import as_note
from sdxl_lab.runs import trained_words
from sdxl_lab.runs.adapted import Adapted, adapted, few_steps, networks, sections, unasked
from sdxl_lab.runs.early import home, runs_folder_of
from sdxl_lab.runs.resolved import Resolved, sizes_in
from sdxl_lab.runs.word_lists import lists_of
from sdxl_lab.spec import lacking
from sdxl_lab.spec.asked_again import with_files
from sdxl_lab.spec.cautions import cautions
from sdxl_lab.spec.edit import Edit, PictureKey
from sdxl_lab.spec.identities import CheckpointIdentity, DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec, as_it_matters
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.spec.templates import Template, nothing_replaced
from sdxl_lab.wording import few

if TYPE_CHECKING:
    from sdxl_lab.checkpoints.outlines import Outline
    from sdxl_lab.runs.faults import Checked
    from sdxl_lab.settings.sections import Compute


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
    if identity is None:
        _require_name(spec.checkpoint)
    progress.tell("starting PyTorch")
    quiet_libraries()
    with importing:
        from sdxl_lab.checkpoints import locating, outlines, own_defaults, settling  # slow: after the mistakes that show without it

    progress.tell(f"looking at checkpoint {spec.checkpoint}")
    identity = identity or locating.identify(spec.checkpoint)
    if lines := lacking.refused(spec.hyperparameters, identity.family, identity.name):
        raise SpecError(lines)
    compute = settling.settle(spec.compute, identity)
    outline = (outline_of or outlines.outline)(identity, compute)
    left_out = _without_prompt(spec, samples)
    defaults = {task: own_defaults.defaults(identity, task=task) for task in spec.tasks}
    content = _content_of(dataset)
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
        idle=on_models.idle,
        steps=_steps(dataset, edits),
        templates=templates,
    )
    folder = RunFolder.of(resolved)
    to_make = [size for size, _ in sizes_in(dataset, edits, outline.sizes)][len(whole_lines(folder.lines_file)) :]
    return Resolved(
        spec=resolved,
        dataset=dataset,
        folder=folder,
        sizes=outline.sizes,
        left_out=left_out,
        room=tuple(check_room(folder.path, to_make)),
        notes=_notes(planned, resolved, outline, on_models, compute.weights),
        learned=on_models.tokens,
        frames={found.edit.key: found.frame for found in planned if found.frame},
    )


def _require_name(checkpoint: str) -> None:
    """See that a checkpoint's name stands for something, before PyTorch starts, which takes seconds."""
    with importing:
        from sdxl_lab.checkpoints.locating import locate

    locate(checkpoint)


def _chosen(spec: RunSpec, dataset: Dataset) -> tuple[Sample, ...]:
    if spec.samples is None:
        return dataset.samples
    names = [sample.name for sample in dataset.samples]
    known = set(names)
    unknown = [name for name in spec.samples if name not in known]
    if unknown:
        raise SpecError([f"samples: got {name!r}; dataset {dataset.name} has {few(names)}" for name in unknown])
    return tuple(dataset.sample(name) for name in spec.samples)


def _content_of(dataset: Dataset) -> DatasetIdentity:
    inputs = dict(dataset.inputs) if dataset.inputs else None
    return DatasetIdentity(name=dataset.name, version=dataset.version, digest=dataset.digest, inputs=inputs)


def _without_prompt(spec: RunSpec, samples: Sequence[Sample]) -> tuple[tuple[str, str], ...]:
    """Samples and tasks for which neither parameters nor the dataset have a prompt."""
    return tuple((sample.name, task) for sample in samples for task in spec.tasks if not (sample.has_prompt(task) or "prompt" in spec.words(task)))


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
    if not plans:
        is_suited = any(sample.suits(task) for sample in samples for task in spec.tasks)
        raise SpecError([_no_prompt(spec.tasks) if is_suited else no_pictures(spec.tasks)])
    return tuple(plans), tuple(templates)


def _no_prompt(tasks: Sequence[str]) -> str:
    return (
        f"hyperparameters.prompt: none of the samples asked for has a prompt of its own for {' or '.join(tasks)}; give one here, or in "
        f'metadata.json, as {{"{tasks[0]}": {{"prompt": "a red octopus"}}}} beside a sample\'s name'
    )


def _steps(dataset: Dataset, edits: Sequence[Edit]) -> dict[str, int] | None:
    """Where the samples stand in their dataset; None where that is where they stand in the run."""
    places = {sample.name: index for index, sample in enumerate(dataset.samples)}
    steps = {edit.sample: places[edit.sample] for edit in edits}
    return None if [*steps.values()] == [*range(len(steps))] else steps


def _adapted(spec: RunSpec, dataset: Dataset, identity: CheckpointIdentity, outline: Outline) -> Adapted:
    if not any(True for _ in sections(spec)):
        return Adapted()
    from sdxl_lab.checkpoints.adapter_files import models_of

    return adapted(spec, models_of(identity, outline), dataset.folder)


def _notes(
    planned: Sequence[Checked], resolved: ResolvedSpec, outline: Outline, on_models: Adapted, weights: str | None
) -> dict[PictureKey, tuple[str, ...]]:
    from sdxl_lab.checkpoints import descriptions, own_defaults, tokens
    from sdxl_lab.generation.regions import specks_ignored

    identity, edits = resolved.checkpoint, [found.edit for found in planned]
    words = {edit.key: {"prompt": edit.prompt, "negative_prompt": edit.negative_prompt} for edit in edits}
    limit = tokens.CLIP_TOKENS if identity.revision else tokens.FEWEST_TOKENS
    is_long = any(tokens.may_be_cut(written_out(text or "", on_models.tokens), limit=limit) for texts in words.values() for text in texts.values())
    folders = tokens.tokenizers(identity) if is_long else ()
    traits = own_defaults.traits(identity, area=outline.sizes.area)
    traits = replace(traits, few_steps=traits.few_steps or few_steps(on_models, identity.family), networks=tuple(networks(resolved)))
    files = trained_words.files_by_word()

    def is_known(word: str) -> bool:
        return any(f"{word}</w>" in tokens.loaded(folder).get_vocab() for folder in tokens.tokenizers(identity))

    of_file = list(descriptions.cautions(identity, weights))
    unread = unasked(on_models, [text for texts in words.values() for text in texts.values() if text])
    said = {
        edit.key: [
            *tokens.notes(words[edit.key], folders, on_models.tokens, syntax=edit.settings.prompt_syntax, long_prompt=edit.settings.long_prompt),
            *cautions(edit, traits),
            *of_file,
            *([specks_ignored(outline.sizes.cell_px)] if edit.settings.mask.specks == "ignore" else []),
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

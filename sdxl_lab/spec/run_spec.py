"""What a run is asked to do, and the one gate that all parameters pass."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, GetCoreSchemaHandler, ValidationError, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from sdxl_lab import families
from sdxl_lab.errors import LabError
from sdxl_lab.files.places import misread
from sdxl_lab.prompts import compel_marks
from sdxl_lab.prompts.reading import PromptError
from sdxl_lab.prompts.variants import Variation, no_lists
from sdxl_lab.prompts.wildcards import LinesOf
from sdxl_lab.settings import ranges
from sdxl_lab.settings.aspects import bucket
from sdxl_lab.settings.choices import Allowed
from sdxl_lab.settings.credentials import saved_by_papermill, without_credentials
from sdxl_lab.settings.hyperparams import flatten, merge, without
from sdxl_lab.settings.replacements import words_in
from sdxl_lab.settings.sections import DEFAULT_SEED, Compute, EditSettings, Settings
from sdxl_lab.spec import lacking, task_names
from sdxl_lab.spec.edit import Edit, read_here
from sdxl_lab.spec.hyperparameters import hyperparameters
from sdxl_lab.spec.parameters import plain, without_nulls
from sdxl_lab.spec.problems import problems
from sdxl_lab.spec.task_names import TaskName
from sdxl_lab.spec.templates import problems_of
from sdxl_lab.tasks import TASKS

RUNS_FOLDER = "artifacts/runs/single"
NAME_ALLOWED = "letters, digits, dots, dashes and underscores, at most 80, starting with a letter or digit (it becomes a folder's name)"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"

SECRET = (
    "looks like an API key or a password, and parameters are saved and shared; "
    "remove it, and set it as an environment variable instead (COMET_API_KEY, HF_TOKEN)"
)


class SpecError(LabError):
    """Parameters, a spec or a spec file that cannot be used.

    Attributes:
        problems: One line each, starting with the dotted path it is about.
        subject: Where they were found.
    """

    def __init__(self, problems: list[str], subject: str = "the parameters") -> None:
        """List every problem in one message.

        Args:
            problems: One line each.
            subject: Where they were found.
        """
        self.problems = tuple(problems)
        self.subject = subject
        count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in {subject}"
        super().__init__("\n  - ".join([f"{count}:", *problems]))

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled by its message alone, which is not what this one is made from.
        return type(self), (list(self.problems), self.subject)


class _Sparse:
    """A dictionary validated as the model of hyperparameters that keeps only the keys that were given."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(
            lambda given, info: hyperparameters().model_validate(given, context=info.context).model_dump(exclude_unset=True),
            core_schema.any_schema(),
            serialization=core_schema.plain_serializer_function_ser_schema(plain),
        )


def _unique(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if names is not None and len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"given twice: {', '.join(twice)}; name each once")
    return names


def _place(written: str, info: ValidationInfo) -> str:
    # Only of what is given now: a record that an earlier version put into such a folder stays readable.
    reason = misread(written, str(info.field_name)) if info.context == _GATE else None
    if reason and not (info.field_name == "dataset" and _is_dataset(written)):
        raise ValueError(reason)
    return written


def _datasets() -> str:
    from sdxl_lab.datasets import sources  # opens pictures, for which the gate has no use

    return sources.allowed()


def _is_dataset(written: str) -> bool:
    from sdxl_lab.datasets import sources

    return sources.source_of(written) is not None


_GATE = "parameters"
_SEEDS = ("seed", "seeds")
"""Two ways to say one thing: a task's own replaces either of the common ones."""
_Place = Annotated[str, Field(strict=True, min_length=1), AfterValidator(_place)]


class RunSpec(Settings):
    """What a run is asked to do, validated, but not yet tied to a dataset's and a checkpoint's content.

    Attributes:
        name: The run's name, for people; the start of its folder's name.
        dataset: A folder, a file of prompts, a built-in one such as `pocket-scenes`, or `workspace/name:version`; whatever a source of datasets
            recognizes.
        checkpoint: A name such as `sdxl`, a folder, a hub id or a .safetensors file.
        samples: Names of the samples to edit, or None for all.
        tasks: What is made of each.
        hyperparameters: The sparse nested dictionary, holding only the keys that were given. Do not change it: copy it.
        tracking: What Comet hears: `auto`, live with an API key, else what `sdxl-lab push` sends later; `online`, which insists on a key;
            `offline`, an archive in the run's folder, for `comet upload`; or `off`.
        runs_folder: Folder in which the run's folder is made.

    Examples:
        >>> from sdxl_lab import RunSpec
        >>> spec = RunSpec.from_parameters(
        ...     name="three-steps", dataset="pocket-scenes", checkpoint="pocket", samples=["red-circle"], tasks=["inpaint"],
        ...     hyperparameters={"denoising": {"num_inference_steps": 3}}, tracking="off",
        ... )
        >>> spec.hyperparameters
        {'denoising': {'num_inference_steps': 3}}
    """

    name: Annotated[str, Field(strict=True, pattern=NAME_PATTERN)] = Field(description=NAME_ALLOWED)
    dataset: Annotated[_Place, Allowed(_datasets)]
    checkpoint: Annotated[_Place, Allowed(lambda: f"{', '.join(families.names())}, a folder, a hub id or a .safetensors file")]
    samples: Annotated[tuple[Annotated[str, Field(strict=True, min_length=1)], ...] | None, AfterValidator(_unique)] = Field(
        default=None, min_length=1, description="a list of the samples' names, each once, or None for all"
    )
    tasks: Annotated[tuple[TaskName, ...], AfterValidator(_unique), Allowed(task_names.some)] = Field(
        default_factory=task_names.by_default, min_length=1
    )
    hyperparameters: Annotated[dict[str, Any], _Sparse()] = Field(default_factory=dict)
    tracking: Literal["auto", "online", "offline", "off"] = Field(default="auto", description="one of auto, online, offline, off")
    runs_folder: _Place = Field(default=RUNS_FOLDER, description="the path of a folder")

    @classmethod
    def from_parameters(cls, **parameters: Any) -> Self:
        """Validate the parameters of a notebook, a command or a sweep: the one gate.

        Args:
            **parameters: The attributes of this class, as people write them: nested dictionaries, lists or tuples, numpy's
                numbers, paths.

        Returns:
            The spec, with plain values.

        Raises:
            SpecError: Something is not allowed, or looks like an API key. Lists every problem; repeats no key.
        """
        clean, secrets = without_credentials(parameters)
        values, nulls = without_nulls(plain(clean))
        where = saved_by_papermill() if secrets else ""
        found = {path: f"{path}: {SECRET}{where}" for path in secrets} | {_path(line): line for line in nulls}
        try:
            spec = cls.model_validate(values, context=_GATE)
        except ValidationError as error:
            found |= {_path(line): line for line in problems(error, cls) if _path(line) not in found or "unknown key" in line}
            raise SpecError(list(found.values())) from None
        contradictions = list(found.values()) or spec._contradictions()
        if contradictions:
            raise SpecError(contradictions)
        return spec

    @property
    def compute(self) -> Compute:
        """Where and how the run is computed, `auto` and None still to be chosen."""
        return Compute.model_validate(self.hyperparameters.get("compute", {}))

    def settings(self, task: str, defaults: Mapping[str, Any], size: tuple[int, int] | None, sizes: families.Sizes) -> EditSettings:
        """Fill in what was not given: the library's defaults, under the checkpoint's, under the common ones, under the task's own.

        Args:
            task: The task, which need not be one of `tasks`.
            defaults: What suits checkpoint and task: nested, sparse, with the keys of `EditSettings`. A `compute` among them is
                passed over: it is no setting of a picture.
            size: (width, height) in pixels of the picture that is edited; None for a task that needs none.
            sizes: What the checkpoint was made for.

        Returns:
            The complete settings; neutral what the task does not take.

        Raises:
            SpecError: The checkpoint's defaults are not valid.
        """
        kind, given = TASKS[task], self.given(task)
        asked = merge(defaults, {key: given[key] for key in EditSettings.model_fields if key in given})
        asked = without(asked, ["compute", *kind.untaken]) | {"size": _settled(asked.get("size", {}), sizes, is_needed=not kind.needs_image)}
        try:
            return EditSettings.model_validate(kind.complete(asked, size))
        except ValidationError as error:
            raise SpecError(problems(error, EditSettings), "the checkpoint's defaults") from None

    def edits(
        self,
        sample: str,
        task: str,
        *,
        prompt: str | None,
        negative_prompt: str | None,
        seed: int | None,
        defaults: Mapping[str, Any],
        size: tuple[int, int] | None,
        sizes: families.Sizes,
        lines_of: LinesOf | None = None,
    ) -> tuple[Edit, ...]:
        """Plan the pictures of a sample and task: the words and the seed of the dataset, under those of the parameters.

        Args:
            sample: The sample's name.
            task: What to do with it.
            prompt: The dataset's prompt, if it has one; likewise `negative_prompt` and `seed`.
            negative_prompt: None is not the empty text: diffusers treats them differently.
            seed: From -2**63 to 2**64 - 1; None for `DEFAULT_SEED`.
            defaults: What suits checkpoint and task, as for `settings`; likewise `size` and `sizes`.
            size: (width, height) in pixels of the sample's picture.
            sizes: What the checkpoint was made for.
            lines_of: Of a list that a prompt names, where words are drawn; None where there are no lists.

        Returns:
            One picture, or as many as `seeds` asks for, in that order. Words that are to be replaced and stand nowhere are passed over.

        Raises:
            SpecError: Neither dataset nor parameters have a prompt, or it is compel's to read, and that is not installed.
            WildcardError: Words cannot be drawn for it.
        """
        words = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": DEFAULT_SEED if seed is None else seed} | self.words(task)
        own = words.pop("seed")
        seeds = ranges.seeds(words.pop("seeds", (own,)))
        if words["prompt"] is None:
            raise SpecError(
                [f"hyperparameters.{task}.prompt: sample {sample} has no prompt of its own for {task}; give one here or in metadata.json"]
            )
        settings, varied = self.settings(task, defaults, size, sizes), self.variation(task)
        try:
            said = {each: varied.of(words, sample=sample, seed=each, lines_of=lines_of or no_lists) for each in seeds}
            return tuple(read_here(Edit(sample=sample, task=task, settings=settings, seed=each, **said[each])) for each in seeds)
        except PromptError:
            raise SpecError([f"hyperparameters.prompt_syntax: got compel, and {compel_marks.MISSING}"]) from None

    def given(self, task: str) -> dict[str, Any]:
        """Lay the sparse hyperparameters of one task over the common ones.

        Args:
            task: The task.

        Returns:
            A nested dictionary without the names of tasks, holding only what was given.
        """
        common, own = self._layers(task)
        return merge(common, own) | {key: own[key] for key in ("size",) if key in own}  # an aspect is not laid over sides

    def words(self, task: str) -> dict[str, Any]:
        """The prompt, negative prompt, and seed or seeds that were given for one task, over those of the dataset; keys not given are absent."""
        common, own = self._layers(task)
        keys = ("prompt", "negative_prompt", *_SEEDS)
        return _given(common, keys) | _given(own, keys)

    def variation(self, task: str) -> Variation:
        """What is done to the prompts of a task before they are read."""
        given = self.given(task)
        words = {name: words_in(given[key]) for name in ("prompt", "negative_prompt") if given.get(key := f"{name}_replace")}
        return Variation(words=words, draws=given.get("wildcards") == "draw")

    @property
    def asks_for_minus_one(self) -> bool:
        """Whether -1 was given as a seed, which other tools take as a wish for any; a dataset's own does not count."""
        asked = [self.words(task) for task in self.tasks]
        return any(words.get("seed") == -1 or (isinstance(several := words.get("seeds"), list) and -1 in several) for words in asked)

    def passed_over(self) -> list[str]:
        """Dotted paths of settings that were given for all tasks, and that none of the run's tasks takes."""
        common = flatten({key: value for key, value in self.hyperparameters.items() if key in EditSettings.model_fields})
        untaken = [set(TASKS[task].untaken) for task in self.tasks]
        return [f"hyperparameters.{path}" for path in common if all(path in paths for paths in untaken)]

    def _layers(self, task: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What was given for all tasks, without what the task's own seeds replace, and what was given for the task."""
        own = self.hyperparameters.get(task, {})
        replaced = _SEEDS if _given(own, _SEEDS) else ()
        return {key: value for key, value in self.hyperparameters.items() if key not in TASKS and key not in replaced}, own

    def _contradictions(self) -> list[str]:
        levels = {"hyperparameters": self.hyperparameters} | {f"hyperparameters.{task}": self.hyperparameters.get(task, {}) for task in self.tasks}
        found = [
            f"{path}.seeds: got seeds beside {path}.seed; allowed is one of the two: leave one out, or set it to None"
            for path, level in levels.items()
            if len(_given(level, _SEEDS)) == len(_SEEDS)
        ]
        if self.compute.layerwise and self.hyperparameters.get("loras"):
            line = "got fp8 beside loras, and nothing can be added to weights of 8 bits; leave one of the two out"
            found.append(f"hyperparameters.compute.layerwise: {line}")
        of_tasks = [f"hyperparameters.{task}.{line}" for task in self.tasks for line in TASKS[task].contradictions(self.given(task))]
        of_words = (line for task in self.tasks for line in problems_of(self.variation(task), self.words(task)))
        named = families.named(self.checkpoint)  # of any other the files tell, when it is found
        found += lacking.refused(self.hyperparameters, named[0], self.checkpoint) if named else []
        return found + of_tasks + list(dict.fromkeys(of_words))


def _given(level: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Those of some keys that say something: None says nothing."""
    return {key: level[key] for key in keys if level.get(key) is not None}


def _settled(asked: Mapping[str, Any], sizes: families.Sizes, *, is_needed: bool) -> dict[str, int]:
    """The size that is asked for, in pixels; nothing where it is left to the picture."""
    if aspect := asked.get("aspect") or ("1:1" if is_needed and asked.get("width") is None else None):
        width, height = bucket(aspect, area=sizes.area, multiple=sizes.multiple)
        return {"width": width, "height": height}
    return {key: value for key, value in asked.items() if key != "aspect" and value is not None}


def _path(line: str) -> str:
    return line.partition(": ")[0]

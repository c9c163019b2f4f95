"""A sweep file: a base, a grid and single points become a list of runs, each validated, before anything runs."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sdxl_lab.datasets.sources import FIRST_DATASET
from sdxl_lab.kernels import notebooks
from sdxl_lab.settings import arguments
from sdxl_lab.settings.documents import RELEASES
from sdxl_lab.settings.hyperparams import HyperparameterError, get, merge, replace
from sdxl_lab.spec.homes import named_among, place_of
from sdxl_lab.spec.lacking import NOT_APPLICABLE
from sdxl_lab.spec.parameters import plain
from sdxl_lab.spec.run_spec import NAME_ALLOWED, NAME_PATTERN, RunSpec, SpecError
from sdxl_lab.sweeps.applies import Marked, advice
from sdxl_lab.sweeps.labels import told_apart, whole
from sdxl_lab.sweeps.sections import Sections, same
from sdxl_lab.wording import counted

MOST_POINTS = 10_000
"""A larger grid is a slip of the keyboard."""

EXAMPLE = "name: fractions\ngrid:\n  hyperparameters.denoising.high_noise_frac: [null, 0.5-0.9 (0.1)]"


class SweepFileError(SpecError):
    """A sweep file that cannot be used as it is. Lists every problem, one line each, starting with the dotted path it is about."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run of a sweep.

    Attributes:
        label: What sets it apart, for people: `seed=527 high_noise_frac=0.8`.
        overrides: The same by dotted path, as far as grid or list gave it; `NOT_APPLICABLE` where its checkpoint has no use for it.
        parameters: All eight parameters of the run.
        spec: The same, validated.
    """

    label: str
    overrides: Mapping[str, Any]
    parameters: Mapping[str, Any]
    spec: RunSpec


@dataclass(frozen=True, kw_only=True)
class SweepFile:
    """What a sweep is asked to do.

    Attributes:
        name: Its name, and the last part of its runs' folder.
        notebook: What runs each point.
        points: The runs: those of the grid in the order of its axes, the first changing slowest, then the single ones.
        defaults: The release whose defaults fill in what is not given; None for this version's.
        left_out: What does not apply to some of its checkpoints, as `where` says: a line each.

    Examples:
        >>> quick = {"samples": ["red-circle"], "tasks": ["inpaint"], "tracking": "off", "hyperparameters.denoising.num_inference_steps": 3}
        >>> file = SweepFile.from_dict({"name": "guidance", "parameters": quick, "grid": {"hyperparameters.denoising.guidance_scale": [3.0, 7.5]}})
        >>> [point.label for point in file.points]
        ['guidance_scale=3.0', 'guidance_scale=7.5']
    """

    name: str
    notebook: Path
    points: tuple[Point, ...]
    defaults: str | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a sweep from a YAML file, by the rules of YAML 1.2.

        Args:
            path: The file.

        Returns:
            The sweep, every point of it validated.

        Raises:
            ArgumentError: The file is not there, or is not YAML.
            SweepFileError: Something in it is not allowed. Lists every problem; repeats no key.
        """
        return cls.from_dict(arguments.read_file(Path(path).expanduser()), str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], subject: str = "the sweep") -> Self:
        """Make a sweep from a dictionary with the keys of a sweep file.

        Args:
            content: `name`; `notebook`, the built-in one if left out; `defaults`, the release whose defaults are meant, this version's if left
                out; `parameters`, laid over the notebook's own; `grid`, for each dotted path its values; `exclude`, points of the grid that are
                left out; `points`, single ones beside the grid; `where`, for dotted paths `applies`, settings that are left out for checkpoints
                that have none such. Nested dictionaries and dotted paths mean the same everywhere.
            subject: Where it was found, for the error.

        Returns:
            The sweep, every point of it validated.

        Raises:
            SweepFileError: Something in it is not allowed. Lists every problem; repeats no key.
        """
        reader = _Reader(_plain(content))
        points = reader.points()
        if reader.problems:
            raise SweepFileError(list(dict.fromkeys(reader.problems)), subject)
        return cls(name=reader.name, notebook=reader.notebook, points=points, defaults=reader.defaults, left_out=tuple(reader.marked.told))


class _Reader:
    """Finds the runs that a sweep means, and collects what is wrong with it."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        sections = Sections(content)
        self.problems = sections.problems
        self.name = self._name(sections.content.get("name"))
        self.defaults = self._release(sections.content.get("defaults"))
        self.notebook, defaults = self._find(sections.content.get("notebook"))
        given = sections.settings("parameters")
        folder = {} if "runs_folder" in given else {"runs_folder": f"artifacts/runs/{self.name}"}
        self.base = _laid_over(merge(defaults, folder), given)
        self.prefix = f"{given['name']}-" if isinstance(given.get("name"), str) else ""
        self.axes = sections.axes("grid")
        self.excluded = sections.listed_axes("exclude")
        self.singles = sections.points("points")
        self.marked = Marked(sections.settings("where"), self.base)
        self.problems += self.marked.faults([*given, *self.axes, *(path for single in self.singles for path in single)])

    def points(self) -> tuple[Point, ...]:
        """The runs, as far as they can be told; what is wrong with them joins the problems."""
        paths = dict.fromkeys(path for overrides in [self.axes, *self.singles] for path in overrides if path != "name")
        named = {path: path.removesuffix(".file") for path in paths}  # a file is called by what it is for
        shown = {path: max(named_among(name, named.values()), _replaced_word(path), key=len) for path, name in named.items()}
        chosen = self.marked.chosen([*self._grid(), *self.singles])
        told = {path: told_apart([overrides[path] for overrides in chosen if path in overrides]) for path in paths}
        points: list[Point] = []
        refused: dict[str, list[str]] = {}
        for overrides in chosen:
            words = {path: (shown[path], told[path][whole(value)]) for path, value in overrides.items() if path != "name"}
            label = overrides.get("name") or " ".join(map("=".join, words.values())) or self.name
            given = {path: value for path, value in overrides.items() if value is not NOT_APPLICABLE}
            named = overrides.get("name") or self._run_name([word for path, word in words.items() if path in given])
            parameters = _laid_over(self.marked.base_of(given), {"name": named} | given)
            try:
                spec = RunSpec.from_parameters(**parameters)
            except SpecError as error:
                for line in error.problems:
                    refused.setdefault(line, []).append(str(label))
                continue
            except TypeError:  # a parameter whose name is no text
                refused.setdefault("parameters: got a name that is no text; allowed are texts", []).append(str(label))
                continue
            varied = {path: value for path, value in overrides.items() if path != "name"}
            points.append(Point(label=str(label), overrides=varied, parameters=parameters, spec=spec))
        for line, labels in refused.items():
            few = "" if len(labels) == len(chosen) else f" (in {len(labels)} of {counted(len(chosen), 'point')}, the first is {labels[0]})"
            self.problems.append(line + few)
        self.problems += advice(refused)
        if not chosen and not self.problems:
            self.problems.append("exclude: leaves no point to run; exclude less, or list some in points")
        return tuple(points)

    def _grid(self) -> list[dict[str, Any]]:
        size = math.prod(map(len, self.axes.values()))
        if size > MOST_POINTS:
            self.problems.append(f"grid: got {size} points; allowed are {MOST_POINTS}: give fewer values")
            return []
        if not self.axes and self.singles:
            return []
        every = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        left = every
        for index, entry in enumerate(self.excluded):
            matching = [point for point in every if self._matches(point, entry)]
            if entry and not matching and not self.problems:
                self.problems.append(
                    f"exclude[{index}]: matches none of the {counted(len(every), 'point')} of the grid; write values that the grid has"
                )
            left = [point for point in left if point not in matching]
        return left

    def _matches(self, point: Mapping[str, Any], entry: Mapping[str, Sequence[Any]]) -> bool:
        whole = _laid_over(self.base, point)
        return bool(entry) and all(any(same(_get(whole, path), value) for value in values) for path, values in entry.items())

    def _name(self, name: Any) -> str:
        if isinstance(name, str) and re.fullmatch(NAME_PATTERN, name):
            return name
        got = "missing" if name is None else f"got {name!r}"
        self.problems.append(f"name: {got}; allowed is {NAME_ALLOWED}")
        return "unnamed"

    def _release(self, release: Any) -> str | None:
        if release is None or release in RELEASES:
            return release
        self.problems.append(f"defaults: got {release!r}; allowed is a release whose defaults are meant, one of {', '.join(RELEASES)}, or none")
        return None

    def _find(self, notebook: Any) -> tuple[Path, dict[str, Any]]:
        try:
            if notebook is not None and not isinstance(notebook, str):
                raise notebooks.NotebookError(f"got {notebook!r}; allowed is the path of an .ipynb file, or {notebooks.BUILT_IN}")
            path = notebooks.find(notebook or notebooks.BUILT_IN)
            moved = {"dataset": FIRST_DATASET} if self.defaults == RELEASES[0] and path == notebooks.find(notebooks.BUILT_IN) else {}
            return path, notebooks.parameters_of(path) | moved
        except notebooks.NotebookError as error:
            self.problems.append(f"notebook: {error}")
            built_in = notebooks.find(notebooks.BUILT_IN)
            return built_in, notebooks.parameters_of(built_in)

    def _run_name(self, words: Sequence[tuple[str, str]]) -> str:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", self.prefix + ("-".join(map("_".join, words)) or self.name))
        return name.strip("._-")[:80].rstrip("._-") or self.name


def _plain(content: Any) -> dict[str, Any]:
    """JSON's types; from Python, ranges and arrays become lists too."""

    def listed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: listed(below) for key, below in value.items()}
        if isinstance(value, range) or hasattr(value, "tolist"):
            return list(value) if isinstance(value, range) else value.tolist()
        return [listed(item) for item in value] if isinstance(value, list | tuple) else value

    if not isinstance(content, Mapping):
        raise SweepFileError([f"got a {type(content).__name__}; allowed is a dictionary such as\n{EXAMPLE}"])
    return plain(listed(content))


def _laid_over(base: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(base)
    for path, value in flat.items():
        laid = merge(laid, replace({}, place_of(path, value), value))
    return laid


def _replaced_word(path: str) -> str:
    """The word that a path replaces in prompts, dots and all; empty for any other path."""
    return path.partition("prompt_replace.")[2]


def _get(nested: Mapping[str, Any], path: str) -> Any:
    try:
        return get(nested, path)
    except HyperparameterError:
        return None  # as for a setting: not given is None

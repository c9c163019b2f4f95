"""The sections of a sweep file as they are written: dotted paths, and the values that ranges and lists stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdxl_lab.settings import ranges
from sdxl_lab.settings.credentials import without_credentials
from sdxl_lab.settings.hyperparams import HyperparameterError, difference, split, unknown_key
from sdxl_lab.spec.parameters import takes_numbers
from sdxl_lab.spec.run_spec import SECRET
from sdxl_lab.sweeps.labels import leaves, short
from sdxl_lab.tasks import TASKS

KEYS = ("name", "notebook", "defaults", "parameters", "grid", "exclude", "points", "where")
WHOLE_SWEEP = ("runs_folder", "tracking")


class Sections:
    """The content of a sweep file, taken apart.

    Args:
        content: As the file has it, in JSON's types.

    Attributes:
        content: The same without what looks like a key to an account.
        problems: What is wrong with how it is written: a line each, more of them with each section that is asked for.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self.content = self._without_secrets(content)
        self.problems += [unknown_key(str(key), KEYS) for key in self.content if key not in KEYS]

    def settings(self, name: str) -> dict[str, Any]:
        """A section by dotted path, each with its one value."""
        return self._flat(self.content.get(name), name)

    def axes(self, name: str) -> dict[str, list[Any]]:
        """A section by dotted path, each with its values, ranges expanded."""
        return self._axes(self.settings(name), name)

    def listed_axes(self, name: str) -> list[dict[str, list[Any]]]:
        """What `axes` has, of each entry of a section that is a list."""
        return [self._axes(entry, where) for where, entry in self._entries(self.content.get(name), name)]

    def points(self, name: str) -> list[dict[str, Any]]:
        """What `settings` has, of each entry of a section that is a list of single points."""
        return [self._single(entry, where) for where, entry in self._entries(self.content.get(name), name)]

    def _without_secrets(self, content: Mapping[str, Any]) -> dict[str, Any]:
        flat = {str(key): value for key, value in content.items() if not isinstance(value, list)}
        lists = {f"{key}[{index}]": entry for key, value in content.items() if isinstance(value, list) for index, entry in enumerate(value)}
        kept, secrets = without_credentials(flat | lists)
        self.problems += [f"{path}: {SECRET}" for path in secrets]
        listed = {
            str(key): [kept[f"{key}[{i}]"] for i in range(len(v)) if f"{key}[{i}]" in kept] for key, v in content.items() if isinstance(v, list)
        }
        return {key: value for key, value in kept.items() if key in flat} | listed

    def _flat(self, nested: Any, where: str) -> dict[str, Any]:
        """A section as dotted paths and leaves."""
        if nested is None:
            return {}
        if not isinstance(nested, Mapping):
            self.problems.append(f"{where}: got {short(nested)}; allowed is a dictionary of dotted paths, or a nested one")
            return {}
        flat: dict[str, Any] = {}
        for path, leaf in leaves(nested):
            try:
                split(path)
            except HyperparameterError as error:
                self.problems.append(f"{where}: {error}")
                continue
            outer = [other for other in flat if path == other or path.startswith(f"{other}.") or other.startswith(f"{path}.")]
            if outer:
                self.problems.append(f"{where}.{path}: given twice, here and as {where}.{outer[0]}; give each setting once")
            flat[path] = leaf
        return flat

    def _entries(self, listed: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if listed is None:
            return
        if not isinstance(listed, list):
            self.problems.append(f"{where}: got {short(listed)}; allowed is a list of dictionaries")
            return
        for index, entry in enumerate(listed):
            flat = self._flat(entry, f"{where}[{index}]")
            if isinstance(entry, Mapping) and not entry:
                self.problems.append(f"{where}[{index}]: is empty; give at least one setting")
            yield f"{where}[{index}]", flat

    def _axes(self, flat: Mapping[str, Any], where: str) -> dict[str, list[Any]]:
        """For each path its values, ranges expanded."""
        axes: dict[str, list[Any]] = {}
        for path, value in flat.items():
            if path in ("name", *WHOLE_SWEEP):
                self.problems.append(f"{where}.{path}: is the same for the whole sweep and changes no picture; move it to parameters.{path}")
                continue
            values: list[Any] = []
            if path.rpartition(".")[2] == "seeds" and (single := [item for item in _listed(value) if isinstance(item, int)]):
                self.problems.append(
                    f"{where}.{path}: got {single[0]!r} as one of the values, but a value is all seeds of a run: write [[1, 2]] or 1-2 for pictures "
                    f"of one run, or {where}.{path.removesuffix('s')} for a run with each"
                )
                continue
            for item in _listed(value):
                values += [new for new in self._expand(path, item, where) if not any(same(new, old) for old in values)]
            if isinstance(value, list) and not value:
                self.problems.append(f"{where}.{path}: got an empty list; give at least one value")
            if values:
                axes[path] = values
        return axes

    def _expand(self, path: str, value: Any, where: str) -> list[Any]:
        kind = takes_numbers(path)
        if not isinstance(value, str) or kind is None:
            return [value]
        try:
            if ranges.is_random(value):
                if path not in ("hyperparameters.seed", *(f"hyperparameters.{task}.seed" for task in TASKS)):
                    raise ranges.RangeError(f"got {value!r}, but random draws seeds alone; write a range such as 1-10 [4], or a list")
                return ranges.random_seeds(value)
            if ranges.is_range(value):
                return list(ranges.whole_numbers(value) if kind is int else ranges.numbers(value))
        except ranges.RangeError as error:
            self.problems.append(f"{where}.{path}: {error}")
            return []
        return [value]

    def _single(self, flat: dict[str, Any], where: str) -> dict[str, Any]:
        for path, value in list(flat.items()):
            if path in WHOLE_SWEEP:
                self.problems.append(f"{where}.{path}: is the same for the whole sweep; move it to parameters.{path}")
            elif takes_numbers(path) and isinstance(value, str) and (ranges.is_range(value) or ranges.is_random(value)):
                self.problems.append(f"{where}.{path}: got {value!r}, but a single point has one value; move ranges to grid")
                del flat[path]
        return flat


def same(left: Any, right: Any) -> bool:
    """Whether two values are one setting's value, as `difference` tells."""
    return not difference({"value": left}, {"value": right})


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""What libraries import or look up for everybody as they are imported, and few ever use: done when it is first used, to the same effect.

diffusers imports scipy's statistics for schedulers that space their steps by a beta distribution, transformers its optimization for losses of
object detection, and scipy's wrapper of numpy the compiler of Fortran. diffusers lists the files of all installed packages, to tell of three of
them which package brings them. torch reads the source of each function that it registers, and uses its name and line. transformers reads its 2000
files of models twice, since it remembers the latest 128 folders and has more, and each line of them, to find one name.

While libraries are imported, such a module is a stand-in. It leaves at the end, so that whoever imports the module later, or looks for it in its
package as diffusers does, gets the module itself; and at once if something is asked of it that is not among what only is called later.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from threading import get_ident
from types import ModuleType
from typing import Any

CALLED: Mapping[str, tuple[str, ...]] = {
    "numpy.f2py": (),
    "scipy.integrate": (),
    "scipy.optimize": ("linear_sum_assignment",),
    "scipy.stats": (),
}
"""Modules that are imported later, and their functions that libraries take out of them by name, to call them later."""

TABLE = "transformers.utils.import_utils"
"""What reads transformers' files of models."""


class _StandIn(ModuleType):
    """A module that has not been imported."""

    def __getattr__(self, name: str) -> Any:
        own = self.__name__
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {own!r} has no attribute {name!r}")
        if name in CALLED[own]:
            return _called_later(own, name)
        _withdraw(self)
        return getattr(importlib.import_module(own), name)


class _Distributions(Mapping[str, Sequence[str]]):
    """What brings each importable package, found out when it is first asked for."""

    def __init__(self, find: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        self._find = find

    @functools.cached_property
    def _found(self) -> Mapping[str, Sequence[str]]:
        return self._find()

    def __getitem__(self, name: str) -> Sequence[str]:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Later:
    """A finder of modules, asked before all others while libraries are imported: in one thread at a time, and by no other."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self._imported: set[str] = set()
        self._functions: list[tuple[Any, str, Any]] = []

    def begin(self) -> None:
        """Stand in, in this thread, for what is not imported yet."""
        self._thread, self._imported = get_ident(), set()
        replaced = ((importlib.metadata, "packages_distributions", _Distributions), (inspect, "getframeinfo", self._where))
        self._functions = [(module, name, getattr(module, name)) for module, name, _ in replaced]
        for module, name, function in replaced:
            setattr(module, name, functools.partial(function, getattr(module, name)))
        sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Leave."""
        with suppress(ValueError):  # a library may have put another list there
            sys.meta_path.remove(self)
        for module, name, function in self._functions:
            setattr(module, name, function)
        for name in CALLED:
            if isinstance(module := sys.modules.get(name), _StandIn):
                _withdraw(module)
        self._thread = None

    def _where(self, find: Callable[..., Any], frame: Any, context: int = 1) -> Any:
        """Where a frame is, without the lines around it: to read those takes a walk through all modules."""
        return find(frame, 0 if get_ident() == self._thread else context)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find a module; Python calls this.

        Args:
            name: The module's.
            path: Where its package looks.
            target: As for every finder.
        """
        if get_ident() != self._thread:
            return None
        package = sys.modules.get(name.rpartition(".")[0])
        if isinstance(package, _StandIn):
            _withdraw(package)
            return ModuleSpec(name, _Made(importlib.import_module(name)))
        if name not in CALLED and name != TABLE:
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is None or found.loader is None or name in self._imported:
            return None
        if name == TABLE:
            _read_less(found.loader)
            return found
        self._imported.add(name)
        spec = ModuleSpec(name, _Made(_StandIn(name)), origin=found.origin)
        spec.submodule_search_locations, spec.has_location = found.submodule_search_locations, found.has_location
        return spec


class _Made(Loader):
    """What loads a module that is there already."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec or module.__spec__  # the one that it was loaded by stays


def _withdraw(module: ModuleType) -> None:
    name = module.__name__
    package, _, own = name.rpartition(".")
    if sys.modules.get(name) is module:
        del sys.modules[name]
    if vars(sys.modules.get(package)).get(own) is module:
        delattr(sys.modules[package], own)


def _called_later(module: str, name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    function.__module__, function.__name__, function.__qualname__ = module, name, name
    return function


def _read_less(loader: Any) -> None:
    """Have transformers remember all of its folders, and look for the last `__all__` of a file from where that is."""
    load = loader.exec_module

    def exec_module(module: Any) -> None:
        load(module)
        with suppress(AttributeError):  # another release
            names = module.fetch__all__
            module.fetch__all__ = lambda file_content: names(file_content[file_content.rfind("\n__all__") + 1 :])
            module.create_import_structure_from_path = functools.cache(module.create_import_structure_from_path.__wrapped__)

    loader.exec_module = exec_module


later = Later()
"""This process's."""

"""What libraries import or look up for everybody as they are imported, and few ever use: done when it is first used, to the same effect.

diffusers imports scipy's statistics for schedulers that space their steps by a beta distribution, transformers its optimization for losses of
object detection, and scipy's wrapper of numpy the compiler of Fortran. diffusers imports peft to see whether a model or a layer is one of its own,
and for each forward of a UNet to multiply LoRAs by 1; it lists the files of all installed packages, to tell of three of them which package brings
them. torch reads the source of each function that it registers, and uses its name and line. transformers reads its 2000 files of models twice,
since it remembers the latest 128 folders and has more, and each line of them, to find one name.

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
    "peft": (),
    "peft.helpers": ("disable_input_dtype_casting",),
    "peft.tuners": (),
    "peft.tuners.tuners_utils": ("BaseTunerLayer",),
    "scipy.integrate": (),
    "scipy.optimize": ("linear_sum_assignment",),
    "scipy.stats": (),
}
"""Modules that are imported later, and what libraries take out of them by name, to call it later; a class, to ask whether something is of it."""


class _StandIn(ModuleType):
    """A module that has not been imported."""

    def __getattr__(self, name: str) -> Any:
        own = self.__name__
        if name.startswith("__") and name != "__all__":
            raise AttributeError(f"module {own!r} has no attribute {name!r}")
        if name in CALLED[own]:
            return _kind_later(own, name) if name[0].isupper() else _called_later(own, name)
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
        around = name.rpartition(".")[0]
        package = sys.modules.get(around)
        if isinstance(package, _StandIn) and name not in CALLED:
            _withdraw(package)
            module = importlib.import_module(name)
            del sys.modules[name]  # where Python would find it, and run all of it once more
            return ModuleSpec(name, _Made(module))
        if name not in CALLED and name not in REPLACED:
            return None
        if around in CALLED and not isinstance(package, _StandIn):
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is None or found.loader is None or name in self._imported:
            return None
        if name in REPLACED:
            _changed(found.loader, REPLACED[name])
            return found
        spec = ModuleSpec(name, _Made(_StandIn(name), self._imported), origin=found.origin)
        spec.submodule_search_locations, spec.has_location = found.submodule_search_locations, found.has_location
        return spec


class _Made(Loader):
    """What loads a module that is there already, and notes that it did: a library may only look whether there is one."""

    def __init__(self, module: ModuleType, imported: set[str] | None = None) -> None:
        self._module, self._spec, self._imported = module, module.__spec__, imported

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if self._imported is not None:
            self._imported.add(spec.name)
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec or module.__spec__  # the one that it was loaded by stays


def _withdraw(module: ModuleType) -> None:
    """Let a stand-in leave, and those that it stands in or that stand in it: a package begins with itself."""
    name = module.__name__
    package, _, own = name.rpartition(".")
    if sys.modules.get(name) is module:
        del sys.modules[name]
    around = sys.modules.get(package)
    if around is not None and vars(around).get(own) is module:
        delattr(around, own)
    if isinstance(around, _StandIn):
        _withdraw(around)
    for below in [each for key, each in sys.modules.items() if key.startswith(f"{name}.") and isinstance(each, _StandIn)]:
        _withdraw(below)


def _called_later(module: str, name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    function.__module__, function.__name__, function.__qualname__ = module, name, name
    return function


def _kind_later(module: str, name: str) -> type:
    """A class of which nothing is as long as its module was not imported."""

    class Later(type):
        def __instancecheck__(cls, thing: Any) -> bool:
            return (kind := _there(module, name)) is not None and isinstance(thing, kind)

        def __subclasscheck__(cls, other: type) -> bool:
            return (kind := _there(module, name)) is not None and issubclass(other, kind)

    return Later(name, (), {"__module__": module})


def _there(module: str, name: str) -> Any:
    found = sys.modules.get(module)
    return None if found is None or isinstance(found, _StandIn) else getattr(found, name)


def _changed(loader: Any, change: Callable[[Any], None]) -> None:
    """Have a module changed once it is loaded."""
    load = loader.exec_module

    def exec_module(module: Any) -> None:
        load(module)
        with suppress(AttributeError):  # another release
            change(module)

    loader.exec_module = exec_module


def _read_less(module: Any) -> None:
    """Have transformers remember all of its folders, and look for the last `__all__` of a file from where that is."""
    names = module.fetch__all__
    module.fetch__all__ = lambda file_content: names(file_content[file_content.rfind("\n__all__") + 1 :])
    module.create_import_structure_from_path = functools.cache(module.create_import_structure_from_path.__wrapped__)


def _scale_less(module: Any) -> None:
    """Have diffusers not ask peft how to multiply by 1."""
    module.scale_lora_layers = _unless((1.0,), module.scale_lora_layers)
    module.unscale_lora_layers = _unless((1.0, None), module.unscale_lora_layers)


def _unless(neutral: Sequence[float | None], scale: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(scale)
    def scaled(model: Any, weight: float | None = None) -> Any:
        return None if weight in neutral else scale(model, weight)

    return scaled


def _look_less(module: Any) -> None:
    """Have diffusers not import peft to see whether a model is one of peft's, which none is until somebody has imported it."""
    is_installed = module.is_peft_available
    module.is_peft_available = lambda: "peft" in sys.modules and is_installed()


REPLACED: Mapping[str, Callable[[Any], None]] = {
    "transformers.utils.import_utils": _read_less,
    "diffusers.utils.peft_utils": _scale_less,
    "diffusers.pipelines.pipeline_loading_utils": _look_less,
}
"""What reads transformers' files of models, and what asks for peft: modules of which functions are replaced by others to the same effect."""

later = Later()
"""This process's."""

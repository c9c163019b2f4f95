"""Which modules are a notebook's own: those that the kernel, as it began, would not have found where they came from."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import zipimport
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from sdxl_lab.kernels.slate.restoring import attribute_restorer, list_restorer

FORGOTTEN = "__forgotten_with_its_notebook__"
"""Marks the namespace of a module that was forgotten: to hold on to it would keep alive what is in it."""

_archives: dict[str, Any] = getattr(zipimport, "_zip_directory_cache", {})

_own_places = [folder for name, folder in sysconfig.get_paths().items() if name in ("stdlib", "platstdlib", "purelib", "platlib")]
_others_places = [folder for folder in sys.path if os.path.basename(folder) in ("site-packages", "dist-packages")]  # noqa: PTH119 - texts
INSTALLED = tuple(folder + os.sep for folder in dict.fromkeys((*_own_places, *_others_places)))
"""Where packages are installed: in this environment, and in others that it sees, as one with the system's packages does."""


class Modules:
    """What a kernel had imported before its first notebook, and where it looked for more.

    Where it looked are its finders and the folders of `sys.path` at that time, less the working folder, which is the notebook's. A module that
    they would find again, the very file, serves all notebooks; any other is forgotten with the notebook that imported it.

    Attributes:
        has_grown: Whether the latest notebook imported modules that stay.
    """

    has_grown = False

    def __init__(self) -> None:
        self._folders = [folder for folder in sys.path if folder]
        self._finders = list(sys.meta_path)
        self._restorers = [list_restorer(values) for values in (sys.path, sys.meta_path, sys.path_hooks)]
        self._restorers += [attribute_restorer(sys, name) for name in ("path", "meta_path", "path_hooks")]
        self._searched, self._archives = set(sys.path_importer_cache) - {os.getcwd()}, set(_archives)  # noqa: PTH109 - its keys are texts
        self._known = dict(sys.modules)
        self._first = set(sys.modules)
        self._paths = {name: path for name, module in self._known.items() if (path := _own_path(module))}

    def forget(self) -> set[str]:
        """Look for modules where the kernel did at its beginning, and forget those that are not found there; returns their names."""
        for restore in self._restorers:
            restore()
        self.forget_places()
        for name, (path, known) in self._paths.items():
            if path != known and _own_path(self._known[name]):
                path[:] = [folder for folder in path if folder in known or folder.startswith(INSTALLED)]
        local = {}
        specs: dict[str, ModuleSpec | None] = {}
        for name, module in list(sys.modules.items()):
            if name not in self._known and (module is None or self._is_local(name, module, specs)):
                local[name] = sys.modules.pop(name)
                _unbind(name, module)
        for name, module in self._known.items():
            if (found := sys.modules.get(name)) is not module:
                local[name], sys.modules[name] = found, module
                _bind(name, module)
        fresh = sys.modules.keys() - self._known.keys()
        self.has_grown = bool(fresh)
        for name in fresh:
            self._known[name] = sys.modules[name]
            if path := _own_path(self._known[name]):
                self._paths[name] = path
        for module in local.values():
            _namespace(module)[FORGOTTEN] = True
        return set(local)

    def forget_places(self) -> None:
        """Forget what lay in folders and archives, which may be something else by now, or elsewhere: a namespace package's, as seen from here."""
        for folder in sys.path_importer_cache.keys() - self._searched:
            del sys.path_importer_cache[folder]
        for archive in _archives.keys() - self._archives:
            del _archives[archive]
        importlib.invalidate_caches()

    def hidden(self, folder: str) -> str:
        """Name a module that was imported by earlier notebooks although a new kernel would find another one in the working folder."""
        try:
            offered = {entry.partition(".")[0] for entry in os.listdir(folder)}  # noqa: PTH208 - names alone
        except OSError:
            return ""
        for name in sorted(offered & (sys.modules.keys() - self._first)):
            found = self._find(name, sys.path)
            if found is not None and found.origin is not None and found.origin != _origin(sys.modules[name]):
                return name
        return ""

    def is_own(self, namespace: Mapping[str, Any]) -> bool:
        """Whether a namespace was that of a module now forgotten, or came from a file of the notebook without a module: by `%run`, or by its path."""
        if FORGOTTEN in namespace:
            return True
        name, file = namespace.get("__name__") or "__main__", namespace.get("__file__")
        if not isinstance(name, str) or not isinstance(file, str) or file.startswith(INSTALLED):
            return False
        found = self._find(name.partition(".")[0], self._folders)
        return found is None or not (found.origin == file or _is_below(file, found))

    def _is_local(self, name: str, module: Any, specs: dict[str, ModuleSpec | None]) -> bool:
        top = name.partition(".")[0]
        if top not in specs:
            specs[top] = self._find(top, self._folders)
        found, origin = specs[top], _origin(module)
        if top != name:
            whole = sys.modules.get(top)
            if top not in self._known and (whole is None or self._is_local(top, whole, specs)):
                return True
            return _is_in_a_file(origin) and found is not None and bool(found.submodule_search_locations) and not _is_below(origin, found)
        if _is_in_a_file(origin):
            return not origin.startswith(INSTALLED) and (found is None or found.origin != origin)
        portions = list(getattr(module, "__path__", ())) if getattr(module, "__spec__", None) else []
        return bool(portions) and (found is None or not set(portions) & set(found.submodule_search_locations or ()))

    def _find(self, name: str, folders: list[str]) -> ModuleSpec | None:
        for finder in self._finders:
            with suppress(Exception):
                if spec := finder.find_spec(name, folders if finder is PathFinder else None):
                    return spec
        return None


def _unbind(name: str, module: Any) -> None:
    """Forget a module as an attribute of its parent, where `from parent import module` would find it."""
    for parent, child in _in_its_parent(name):
        if parent.get(child) is module:
            del parent[child]


def _bind(name: str, module: Any) -> None:
    for parent, child in _in_its_parent(name):
        parent[child] = module


def _in_its_parent(name: str) -> Iterator[tuple[dict[str, Any], str]]:
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        yield _namespace(sys.modules[parent]), child


def _namespace(module: Any) -> dict[str, Any]:
    namespace = getattr(module, "__dict__", None)
    return namespace if isinstance(namespace, dict) else {}  # anything may be put into sys.modules


def _own_path(module: Any) -> tuple[list[str], list[str]] | None:
    """The list of folders in which a package looks for its submodules, and what is in it now."""
    path = _namespace(module).get("__path__")
    return (path, list(path)) if type(path) is list else None


def _origin(module: Any) -> str:
    namespace = _namespace(module)
    return getattr(namespace.get("__spec__"), "origin", None) or namespace.get("__file__") or ""


def _is_in_a_file(origin: str) -> bool:
    return isinstance(origin, str) and os.path.isabs(origin)  # noqa: PTH117 - thousands of them


def _is_below(file: str, package: ModuleSpec) -> bool:
    return any(file.startswith(folder + os.sep) for folder in package.submodule_search_locations or ())

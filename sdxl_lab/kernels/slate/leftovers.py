"""What of a notebook lives on in the process once its variables are gone, and where."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

from sdxl_lab.kernels.slate.modules import Modules

MOST_HOLDERS = 60
"""How many objects are looked at to find a name for where something is held; a look takes milliseconds."""


class Leftovers:
    """Tells what a notebook left from what was there before the first: functions of startup files, threads, tasks.

    Args:
        namespace: The shell's variables, as startup files left them.
        modules: Which modules are the notebook's.
    """

    def __init__(self, namespace: dict[str, Any], modules: Modules) -> None:
        self._namespace, self._modules = namespace, modules
        self._before = _Living([])
        self._before = _Living([*self._own({"__main__"}), *threading.enumerate(), *_tasks()])

    def running(self) -> str:
        """Name a thread or a task that runs code of the notebook."""
        frames = sys._current_frames()
        running = [(thread, f"thread {thread.name}", frames.get(thread.ident or 0)) for thread in threading.enumerate()]
        running += [(task, f"task {task.get_name()}", getattr(task.get_coro(), "cr_frame", None)) for task in _tasks()]
        for thing, name, frame in running:
            while frame is not None and thing not in self._before:
                if frame.f_globals is self._namespace or self._modules.is_own(frame.f_globals):
                    return name
                frame = frame.f_back
        return ""

    def living(self, forgotten: set[str]) -> str:
        """Name a function or class of the notebook that something outside of it holds, and what holds it.

        Args:
            forgotten: Names of modules that the notebook had of its own.
        """
        found = next(self._own({"__main__", *forgotten}), None)
        if found is None:
            return ""
        kind = "function" if type(found) is types.FunctionType else "class"
        return f"{kind} {found.__qualname__}{_where(found, self._namespace)}"

    def _own(self, names: set[str]) -> Iterator[Any]:
        known = {id(getattr(module, "__dict__", None)): False for module in list(sys.modules.values())} | {id(self._namespace): True}
        for found in gc.get_objects():
            kind = type(found)
            if kind is types.FunctionType:
                namespace = found.__globals__
                if id(namespace) not in known:
                    known[id(namespace)] = self._modules.is_own(namespace)
                # IPython keeps the body of the last cell, as a function <module>.
                is_own = known[id(namespace)] and found.__name__ != "<module>"
            else:
                is_own = issubclass(kind, type) and type.__getattribute__(found, "__dict__").get("__module__") in names
            if is_own and found not in self._before:
                yield found


class _Living:
    """Things that live now, told by identity and not kept alive: an id is used again once its thing is gone."""

    def __init__(self, things: Iterable[Any]) -> None:
        self._references = {id(thing): weakref.ref(thing) for thing in things}

    def __contains__(self, thing: Any) -> bool:
        reference = self._references.get(id(thing))
        return reference is not None and reference() is thing


def _tasks() -> set[asyncio.Task[Any]]:
    try:
        return asyncio.all_tasks()
    except RuntimeError:  # no loop runs
        return set()


def _where(thing: Any, namespace: dict[str, Any]) -> str:
    """Say what holds a thing: an attribute of a module or class if one is near, else the kind of object."""
    gc.unfreeze()  # what is frozen is no referrer
    modules = {id(module.__dict__): name for name, module in list(sys.modules.items()) if isinstance(module, types.ModuleType)}
    level, seen, kinds = [(thing, "")], {id(thing), id(namespace)}, list[str]()
    while level and len(seen) < MOST_HOLDERS:
        held, trail = level.pop(0)
        for holder in gc.get_referrers(held):
            kind = type(holder)
            if id(holder) in seen or kind is types.FrameType:
                continue
            seen.add(id(holder))
            step = next((f".{name}" for name, value in holder.items() if value is held and isinstance(name, str)), "") if kind is dict else ""
            if id(holder) in modules:
                return f" in {modules[id(holder)]}{step}{trail}"
            if issubclass(kind, type) and holder.__module__ != "__main__":
                return f" in {holder.__module__}.{holder.__qualname__}{trail}"
            if kind.__module__ not in ("builtins", "__main__", "collections"):
                kinds.append(f" in {trail[1:]} of a {kind.__qualname__}" if trail else f" in a {kind.__qualname__}")
            level.append((holder, step + trail))
    return kinds[0] if kinds else ""

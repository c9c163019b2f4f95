"""Snapshot and restore of a kernel's state, taken once, restored after each notebook: the clean slate on which the next one starts.

Runs inside the kernel. What is restored: variables, history and outputs of the shell; working folder, environment, `sys.path`, `sys.argv` and
other parts of `sys`, `builtins`, signal handlers, warning filters, log handlers and levels; the state of random numbers; torch's default dtype
and device, threads, grad mode, autocast and the switches of its arithmetic; printing options, settings of plots; the tables of this package.
What is ended or closed: a
running Comet experiment, figures, widgets. What startup files put into the namespace is there for each notebook as for the first.

Modules serve the next notebook only if the kernel, as it began, would find the same file: those of the notebook's own folder, of folders and
archives that it put on `sys.path` or on a package's `__path__`, those loaded by their path, and those replaced in `sys.modules` are forgotten.

What makes a kernel unfit for another notebook: a function, class, thread or task of the notebook that lives on (in a hook, a patch, a registry),
hooks on all of torch's modules, modes of torch that were entered and not left, and a change to what `process.unchanged` watches: loaded models.
What was there before the first notebook, from startup files or preloaded modules, is nobody's leftover.

What goes unseen: attributes of libraries set to something that is not the notebook's own code, or to a function that it compiled into a
dictionary of its own; what libraries remember, such as environment variables read at import, or pictures made while a hook was in place;
modules made by hand, without a file; a module that is found in a folder put on `sys.path` and has the name of one that an earlier notebook
imported from a library; random numbers seeded by a startup file; processes the notebook started. For those there is `isolated: true` in a
notebook's metadata. Warning filters and log levels that a library sets at import last for the notebook that imported it first.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import zmq

from sdxl_lab.kernels.slate import libraries, restoring, startup
from sdxl_lab.kernels.slate.ending import Ending
from sdxl_lab.kernels.slate.leftovers import Leftovers
from sdxl_lab.kernels.slate.modules import Modules
from sdxl_lab.kernels.slate.restoring import Restore
from sdxl_lab.process import endings
from sdxl_lab.process.imports import importing
from sdxl_lab.process.unchanged import watch

CLEAN = "clean"


@dataclass(kw_only=True)
class _Slate:
    """What a warm kernel was like before its first notebook; and an object made when the present one began."""

    restorers: Sequence[Restore]
    modules: Modules
    leftovers: Leftovers
    ending: Ending
    entered: list[str] = field(default_factory=list)


_slate: _Slate | None = None
"""None outside of a warm kernel."""


def let_exit_end_the_notebook() -> str:
    """Replace ipykernel's own `exit`, which ends the kernel: in the middle of a later cell, or of the next notebook."""
    shell = _shell()

    class Leave(type(shell.exiter)):
        def __call__(self, code: Any = None) -> None:
            raise SystemExit(*([] if code is None else [code]))

    shell.exiter = Leave(shell)
    shell.user_ns.update(exit=shell.exiter, quit=shell.exiter)
    return CLEAN


def begin_alone(preload: Sequence[str]) -> str:
    """Make ready for the kernel's only notebook.

    Args:
        preload: As for `begin`.
    """
    let_exit_end_the_notebook()
    _drop_nothing_that_is_printed()
    _import(preload)
    if preload:
        gc.freeze()  # else the kernel's end walks through all that the libraries hold, several times: more than a second
    return CLEAN


def begin(preload: Sequence[str]) -> str:
    """Import what should be there before the first notebook, and remember how things are.

    Args:
        preload: Names of modules; those that are not installed are left out. Of `module:function`, the function is called.
    """
    global _slate
    _import(preload)
    shell = _shell()
    let_exit_end_the_notebook()
    _drop_nothing_that_is_printed()
    modules = Modules()
    restorers = [*startup.of_namespace(shell), *restoring.of_system(), *restoring.of_logging(), *restoring.of_shell(shell)]
    restorers += [*libraries.of_numpy(), *libraries.of_torch(), *libraries.of_matplotlib(), *libraries.of_tables()]
    _slate = _Slate(restorers=restorers, modules=modules, leftovers=Leftovers(shell.user_ns, modules), ending=Ending())
    if "torch" in sys.modules:
        watch.add("the modes and hooks of torch", sys.modules["torch"], libraries.modes_of_torch)
    watch.begin()
    gc.freeze()
    return CLEAN


def _drop_nothing_that_is_printed() -> None:
    """Hold all messages of a cell until they are read: of those behind the thousandth, the socket would drop what is printed faster than that."""
    thread = _shell().kernel.iopub_thread
    thread.schedule(lambda: thread.socket.setsockopt(zmq.SNDHWM, 0))


def _import(preload: Sequence[str]) -> None:
    with importing:
        for module, _, function in (name.partition(":") for name in preload):
            if find_spec(module.partition(".")[0]):
                imported = importlib.import_module(module)
                if function:
                    getattr(imported, function)()


def enter(folder: str) -> str:
    """Start a notebook in a folder.

    Args:
        folder: Where relative paths begin.

    Returns:
        `clean`, or why this kernel would not do there what a new one does.
    """
    os.chdir(folder)
    if _slate is not None:
        _slate.entered, _slate.ending.is_clean = [folder], False
        _slate.modules.forget_places()
        if name := _slate.modules.hidden(folder):
            return f"finds a module {name} in {folder}, and earlier notebooks imported another one"
    return CLEAN


def wipe() -> str:
    """Undo what a notebook left behind.

    Returns:
        `clean`, or what the notebook did that only a new kernel is without, as in `left thread X running`.
    """
    if _slate is None:
        return "began in a kernel whose state nobody knows"
    shell = _shell()
    endings.end_all()
    _close_what_is_open()
    names = [name for name in ("last_exc", "last_type", "last_value", "last_traceback") if hasattr(sys, name)]
    for name in names:  # they hold the frames of the last error, and all tensors in them
        delattr(sys, name)
    shell._last_traceback = None
    shell.InteractiveTB.tb = shell.InteractiveTB.etype = shell.InteractiveTB.value = None
    gc.enable()
    forgotten = _slate.modules.forget()
    if left := _slate.leftovers.running():
        return f"left {left} running"
    for restore in _slate.restorers:
        restore()
    libraries.reseed()
    for forget in getattr(typing, "_cleanups", ()):  # Optional[A] is remembered, and A with it
        forget()
    if _is_frozen(_slate.entered):
        gc.unfreeze()  # the notebook's own gc.freeze() would hide what it left
    gc.collect()
    if left := _slate.leftovers.living(forgotten):
        return f"left {left}"
    if changed := watch.changed():
        return f"changed {changed}"
    if _slate.modules.has_grown or not _is_frozen(_slate):
        gc.freeze()  # else each later collection walks through all that the libraries hold
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    _slate.ending.is_clean = True
    return CLEAN


def _is_frozen(thing: Any) -> bool:
    """Whether collections pass a thing over: `gc.get_freeze_count` counts a million of them, which takes as long as all else here."""
    return all(thing is not found for found in gc.get_objects())


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _close_what_is_open() -> None:
    if comet := sys.modules.get("comet_ml"):
        experiment = comet.get_running_experiment()
        if experiment is not None:
            experiment.end()
            comet.config.set_global_experiment(None)
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
    if widgets := sys.modules.get("ipywidgets"):
        widgets.Widget.close_all()

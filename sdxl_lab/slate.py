"""The clean slate on which a notebook starts in a kernel that others used before: taken once, restored after each notebook.

Runs inside the kernel. What is restored: variables, history and outputs of the shell; working folder, environment, `sys.path`, `sys.argv` and
other parts of `sys`, `builtins`, signal handlers, warning filters, log handlers and levels; the state of random numbers; torch's default dtype
and device, threads, grad mode, autocast and the switches of its arithmetic; printing options. What is ended or closed: a running Comet
experiment, figures, widgets. Modules that a notebook found in its own folder are imported anew by the next. `exit()` ends the notebook only.

What makes a kernel unfit for another notebook: a function, thread or task of the notebook that lives on (in a hook, a patch, a registry),
hooks on all of torch's modules, modes of torch that were entered and not left, and a change to what is watched, such as loaded checkpoints.

What goes unseen: attributes of libraries set to something that is not the notebook's own code; what libraries remember, such as environment
variables read at import, or pictures made while a hook was in place; processes the notebook started. For those there is `isolated: true` in a
notebook's metadata. Warning filters and log levels that a library sets at import last for the notebook that imported it first.
"""

from __future__ import annotations

import builtins
import gc
import logging
import os
import random
import signal
import sys
import threading
import types
import warnings
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

CLEAN = "clean"

Restore: TypeAlias = Callable[[], None]
_T = TypeVar("_T")

_restorers: list[Restore] = []  # empty outside of a warm kernel
_watched: list[tuple[str, weakref.ref[Any], Callable[[Any], Hashable], Hashable]] = []
_modules: set[str] = set()


def watch(name: str, thing: _T, fingerprint: Callable[[_T], Hashable]) -> None:
    """Have a warm kernel replaced, between notebooks, once a thing that still lives is no longer what it is now; elsewhere nothing happens.

    Args:
        name: What people call it.
        thing: What is watched. It is not kept alive.
        fingerprint: Tells two states of it apart.
    """
    if _restorers:
        _watched.append((name, weakref.ref(thing), fingerprint, fingerprint(thing)))


def collect() -> None:
    """Collect garbage, also among what `wipe` leaves out of other collections for speed."""
    gc.unfreeze()
    gc.collect()


def let_exit_end_the_notebook() -> str:
    """Replace ipykernel's own `exit`, which ends the kernel: in the middle of a later cell, or of the next notebook."""
    shell = _shell()

    class Leave(type(shell.exiter)):
        def __call__(self, code: Any = None) -> None:
            raise SystemExit(*([] if code is None else [code]))

    shell.exiter = Leave(shell)
    shell.user_ns.update(exit=shell.exiter, quit=shell.exiter)
    return CLEAN


def begin(preload: Sequence[str]) -> str:
    """Import what should be there before the first notebook, and remember how things are.

    Args:
        preload: Names of modules; those that are not installed are left out.
    """
    gc.disable()  # imports leave no garbage, and looking for it takes a tenth of their time
    for name in preload:
        if find_spec(name.partition(".")[0]):
            import_module(name)
    gc.enable()
    shell = _shell()
    let_exit_end_the_notebook()
    _restorers[:] = [*_of_system(), *_of_logging(), *_of_shell(shell)]
    if "torch" in sys.modules:
        _restorers.extend(_of_torch())
        watch("the modes and hooks of torch", sys.modules["torch"], _modes_of_torch)
    gc.collect()
    gc.freeze()
    _modules.update(sys.modules)
    return CLEAN


def enter(folder: str) -> str:
    """Start a notebook in a folder.

    Args:
        folder: Where relative paths begin.
    """
    os.chdir(folder)
    return CLEAN


def wipe() -> str:
    """Undo what a notebook left behind.

    Returns:
        `clean`, or what remains of the notebook, which only a new kernel is without.
    """
    shell = _shell()
    _close_what_is_open()
    names = [name for name in ("last_exc", "last_type", "last_value", "last_traceback") if hasattr(sys, name)]
    for name in names:  # they hold the frames of the last error, and all tensors in them
        delattr(sys, name)
    shell._last_traceback = None
    shell.InteractiveTB.tb = shell.InteractiveTB.etype = shell.InteractiveTB.value = None
    gc.enable()
    namespaces = [shell.user_ns, *_forget_local_modules()]
    if left := _what_runs(namespaces):
        return left
    shell.reset(new_session=True, aggressive=False)
    for restore in _restorers:
        restore()
    _reseed()
    gc.collect()
    if left := _what_lives_on(namespaces):
        return left
    for name, reference, fingerprint, known in _watched:
        if (thing := reference()) is not None and fingerprint(thing) != known:
            return f"a change to {name}"
    fresh = sys.modules.keys() - _modules
    if fresh or not gc.get_freeze_count():
        _modules.update(fresh)
        gc.freeze()  # else each later collection walks through all that the libraries hold
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return CLEAN


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


def _what_runs(namespaces: Sequence[dict[str, Any]]) -> str:
    """Name a thread or a task that runs code of the notebook."""
    import asyncio

    own, frames = {id(namespace) for namespace in namespaces}, sys._current_frames()
    running = [(f"thread {thread.name}", frames.get(thread.ident or 0)) for thread in threading.enumerate() if thread is not threading.main_thread()]
    running += [(f"task {task.get_name()}", getattr(task.get_coro(), "cr_frame", None)) for task in asyncio.all_tasks()]
    for name, frame in running:
        while frame is not None:
            if id(frame.f_globals) in own:
                return name
            frame = frame.f_back
    return ""


def _what_lives_on(namespaces: Sequence[dict[str, Any]]) -> str:
    """Name a function of the notebook that something outside of it holds."""
    own = {id(namespace) for namespace in namespaces}
    for found in gc.get_objects():
        # IPython keeps the body of the last cell, as a function <module>.
        if type(found) is types.FunctionType and id(found.__globals__) in own and found.__name__ != "<module>":
            return f"function {found.__qualname__}"
    return ""


def _forget_local_modules() -> list[dict[str, Any]]:
    """Forget modules found in the notebook's own folder, or where it said to look; return what was in them."""
    dropped = []
    for name in sys.modules.keys() - _modules:
        origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None)
        if origin and Path(origin).is_absolute() and not any(origin.startswith(folder + os.sep) for folder in sys.path if folder):
            dropped.append(vars(sys.modules.pop(name)))
    return dropped


def _reseed() -> None:
    """Random numbers as in a new process: not those of the notebook before."""
    random.seed()
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if torch := sys.modules.get("torch"):
        torch.seed()


def _of_system() -> Iterator[Restore]:
    environment = dict(os.environ)

    def restore_environment() -> None:
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value

    yield restore_environment
    for values in (sys.path, sys.argv, sys.meta_path, sys.path_hooks):
        yield _list_restorer(values)
    for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook", "path", "argv", "meta_path", "path_hooks"):
        yield _attribute_restorer(sys, name)
    yield _attribute_restorer(threading, "excepthook")
    own: Any = vars(builtins)
    known = dict(own)

    def restore_builtins() -> None:
        for name in own.keys() - known.keys():
            del own[name]
        own.update(known)

    yield restore_builtins
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def restore_signals() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    yield restore_signals
    for get, put in ((sys.getrecursionlimit, sys.setrecursionlimit), (sys.getswitchinterval, sys.setswitchinterval)):
        yield _value_restorer(get, put)
    mask = os.umask(0)
    os.umask(mask)
    yield lambda: _void(os.umask(mask))
    if numpy := sys.modules.get("numpy"):
        printing, errors = numpy.get_printoptions(), numpy.geterr()
        yield lambda: numpy.set_printoptions(**printing)
        yield lambda: _void(numpy.seterr(**errors))


def _of_logging() -> Iterator[Restore]:
    active: Any = warnings.filters
    filters, show = list(active), warnings.showwarning

    def restore_warnings() -> None:
        if warnings.filters is not active or active != filters:
            warnings.filters = active
            warnings.resetwarnings()
            active[:] = filters
        warnings.showwarning = show

    yield restore_warnings
    loggers = [logging.getLogger(), *(logger for logger in logging.Logger.manager.loggerDict.values() if isinstance(logger, logging.Logger))]
    states = [(logger, logger.level, logger.handlers, list(logger.handlers), logger.propagate, logger.disabled) for logger in loggers]
    disabled = logging.root.manager.disable

    def restore_loggers() -> None:
        logging.disable(disabled)
        for logger, level, own, handlers, logger.propagate, logger.disabled in states:
            if logger.level != level:
                logger.setLevel(level)
            own[:] = handlers
            logger.handlers = own

    yield restore_loggers


def _of_shell(shell: Any) -> Iterator[Restore]:
    yield _attribute_restorer(shell, "custom_exceptions")
    yield _attribute_restorer(shell, "exiter")
    yield _attribute_restorer(shell, "showtraceback")
    for name in ("input_transformers_post", "ast_transformers"):
        yield _list_restorer(getattr(shell, name))


def arithmetic() -> Hashable:
    """The switches of torch that change what it computes, for use in the keys of caches that outlive a notebook."""
    torch: Any = sys.modules["torch"]
    return tuple(str(get()) for get, _ in _switches(torch))


def _switches(torch: Any) -> Iterator[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    yield torch.get_default_dtype, torch.set_default_dtype
    yield torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    for device in ("cpu", "cuda"):
        yield partial(torch.is_autocast_enabled, device), partial(torch.set_autocast_enabled, device)
        yield partial(torch.get_autocast_dtype, device), partial(torch.set_autocast_dtype, device)
    owners = [(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic", "allow_tf32")]
    owners += [(torch.backends.cuda.matmul, name) for name in ("allow_tf32", "allow_fp16_reduced_precision_reduction")]
    for owner, name in owners:
        yield partial(getattr, owner, name), partial(setattr, owner, name)


def _of_torch() -> Iterator[Restore]:
    torch: Any = sys.modules["torch"]
    yield lambda: torch.set_default_device(None)
    yield lambda: _void(torch.set_flush_denormal(False))
    yield lambda: torch.set_printoptions(profile="default")
    settings = [(torch.get_num_threads, torch.set_num_threads), (torch.is_grad_enabled, torch.set_grad_enabled)]
    for get, put in (*settings, (torch.is_anomaly_enabled, torch.set_anomaly_enabled), *_switches(torch)):
        yield _value_restorer(get, put)


def _modes_of_torch(torch: Any) -> Hashable:
    stacks = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
    return (*stacks, torch.is_inference_mode_enabled(), torch.get_num_interop_threads(), torch.nn.modules.module._has_any_global_hook())


def _value_restorer(get: Callable[[], Any], put: Callable[[Any], Any]) -> Restore:
    value = get()
    return lambda: None if get() == value else put(value)


def _void(_: Any) -> None:
    """Forget what a setter returns."""


def _attribute_restorer(owner: Any, name: str) -> Restore:
    value = getattr(owner, name)

    def restore() -> None:
        with suppress(AttributeError):
            if getattr(owner, name) is value:
                return
        setattr(owner, name, value)

    return restore


def _list_restorer(values: list[Any]) -> Restore:
    known = list(values)

    def restore() -> None:
        values[:] = known

    return restore

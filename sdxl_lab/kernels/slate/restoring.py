"""What a notebook changes of a process and its shell, put back as it was: each function looks around once and yields what restores."""

from __future__ import annotations

import builtins
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

Restore: TypeAlias = Callable[[], None]


def of_system() -> Iterator[Restore]:
    """Environment, arguments, streams, hooks and limits of `sys`, builtins, signal handlers, the umask."""
    environment = dict(os.environ)

    def restore_environment() -> None:
        zone = os.environ.get("TZ")
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        for name, value in environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if zone != environment.get("TZ"):
            time.tzset()

    yield restore_environment
    yield list_restorer(sys.argv)
    for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook", "argv"):
        yield attribute_restorer(sys, name)
    yield attribute_restorer(threading, "excepthook")
    own: Any = vars(builtins)
    yield dict_restorer(own)
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}

    def restore_signals() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    yield restore_signals
    for get, put in ((sys.getrecursionlimit, sys.setrecursionlimit), (sys.getswitchinterval, sys.setswitchinterval)):
        yield value_restorer(get, put)
    mask = os.umask(0)
    os.umask(mask)
    yield lambda: void(os.umask(mask))


def of_logging() -> Iterator[Restore]:
    """Warning filters; handlers, levels and switches of loggers."""
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


def of_shell(shell: Any) -> Iterator[Restore]:
    """Parts of IPython's shell, less its variables.

    Magics are only put back, never taken away: an extension registers its own once in a process.
    """
    for name in ("custom_exceptions", "exiter", "showtraceback"):
        yield attribute_restorer(shell, name)
    for name in ("input_transformers_post", "ast_transformers"):
        yield list_restorer(getattr(shell, name))
    manager = shell.magics_manager
    for magics in (*manager.magics.values(), vars(manager.user_magics)):
        yield partial(magics.update, dict(magics))


def value_restorer(get: Callable[[], Any], put: Callable[[Any], Any]) -> Restore:
    """What puts back a value that has a getter and a setter."""
    value = get()
    return lambda: None if get() == value else void(put(value))


def attribute_restorer(owner: Any, name: str) -> Restore:
    """What puts back an attribute, the very object."""
    value = getattr(owner, name)

    def restore() -> None:
        with suppress(AttributeError):
            if getattr(owner, name) is value:
                return
        setattr(owner, name, value)

    return restore


def list_restorer(values: list[Any]) -> Restore:
    """What puts back the content of a list."""
    known = list(values)

    def restore() -> None:
        values[:] = known

    return restore


def dict_restorer(values: dict[Any, Any]) -> Restore:
    """What puts back the content of a dictionary, key by key: nothing is missing from it in between."""
    known = dict(values)

    def restore() -> None:
        for name in values.keys() - known.keys():
            del values[name]
        values.update(known)

    return restore


def void(_: Any) -> None:
    """Forget what a setter returns."""

"""What startup files, configuration and preloaded modules put into the shell's namespace: each notebook finds it as the first one did.

IPython's own reset would take it away, and running a startup file again would do twice what it does elsewhere, such as wrapping a function.
So the same objects are put back, and what a notebook can change of them is undone: names; lists, dictionaries and sets, also inside each other;
code, defaults and attributes of functions; attributes of classes and of their instances. Objects of libraries stay as a notebook left them.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from sdxl_lab.kernels.slate.restoring import Restore, attribute_restorer, dict_restorer, list_restorer

HISTORY = ("In", "Out", "_ih", "_oh", "_dh", "_", "__", "___")
"""Names that IPython's reset makes anew."""

PARTS_OF_A_CLASS = ("__dict__", "__weakref__")
PARTS_OF_A_FUNCTION = ("__code__", "__defaults__", "__kwdefaults__")


def of_namespace(shell: Any) -> Iterator[Restore]:
    """Reset the shell, and put back the variables that are there now and what is in them.

    Args:
        shell: IPython's.
    """
    known = {name: value for name, value in shell.user_ns.items() if name not in HISTORY}
    hidden = dict(shell.user_ns_hidden)

    def restore() -> None:
        namespace = shell.user_ns
        fresh = _reset_aside(shell) | known
        for name in namespace.keys() - fresh.keys():
            del namespace[name]
        namespace.update(fresh)
        shell.user_ns_hidden.update(hidden)

    yield restore
    yield from _of_things(list(known.values()), shell.user_ns)


def _reset_aside(shell: Any) -> dict[str, Any]:
    """Have IPython reset itself with another namespace, and return that: a startup file's thread may look for its names at any moment."""
    namespace, module = shell.user_ns, shell.user_module
    aside = types.ModuleType("__main__")
    shell.user_ns, shell.user_module = vars(aside), aside
    try:
        shell.reset(new_session=True, aggressive=False)
    finally:
        shell.user_ns, shell.user_module = namespace, module
    return dict(vars(aside))


def _of_things(things: list[Any], namespace: dict[str, Any]) -> Iterator[Restore]:
    seen = {id(namespace)}
    while things:
        thing = things.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        kind = type(thing)
        if kind is list:
            yield list_restorer(thing)
            things += thing
        elif kind is dict:
            yield dict_restorer(thing)
            things += thing.values()
        elif kind is set:
            yield _set_restorer(thing)
        elif kind is tuple:
            things += thing
        elif kind is types.FunctionType and thing.__globals__ is namespace:
            for name in PARTS_OF_A_FUNCTION:
                yield attribute_restorer(thing, name)
            yield dict_restorer(vars(thing))
            things += [thing.__defaults__, thing.__kwdefaults__, vars(thing)]
        elif isinstance(thing, type) and thing.__module__ == "__main__":
            yield _class_restorer(thing)
            things += vars(thing).values()
        elif (kind.__module__ == "__main__" or kind is types.SimpleNamespace) and hasattr(thing, "__dict__"):
            things.append(vars(thing))


def _set_restorer(values: set[Any]) -> Restore:
    known = set(values)

    def restore() -> None:
        if values != known:
            values.clear()
            values.update(known)

    return restore


def _class_restorer(owner: type) -> Restore:
    known = {name: value for name, value in vars(owner).items() if name not in PARTS_OF_A_CLASS}

    def restore() -> None:
        now = dict(vars(owner))
        for name in now.keys() - known.keys() - {*PARTS_OF_A_CLASS}:
            type.__delattr__(owner, name)
        for name, value in known.items():
            if now.get(name) is not value:
                type.__setattr__(owner, name, value)

    return restore

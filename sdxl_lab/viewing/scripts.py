"""ES modules of pages, joined into one text: a page of ours is one script that needs no server and no build."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

SHARED = files("sdxl_lab.viewing").joinpath("page")
"""The folder of what pages share: `elements.js`, `looking.js`, `looking.css`."""

_IMPORT = re.compile(r'import \{ ([\w$]+(?:, [\w$]+)*) \} from "\./([\w-]+\.js)";')
_DECLARED = re.compile(r"(export )?(?:async )?(?:function\*? |class |const |let )([\w$]+)")
_MODULES_ONLY = re.compile(r"\s*(?:import|export)\b")


def joined(paths: Iterable[Traversable]) -> str:
    """Join ES modules into one text, in which each sees what the others declare.

    Args:
        paths: The modules, in the order in which they run. They may import only each other, by lines `import { a, b } from "./file.js";`, and
            export only functions, classes, `const` and `let`, where these are declared.

    Returns:
        The text, without imports and exports: the body of one module, or of a script that begins with "use strict".

    Raises:
        ValueError: A module imports or exports in any other way, or what is not there, or two declare the same name.
    """
    exported: dict[str, set[str]] = {}
    owners: dict[str, str] = {}
    imports: list[tuple[str, str, str]] = []
    lines: list[str] = []
    for path in paths:
        exported[path.name] = set()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            where = f"{path.name}:{number}"
            if imported := _IMPORT.fullmatch(line):
                imports += [(where, imported[2], name) for name in imported[1].split(", ")]
                continue
            declared = _DECLARED.match(line)
            if declared:
                name = declared[2]
                if name in owners:
                    raise ValueError(f"{where} declares {name}, as {owners[name]} does; in one text a name can be only one thing, so rename one")
                owners[name] = where
                if declared[1]:
                    exported[path.name].add(name)
                    line = line.removeprefix("export ")
            if _MODULES_ONLY.match(line):
                raise ValueError(
                    f'{where} is {line.strip()!r}; modules that are joined import by lines as import {{ a, b }} from "./file.js"; '
                    "and export functions, classes, const and let where they declare them"
                )
            lines.append(line)
    for where, file, name in imports:
        if name not in exported.get(file, ()):
            raise ValueError(f"{where} imports {name} from {file}, which {'does not export it' if file in exported else 'is not joined'}")
    return "\n".join(lines) + "\n"

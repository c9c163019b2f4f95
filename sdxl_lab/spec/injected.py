"""What papermill puts into a notebook, checked before it is run: papermill assigns any name as it stands, also one that nobody reads."""

from __future__ import annotations

import ast
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sdxl_lab.errors import LabError
from sdxl_lab.settings.arguments import in_one_line, laid_over
from sdxl_lab.settings.credentials import looks_secret, saved_by_papermill, without_credentials
from sdxl_lab.settings.hyperparams import closest, merge, replace, unknown_key
from sdxl_lab.spec.homes import home_of, nearest_home, not_here
from sdxl_lab.spec.parameters import takes_text
from sdxl_lab.spec.run_spec import SECRET, RunSpec, SpecError

MARK = "# Parameters\n"
"""How papermill begins the cell that it puts below the parameters cell."""

HYPERPARAMETERS = "hyperparameters"
SWEEP = frozenset({"name", "grid"})
"""What a sweep file has, and no file of parameters."""


def check_parameters() -> None:
    """Check what papermill gives a notebook before it is assigned; called above the parameters cell.

    papermill writes a cell of assignments below the parameters cell. There `-p hyperparameters.seed 3` ends in an AttributeError, and a name that
    the parameters cell does not have is assigned and never read. In the notebook that calls this, both are a `SpecError` which says what to
    write. It looks at the one cell below the parameters cell, if papermill has written it, and changes nothing; outside IPython it does nothing.

    Examples:
        >>> check_parameters()
    """
    shell = _shell()
    if shell is None:
        return
    checks = shell.input_transformers_post
    checks[:] = [check for check in checks if not isinstance(check, _Check)] + [_Check(shell)]


def problems_of(injected: str, declared: Sequence[str]) -> list[str]:
    """Find what a notebook cannot take of what papermill assigns.

    Args:
        injected: The cell that papermill has written.
        declared: The names that the parameters cell assigns.

    Returns:
        One line each; no key is repeated.
    """
    try:
        given = dict(_assigned(injected))
    except SyntaxError as error:
        name = (error.text or "").partition(" = ")[0].strip()
        shown = "(a key)" if looks_secret(name) else name
        return [f"{shown}: a parameter's name holds letters, digits and underscores alone; valid here are {', '.join(declared)}"]
    clean, secrets = without_credentials(given)
    where = saved_by_papermill() if secrets else ""
    found = [f"{path}: {SECRET}{where}" for path in secrets]
    if clean.keys() >= SWEEP:
        return [*found, "grid: got a sweep, and papermill makes one run of a notebook; write sdxl-lab sweep FILE"]
    dotted = [path for path in clean if "." in path]
    if dotted:
        found.append(_of_dotted(dotted, clean, declared))
    return found + [_of_unknown(path, clean[path], declared) for path in clean if "." not in path and path not in declared]


class _Check:
    """Looks at the text of each cell, and raises at the one that papermill has written for this notebook."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._before = len(self._cells)

    @property
    def _cells(self) -> list[str]:
        """The texts of the cells that have been run or are."""
        return self._shell.user_ns.get("In", [])

    def __call__(self, lines: list[str]) -> list[str]:
        if len(self._cells) == self._before + 1 and lines[:1] == [MARK]:
            try:
                declared = dict.fromkeys(path for path, _ in _assigned(self._cells[-1]))
            except SyntaxError:
                return lines
            if problems := problems_of("".join(lines), list(declared)):
                raise SpecError(problems)
        return lines


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython and ipython.get_ipython()


def _assigned(source: str) -> Iterator[tuple[str, Any]]:
    """Names, dotted ones included, and values; None for a value that is no literal."""
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=ast.expr() as value):
                try:
                    yield ast.unparse(target), ast.literal_eval(value)
                except (ValueError, TypeError):  # papermill writes infinity as float("inf")
                    yield ast.unparse(target), None


def _of_dotted(dotted: Sequence[str], given: Mapping[str, Any], declared: Sequence[str]) -> str:
    homes = {path: _home(path, declared) for path in dotted}
    roots = {home.partition(".")[0] for home in homes.values()}
    nested: dict[str, Any] = {root: given[root] for root in roots if isinstance(given.get(root), Mapping)}
    for path, home in homes.items():
        nested = merge(nested, replace({}, home, _meant(home, given[path])))
    got = "a dotted name, which papermill assigns as it stands" if len(dotted) == 1 else "dotted names, which papermill assigns as they stand"
    return f"{', '.join(dotted)}: got {got}; write {_option(nested)}, or use sdxl-lab run, whose -p takes dotted names"


def _home(path: str, declared: Sequence[str]) -> str:
    """Where a dotted path belongs: `denoising.strength` among the hyperparameters."""
    root, _, rest = path.partition(".")
    home = home_of(root, RunSpec) if root not in declared and HYPERPARAMETERS in declared else None
    return f"{home}.{rest}" if home else path


def _of_unknown(name: str, value: Any, declared: Sequence[str]) -> str:
    if HYPERPARAMETERS in declared and (said := not_here(name, RunSpec)):
        return f"{name}: unknown key; {said}"
    if HYPERPARAMETERS not in declared or closest(name, declared):
        return unknown_key(name, declared)
    home = nearest_home(name, RunSpec)
    meant = f". Did you mean {home}? Write {_option(replace({}, home, _meant(home, value)))}" if home else ""
    return unknown_key(name, declared) + meant


def _option(nested: Mapping[str, Any]) -> str:
    """How papermill and the command are given nested parameters."""
    return f"-y {shlex.quote(in_one_line(nested))}"


def _meant(path: str, value: Any) -> Any:
    """A value as it was meant: of a list or a dictionary papermill's -p makes a text."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{") or takes_text(path, RunSpec):
        return value
    try:
        return laid_over({}, values=[("meant", value)], takes_text=lambda _: False)["meant"]
    except LabError:
        return value

"""Parameters as people give them to the command, by papermill's own options: names and values, YAML texts and YAML files."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from sdxl_lab.errors import LabError
from sdxl_lab.settings.hyperparams import merge, replace

NAMED = ("-p", "--parameters", "--parameter", "-r", "--parameters_raw")
"""The options that take a name and a value."""

LIMIT_BYTES = 16 << 20
"""Of a YAML file."""
DEEPEST = 64
MOST_REPEATED = 100_000
"""Values that the aliases of one YAML text may stand for, all together."""

EXAMPLE = "hyperparameters:\n  denoising: {guidance_scale: 5}"

Pair = tuple[str, str]
"""The dotted path of a parameter, and its value as it was written."""


class ArgumentError(LabError):
    """A parameter given to the command cannot be read."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values: `off` is a text and 1e-3 a number; PyYAML reads 1.1, where they are False and a text.

    A key given twice is refused, as YAML demands; PyYAML takes the last one in silence.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        """Its own, unless a key comes twice."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((key for key, times in Counter(keys).items() if times > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or 1.2 would read as something else."""


def _integer(_: yaml.SafeLoader, node: Any) -> int:
    return int(node.value)  # PyYAML's own takes 010 for an octal number


def _text(loader: yaml.SafeLoader, node: Any) -> str:
    # JSON writes an emoji as two escapes, of which PyYAML makes two halves.
    return loader.construct_scalar(node).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


_TEXT = "tag:yaml.org,2002:str"
_BREAKS = re.compile("[\x85\u2028\u2029]")
"""PyYAML reads these as line breaks, as YAML 1.1 says, unless they are escaped."""
_COMMENT = re.compile(r" +#[^\s#]")
_UNREADABLE = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises: the others for tags whose value does not fit, endless digits and endless nesting."""
_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
_NUMBER = r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT] for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
    _kind.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789"))
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_NUMBER), list("-+0123456789."))
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor(_TEXT, _text)
_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar(_TEXT, text, style='"' if _BREAKS.search(text) else None))


def paired(arguments: Sequence[str]) -> list[str]:
    """Give the name and the value that follow each -p one -p each, since typer has no repeatable option of two values.

    Args:
        arguments: The command line.

    Returns:
        The command line with `-p name -p value` for each `-p name value`, whatever the two look like; likewise for -r. A lone name at the
        end stays alone: the option is then given an odd number of times.
    """
    rest, repeated = iter(arguments), []
    for argument in rest:
        if argument not in NAMED:
            repeated.append(argument)
            continue
        following = list(islice(rest, 2))
        repeated += [word for text in following for word in (argument, text)] or [argument]
    return repeated


def pairs(given: Sequence[str]) -> list[Pair]:
    """Put the names and values that `paired` took apart together again: each two neighbors are a pair."""
    return list(zip(given[::2], given[1::2], strict=True))


def laid_over(
    parameters: dict[str, Any],
    *,
    encoded: Sequence[str] = (),
    files: Sequence[Path] = (),
    texts: Sequence[str] = (),
    values: Sequence[Pair] = (),
    raw: Sequence[Pair] = (),
    takes_text: Callable[[str], bool],
    takes_none: Callable[[str], bool] = lambda path: False,
    place_of: Callable[[str, Any], str] = lambda path, value: path,
) -> dict[str, Any]:
    """Lay what a command line gives over a notebook's own parameters, kind after kind as papermill does, each in its order: the last one wins.

    Args:
        parameters: Nested parameters by name. A dictionary is laid over a dictionary.
        encoded: YAML texts in base64.
        files: YAML files.
        texts: YAML texts.
        values: Single parameters, read as YAML unless they are texts.
        raw: Single parameters that are texts, whatever takes them.
        takes_text: Says of a dotted path whether a text is meant there, which is then taken as it is, to the last character.
        takes_none: Likewise, whether the words none and None stand for null, as plans and reports write it.
        place_of: Says of a dotted path and what is given there where that is laid.

    Returns:
        A new dictionary.

    Raises:
        ArgumentError: Something cannot be read.
        HyperparameterError: A path is not one.
    """
    for read in (*map(_read_base64, encoded), *map(read_file, files), *map(_read_text, texts)):
        parameters = merge(parameters, read)
    for path, text in values:
        if text.strip() in ("none", "None") and takes_none(path):
            value = None
        else:
            value = text if takes_text(path) else _read(text, f"{path}: the value is not YAML", f"-r {path} takes a text as it is")
        parameters = merge(parameters, replace({}, place_of(path, value), value))
    for path, text in raw:
        parameters = merge(parameters, replace({}, place_of(path, text), text))
    return parameters


def read_file(path: Path) -> dict[str, Any]:
    """Read parameters from a YAML file.

    Args:
        path: A file of parameters by name, nested.

    Returns:
        Its parameters; none for an empty file.

    Raises:
        ArgumentError: It cannot be read, is not YAML, holds something else, or a text that YAML would cut.
    """
    advice = f"it holds lines such as\n{EXAMPLE}"
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
        text = content.decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}; give a YAML file of parameters") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{path} is not YAML ({error}); {advice}") from error
    if len(content) > LIMIT_BYTES:
        raise ArgumentError(f"{path} has more than {LIMIT_BYTES:,} bytes, the most that are read; {advice}")
    return _by_name(_read(text, f"{path} is not YAML", advice), str(path), "checkpoint: pocket")


def written(parameters: dict[str, Any], *, is_ascii: bool = False) -> str:
    """Write parameters as YAML that `read_file` reads back.

    Args:
        parameters: Nested plain values.
        is_ascii: Whether to escape all other letters, for a place that may not take them.

    Returns:
        YAML text.
    """
    return yaml.dump(parameters, Dumper=_Dumper, sort_keys=False, allow_unicode=not is_ascii, width=150)


def in_one_line(parameters: Mapping[str, Any]) -> str:
    """Write parameters as YAML in braces, for a command line.

    Args:
        parameters: Nested plain values.

    Returns:
        Such as `{hyperparameters: {seed: 3}}`.
    """
    return yaml.dump(dict(parameters), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=True).strip()


def _read_text(text: str) -> dict[str, Any]:
    if _is_file(text):
        raise ArgumentError(f"-y takes YAML text, and {text} is a file; did you mean -f {text}?")
    value = _read(text, "the text of -y is not YAML", "write -y 'checkpoint: pocket', or -f FILE for a file")
    if isinstance(value, str) and text.strip().endswith((".yaml", ".yml")):
        raise ArgumentError(f"-y takes YAML text, and {text} looks like a file, which is not there; did you mean -f FILE?")
    return _by_name(value, "the text of -y", "-y 'checkpoint: pocket'")


def _read_base64(encoded: str) -> dict[str, Any]:
    try:
        text = base64.b64decode("".join(encoded.split()), validate=True).decode("utf-8")
    except ValueError as error:
        raise ArgumentError(f"the text of -b is not base64 of YAML ({error}); -y takes YAML as it is") from error
    return _by_name(_read(text, "the text of -b is not YAML", f"decoded, it holds lines such as\n{EXAMPLE}"), "the text of -b", "checkpoint: pocket")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # longer than a path may be, or no path at all
        return False


def _by_name(value: Any, where: str, example: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ArgumentError(f"{where} holds a {type(value).__name__}; it must hold parameters by name, such as\n{example}")
    for key in value:
        if not isinstance(key, str):
            raise ArgumentError(f"{where} holds the name {key!r}, which is no text; names are texts, such as\n{example}")
    return value


def _read(text: str, refusal: str, advice: str) -> Any:
    """What a YAML text says. A refusal repeats none of it: it may hold a key."""
    try:
        unclear = next(_unclear(text), None)
        value = yaml.load(text, _Loader)
    except _UNREADABLE as error:
        raise ArgumentError(f"{refusal} ({_reason(error)}); {advice}") from error
    if unclear:
        raise ArgumentError(f"{refusal.partition(' is not ')[0]}: {unclear}")
    return value


def _unclear(text: str) -> Iterator[str]:
    """Where YAML would drop words that were hardly meant to be dropped."""
    loader = _Loader(text)
    events = list(_bounded(iter(loader.get_event, None)))
    used = {event.anchor for event in events if isinstance(event, yaml.AliasEvent)}
    for event in events:
        if not isinstance(event, yaml.ScalarEvent):
            continue
        line = f"in line {event.start_mark.line + 1}"
        if _BREAKS.search(text, event.start_mark.pointer, event.end_mark.pointer):
            yield f"{line} YAML would take a line separator out of a text; put double quotes around it, and write \\L, \\P or \\N"
        if event.style is not None or loader.resolve(yaml.ScalarNode, event.value, event.implicit) != _TEXT:
            continue
        if _COMMENT.match(text, event.end_mark.pointer):
            yield f"{line} YAML takes # and what follows it for a comment; put quotes around the text, or a space after # if a comment is meant"
        if event.anchor and event.anchor not in used:
            yield f"{line} YAML takes & and the word after it for an anchor, which nothing refers to; put quotes around the text"


def _bounded(events: Iterator[Any]) -> Iterator[Any]:
    """The events of a YAML text that is no larger than it looks: PyYAML would write out what aliases of aliases stand for, without end."""
    sizes: dict[str, int] = {}
    around: list[tuple[str | None, int]] = []
    repeated, size = 0, 0
    for event in events:
        problem = None
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, size))
            size = 1
            problem = f"it is nested more than {DEEPEST} deep" if len(around) > DEEPEST else None
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = around.pop()
            if anchor:
                sizes[anchor] = size
            size += before
        elif isinstance(event, yaml.AliasEvent):
            size += sizes.get(event.anchor, 1)
            repeated += sizes.get(event.anchor, 1)
            if any(anchor == event.anchor for anchor, _ in around):
                problem = f"what is named &{event.anchor} holds itself"
            elif repeated > MOST_REPEATED:
                problem = f"its aliases stand for more than {MOST_REPEATED:,} values"
        elif isinstance(event, yaml.ScalarEvent):
            size += 1
        if problem:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        yield event


def _reason(error: Exception) -> str:
    """What PyYAML found, without the excerpt that it appends."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    found = ", ".join(part for part in (error.context, error.problem) if part)
    return f"{found}, in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"

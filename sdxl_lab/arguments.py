"""Parameters as people give them to the command: `-p name value` and YAML files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sdxl_lab.errors import LabError
from sdxl_lab.hyperparams import merge, replace

FLAGS = ("-p", "--parameter")


class ArgumentError(LabError):
    """A parameter given to the command cannot be read."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2's plain values: `off` is a text and 1e-3 a number; PyYAML reads 1.1, where they are False and a text.

    A key given twice is refused, as YAML demands; PyYAML takes the last one in silence.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        """Its own, unless a key comes twice."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or 1.2 would read as something else."""


def _integer(_: yaml.SafeLoader, node: Any) -> int:
    return int(node.value)  # PyYAML's own takes 010 for an octal number


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


def paired(arguments: Sequence[str]) -> list[str]:
    """Join the name and the value that follow each -p into one argument, since typer has no repeatable option of two values.

    Args:
        arguments: The command line.

    Returns:
        The command line with `-p name=value` for each `-p name value`. A lone name at the end stays alone.
    """
    rest, joined = iter(arguments), []
    for argument in rest:
        joined.append(argument)
        if argument in FLAGS and (name := next(rest, None)) is not None:
            value = next(rest, None)
            joined.append(name if value is None else f"{name}={value}")
    return joined


def laid_over(parameters: dict[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """Lay parameters from a command line over others.

    Args:
        parameters: Nested parameters by name.
        given: `path=value` each: a dotted path, and a value as YAML. A dictionary is laid over a dictionary.

    Returns:
        A new dictionary.

    Raises:
        ArgumentError: A value is not YAML.
        HyperparameterError: A path is not one.
    """
    for argument in given:
        path, _, text = argument.partition("=")
        try:
            value = yaml.load(text, _Loader)
        except yaml.YAMLError as error:
            raise ArgumentError(f"{path}: {text!r} cannot be read as YAML ({_one_line(error)}); quote a text: -p {path} '\"...\"'") from error
        parameters = merge(parameters, replace({}, path, value))
    return parameters


def read_file(path: Path) -> dict[str, Any]:
    """Read parameters from a YAML file.

    Args:
        path: A file of parameters by name, nested.

    Returns:
        Its parameters; none for an empty file.

    Raises:
        ArgumentError: It cannot be read, is not YAML, or holds something else.
    """
    try:
        parameters = yaml.load(path.read_text("utf-8"), _Loader)
    except OSError as error:
        raise ArgumentError(f"{path} cannot be read: {error.strerror}; give a YAML file of parameters") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        example = "hyperparameters:\n  denoising: {guidance_scale: 5}"
        raise ArgumentError(f"{path} is not YAML ({_one_line(error)}); it holds lines such as\n{example}") from error
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise ArgumentError(f"{path} holds a {type(parameters).__name__}; it must hold parameters by name, such as\ncheckpoint: pocket")
    return parameters


def written(parameters: dict[str, Any]) -> str:
    """Write parameters as YAML that `read_file` reads back.

    Args:
        parameters: Nested plain values.

    Returns:
        YAML text.
    """
    return yaml.dump(parameters, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=150)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

"""The page of the commands, made of what typer knows of them, so that a new command stands on it by itself."""

from __future__ import annotations

import re
from typing import Any

import typer

from docs.making.markdown import table
from sdxl_lab.cli import app

HEAD = """# Commands

`sdxl-lab --help` lists them, `sdxl-lab COMMAND --help` says the same as this page. They leave with 0 (done), 1 (an error, or a picture that came
out differently), 2 (wrong usage) or 130 (interrupted with ctrl-C).

This page is made from the code.
"""


def page() -> str:
    """All commands, in the order of the help."""
    group: Any = typer.main.get_command(app)
    above = group.context_class(group, info_name="sdxl-lab")
    return "\n".join([HEAD, _options(group, above), *(_command(name, command, above) for name, command in group.commands.items())])


def _command(name: str, command: Any, above: Any) -> str:
    context = command.context_class(command, info_name=name, parent=above)
    command.get_help(context)  # some help is read from tables only when it is asked
    usage = " ".join(command.get_usage(context).removeprefix("Usage:").split())
    for marks, plain in (("[[", "["), ("]]", "]"), ("{", ""), ("}", ""), (" ...]...", " ...]"), (" ......", " ...")):
        usage = usage.replace(marks, plain)  # typer adds its own to those of a metavar
    return "\n".join([f"## {name}\n", f"{command.help}\n", f"```text\n{usage}\n```\n", _options(command, context)])


def _options(command: Any, context: Any) -> str:
    """Arguments and options, as the help has them."""
    records = [record for param in command.params if (record := param.get_help_record(context))]
    rows = [(f"`{re.sub(r' <.*', '', written)}`", said) for written, said in records]
    return table(("argument or option", "what it is"), rows) if rows else ""

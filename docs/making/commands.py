"""The page of the commands, made of what typer knows of them, so that a new command stands on it by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from docs.making.markdown import escaped, table
from sdxl_lab.cli import app

HEAD = """# Commands

`sdxl-lab --help` lists them, `sdxl-lab COMMAND --help` says the same as this page. They leave with 0 (done), 1 (an error, or a picture that came
out differently), 2 (wrong usage) or 130 (interrupted with ctrl-C).

This page is made from the code.
"""


GROUPS = {
    "sdxl_lab.cli.looking": "Looking at pictures and at the machine, and sending to Comet",
    "sdxl_lab.cli.asking": "Asking people which pictures they prefer",
}
"""What the commands of a module are for."""

OTHERS = "Making pictures, and what they are made from"

EXAMPLES = {
    "paint": 'paint "a red star on grass" --seed 7 -p guidance_scale 6 -o star.png',
    "run": "run inpaint_outpaint -p checkpoint pocket -p hyperparameters.denoising.guidance_scale 5",
    "notebook": "notebook fractions",
    "plan": "plan fractions.yaml",
    "sweep": "sweep fractions.yaml --workers 2",
    "fetch": "fetch pocket-scenes",
    "publish": "publish my-dataset workspace/name",
    "show": "show star.png",
    "push": "push artifacts/runs/guidance",
    "archive": "archive artifacts/runs/guidance",
    "report": "report artifacts/runs/guidance",
    "compare": "compare fractions.yaml",
    "study new": "study new artifacts/runs/guidance -o study --question prompt",
    "study result": "study result study votes/*.json --min-self-agreement 0.7",
    "reproduce": "reproduce star.png",
    "doctor": "doctor pocket",
}
"""One line for each command that is called with something."""


def page() -> str:
    """All commands, in the order of the help."""
    group: Any = typer.main.get_command(app)
    above = group.context_class(group, info_name="sdxl-lab")
    return "\n".join([HEAD, *_lists(group), _options(group, above), *(_command(name, command, above) for name, command in _commands(group))])


def _commands(group: Any) -> Iterator[tuple[str, Any]]:
    """All commands by their names, those of a group after the group's."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {own}", one) for own, one in _commands(command))
        else:
            yield name, command


def _lists(group: Any) -> Iterator[str]:
    """A line each, by what they are for."""
    found: dict[str, list[tuple[str, str]]] = {OTHERS: []}
    for name, command in _commands(group):
        what = GROUPS.get(command.callback.__module__, OTHERS)
        found.setdefault(what, []).append((f"[{name}](#{name.replace(' ', '-')})", " ".join(command.help.partition("\n\n")[0].split())))
    for what, rows in found.items():
        yield f"{what}:\n"
        yield table(("command", "what it does"), rows)


def _command(name: str, command: Any, above: Any) -> str:
    context = command.context_class(command, info_name=name, parent=above)
    command.get_help(context)  # some help is read from tables only when it is asked
    usage = " ".join(command.get_usage(context).removeprefix("Usage:").split())
    usage = re.sub(r"\{([^}]*)\}", r"\1", usage)  # typer's marks of what has to be given
    example = f"For example:\n\n```text\nsdxl-lab {EXAMPLES[name]}\n```\n" if name in EXAMPLES else ""
    return "\n".join([f"## {name}\n", f"{escaped(command.help)}\n", f"```text\n{usage}\n```\n", example, _options(command, context)])


def _options(command: Any, context: Any) -> str:
    """Arguments and options, as the help has them."""
    records = [record for param in command.params if (record := param.get_help_record(context))]
    rows = [(f"`{re.sub(r' <.*', '', written)}`", said) for written, said in records]
    return table(("argument or option", "what it is"), rows) if rows else ""

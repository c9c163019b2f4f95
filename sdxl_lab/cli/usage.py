"""How the command line is understood and shown: pairs of a name and a value, a list of commands that is not cut, the version."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup

UsageError: Any = typer.BadParameter.__base__
"""click's own, which typer brings in some versions and imports in others."""


class Commands(TyperGroup):
    """All commands, each listed with its whole first sentence, over as many lines as that needs."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The group's own list, uncut."""
        commands = [(name, self.commands[name].help or "") for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join(text.partition("\n\n")[0].split())) for name, text in commands])


class Pairs(TyperCommand):
    """A command whose -p and -r take a name and a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read them; the pairs become one text each for typer."""
        from sdxl_lab.settings.arguments import paired

        return super().parse_args(ctx, paired(args))


class Paints(Pairs):
    """A command whose settings are no options: one that is given so is answered with how it is given, and the help lists them all."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read them, and say of a setting how it is given."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            name = getattr(error, "option_name", "").lstrip("-").replace("-", "_")
            hint = 'the prompt stands alone: sdxl-lab paint "a corgi on a reef"' if name == "prompt" else ""
            hint = hint or _of_setting(name)
            message = error.format_message()
            raise UsageError(f"{message.removesuffix('.')}; {hint}" if hint else message, ctx) from None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Typer's own, and the names of all settings."""
        super().format_help(ctx, formatter)
        with formatter.section("Settings, by -p"):
            formatter.write_text(
                f"{', '.join(settings())}; checkpoint, negative_prompt, {_of_words('prompt_syntax')}, {_of_words('long_prompt')}, "
                f"{_of_words('wildcards')}, prompt_replace.WORD, "
                "embeddings.WORD.file, loras.NAME.file and .weight, name (of the session), tracking."
            )


def _of_words(name: str) -> str:
    """A setting of prompts, with what it may be."""
    from sdxl_lab.settings.sections import PromptAndSeed

    return f"{name} ({', '.join(get_args(PromptAndSeed.model_fields[name].annotation))})"


def _of_setting(name: str) -> str:
    """What is to be said of a setting that was given as an option; nothing of what is none."""
    from sdxl_lab.spec.homes import home_of, not_here
    from sdxl_lab.spec.run_spec import RunSpec

    home = home_of(name, RunSpec)
    return f"write -p {home.rpartition('.')[2]} VALUE" if home else not_here(name, RunSpec) or ""


def settings_given(words: list[str]) -> dict[str, Any]:
    """What `-p` gives of a single picture, by name or path.

    Args:
        words: As `in_pairs` leaves them.
    """
    from sdxl_lab.settings.arguments import laid_over, pairs
    from sdxl_lab.spec.homes import home_of, place_of
    from sdxl_lab.spec.parameters import takes_none, takes_text
    from sdxl_lab.spec.run_spec import RunSpec

    def home(name: str) -> str:
        return home_of(name, RunSpec) or f"hyperparameters.{name}"

    values = [(name.removeprefix("hyperparameters."), value) for name, value in pairs(words)]
    return laid_over(
        {},
        values=values,
        takes_text=lambda name: takes_text(home(name), RunSpec),
        takes_none=lambda name: takes_none(home(name), RunSpec),
        place_of=place_of,
    )


def settings() -> list[str]:
    """All settings of single pictures, by their own names."""
    from sdxl_lab.spec.homes import settings_of
    from sdxl_lab.tasks import TASKS

    return list(dict.fromkeys(name for task in TASKS for name in settings_of(task)))


def with_help(**said: Callable[[], str]) -> type[TyperCommand]:
    """A command of which some parameters' help reads a table, only when it is asked."""

    class LateHelp(TyperCommand):
        def format_help(self, ctx: Any, formatter: Any) -> None:
            for param in self.params:
                if param.name in said:
                    vars(param)["help"] = said[param.name]()
            super().format_help(ctx, formatter)

    return LateHelp


def datasets() -> str:
    """What is a dataset."""
    from sdxl_lab.datasets import sources

    return f"{sources.described()}."


def tasks() -> str:
    """Which tasks there are."""
    from sdxl_lab.tasks import TASKS

    return f"{' or '.join(TASKS)}, to look at one alone."


def print_described(texts: Mapping[str, str]) -> None:
    """Print names with a text beside each, over as many lines as that needs."""
    formatter: Any = typer.Context.formatter_class(width=shutil.get_terminal_size().columns)
    formatter.write_dl(list(texts.items()))
    print(formatter.getvalue(), end="")


def in_pairs(param: typer.CallbackParam, given: list[str] | None) -> list[str] | None:
    """See that names and values alternate; leaves with wrong usage if they do not."""
    flag, words = min(param.opts, key=len), given or []
    for name in words[::2]:
        if "=" in name:
            raise typer.BadParameter(f"a name holds no '='; write {flag} {name.partition('=')[0]} VALUE, with a space")
    if len(words) % 2:
        raise typer.BadParameter(f"got {words[-1]!r} and no value; write {flag} NAME VALUE")
    return given


def version(asked: bool) -> None:
    """Print the version and leave, if that is asked."""
    if asked:
        from sdxl_lab.records.machine import versions

        print(f"sdxl-lab {versions()['sdxl_lab']}")
        raise typer.Exit

"""What a shell completes besides commands and options: names of notebooks, examples, tasks and settings."""

from __future__ import annotations

from collections.abc import Iterable


def notebooks(incomplete: str) -> list[str]:
    """Built-in notebooks that make runs."""
    from sdxl_lab.kernels.notebooks import OF_NO_RUN, built_in

    return _beginning(incomplete, (name for name in built_in() if name not in OF_NO_RUN))


def examples(incomplete: str) -> list[str]:
    """What can be copied."""
    from sdxl_lab.kernels.examples import examples

    return _beginning(incomplete, examples())


def tasks(incomplete: str) -> list[str]:
    """Names of tasks."""
    from sdxl_lab.tasks import TASKS

    return _beginning(incomplete, TASKS)


def questions(incomplete: str) -> list[str]:
    """What judges of a preference study can be asked."""
    from sdxl_lab.studies.trials import QUESTIONS

    return _beginning(incomplete, QUESTIONS)


def parameters(incomplete: str) -> list[str]:
    """Parameters of a run, and the dotted paths of its settings."""
    from sdxl_lab.spec.homes import paths_of
    from sdxl_lab.spec.run_spec import RunSpec

    return _beginning(incomplete, paths_of(RunSpec))


def settings(incomplete: str) -> list[str]:
    """Settings of single pictures, by their own names."""
    from sdxl_lab.cli.usage import settings

    of_words = ("negative_prompt", "prompt_syntax", "long_prompt", "wildcards", "prompt_replace", "negative_prompt_replace")
    return _beginning(incomplete, [*settings(), "checkpoint", *of_words, "name", "tracking"])


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]

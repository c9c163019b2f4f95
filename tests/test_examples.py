"""The examples in the docstrings of the public names, run in the order in which one meets the names."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import sdxl_lab
from sdxl_lab import _ROOMS as NAMES

SLOW = ("SweepFile", "plan", "sweep")
"""Those whose examples start a kernel, and what they need."""


def test_every_verb_of_the_face_has_an_example():
    """
    Each function of the public face, and each class that people begin with, shows how it is used.
    """
    begun_with = ["LabError", "RunSpec", "Gallery", "SweepFile"]
    verbs = [name for name in NAMES if inspect.isfunction(getattr(sdxl_lab, name))]
    assert len(verbs) > 15
    assert [name for name in [*verbs, *begun_with] if not _examples(name)] == []


def test_the_examples_are_true(tmp_path, monkeypatch):
    """
    What the docstrings show happens so, but for what needs a kernel or an account.
    """
    monkeypatch.chdir(tmp_path)
    assert _failures(name for name in NAMES if name not in (*SLOW, "publish")) == []


@pytest.mark.slow
def test_the_examples_of_sweeps_are_true(tmp_path, monkeypatch):
    """
    What the docstrings show of sweeps happens so.
    """
    monkeypatch.chdir(tmp_path)
    assert _failures(SLOW) == []


@pytest.mark.slow
def test_the_example_of_publishing_is_true(backend, one_worker):
    """
    What the docstring shows happens so, where an account's server is there.
    """
    assert _failures(["publish"]) == []


def _examples(name: str) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(getattr(sdxl_lab, name)) or "")


def _failures(names: Iterable[str]) -> list[str]:
    """Run the examples of some names, each with what the earlier ones assigned, and say what was not as they show."""
    known: dict[str, Any] = {name: getattr(sdxl_lab, name) for name in NAMES}
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for name in names:
        test = doctest.DocTest(_examples(name), {}, name, str(Path(NAMES[name])), 0, None)
        test.globs = known
        runner.run(test, out=said.append, clear_globs=False)
    return said

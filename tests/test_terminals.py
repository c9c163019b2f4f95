"""What people named or wrote, on any terminal."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from sdxl_lab import cli
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.viewing.show import print_dataset, print_path
from tests.support.commands import said
from tests.support.datasets import write_dataset
from tests.support.run_folders import complete
from tests.support.runs import resolved_run

WORDS = "[/b] [from:to:0.5] [bold]x[/] (a:1.2) :smile: é→█ 漢字 🐙"


@pytest.fixture
def dataset(tmp_path) -> Path:
    """One scene with such a prompt, in a folder with a name that is no UTF-8."""
    words = {"prompt": WORDS, "negative_prompt": "[/]", "seed": 1}
    return write_dataset(tmp_path / os.fsdecode(b"sc\xe8nes \xf0\x9f\x90\x99 [b]"), 1, inpaint=words, outpaint=words)


@pytest.fixture
def run(tmp_path) -> Path:
    """A run with an accent in a sample's name, in a folder of such a name."""
    made = complete(resolved_run(tmp_path / "runs", prompt=WORDS)).path
    return made.rename(tmp_path / os.fsdecode(b"r\xfcn [b]"))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_a_terminal_of_any_encoding_is_written_to(dataset, run, tmp_path, encoding):
    """
    What a terminal cannot show is shown escaped; the command ends as it would elsewhere.
    """
    page = tmp_path / os.fsdecode(b"p\xe4ge.html")
    commands = [["fetch", dataset], ["show", run], ["status", run], ["compare", run, run], ["report", run, "-o", page]]
    assert [said(*command, encoding=encoding).code for command in commands] == [0] * len(commands)
    assert said("fetch", run, encoding=encoding).err.startswith("sdxl-lab: ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_parameters_arrive_through_a_terminal_of_any_encoding(run, encoding):
    """
    What `show --as-parameters` writes into a file is UTF-8 that says the same, whatever the terminal's encoding.
    """
    written = said("show", run, "--as-parameters", encoding=encoding).out.encode(encoding)
    assert yaml.safe_load(written.decode("utf-8"))["hyperparameters"]["prompt"] == WORDS


def test_words_are_printed_as_they_were_written(dataset, run):
    """
    Brackets and colons of prompts and names are no markup and no emoji.
    """
    console = Console(file=io.StringIO(), width=400)
    print_dataset(fetch(dataset), console)
    print_path(run, console)
    printed = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert printed.count(WORDS) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_output_that_takes_nothing_is_one_error(run, monkeypatch, capfd):
    """
    Output that goes to a full disk ends the command with one message.
    """
    monkeypatch.setattr(sys, "argv", ["sdxl-lab", "show", str(run)])
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit, match="1"):
            cli.main()
    [message] = capfd.readouterr().err.splitlines()
    assert message.startswith("sdxl-lab: the system refused something: [Errno 28]")

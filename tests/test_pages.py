"""README and the pages of docs/: every block on them is run, or says what it needs and is checked as far as that goes."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from typing import Any

import pytest
import typer
import yaml
from papermill.cli import papermill

from sdxl_lab import cli
from sdxl_lab.files.places import misread
from sdxl_lab.kernels import notebooks
from sdxl_lab.settings import arguments
from sdxl_lab.spec.parameters import takes_text
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sections import KEYS
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.pages import NEEDS, PAGES, ROOT, RUN, SHOWN, Block, Reader, blocks, commands, dialogues, words

ALL = {page: blocks(page) for page in PAGES}
ELSEWHERE = ("clone", "installing", "browser")
"""Needs of blocks that no test can run."""

RUNNABLE = {page: [block for block in found if block.language in RUN and block.needs not in ELSEWHERE] for page, found in ALL.items()}
LONG = ("docs/prompts.md", "docs/embeddings.md", "docs/loras.md")
"""Pages that take a coffee each even without their slow blocks."""

HEAVY = [page for page, found in RUNNABLE.items() if page in LONG or any(block.is_slow for block in found)]
GROUP: Any = typer.main.get_command(cli.app)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEAST_PARAMETERS = {"name": "page", "dataset": "pocket-scenes", "checkpoint": "pocket"}


@pytest.fixture
def reader(tmp_path, monkeypatch) -> Reader:
    """Somebody with an empty folder of their own, and a terminal as wide as the pages."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(exist_ok=True)
    return Reader(folder=tmp_path)


def of(*languages: str) -> list[Block]:
    """All blocks in some languages."""
    return [block for found in ALL.values() for block in found if block.language in languages]


def lines(block: Block) -> list[str]:
    """The commands of a block."""
    return [command for command, _ in dialogues(block.text)] if block.language == "console" else commands(block.text)


def test_no_block_escapes():
    """
    Every block says its language, and before it stands no other mark than those that are known; nothing is a block by its indentation alone.
    """
    for block in [block for found in ALL.values() for block in found]:
        assert block.language in (*RUN, *SHOWN), block
        assert block.unknown == "", block
        assert block.needs in ("", *NEEDS), block
    for page, path in PAGES.items():
        prose = re.sub(r"(?ms)^```.*?^```$", "", path.read_text())
        assert not re.search(r"(?m)^\n {4}\S", prose), page
        assert prose.count("<!-- needs") + prose.count("<!-- slow") + prose.count("<!-- leaves") == sum(len(block.marks) for block in ALL[page]), page


def test_readme_is_short():
    """
    README has at most 150 lines.
    """
    assert len(PAGES["README.md"].read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", [page for page, found in RUNNABLE.items() if page not in LONG and any(not block.is_slow for block in found)])
def test_a_page_can_be_followed(page, reader):
    """
    The blocks of a page do in their order what the page says, but for the slow ones; real SDXL is the built-in checkpoint here.
    """
    for block in RUNNABLE[page]:
        if not block.is_slow:
            reader.follow(block)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", HEAVY)
def test_a_whole_page_can_be_followed(page, backend, one_worker, reader):
    """
    With the slow ones, and with an account at Comet, all of them do.
    """
    for block in RUNNABLE[page]:
        reader.follow(block)


@pytest.mark.parametrize("block", of("sh", "console"), ids=str)
def test_every_command_is_understood(block):
    """
    What is typed on a page names commands, options and settings that there are, with values that are allowed: real SDXL's too.
    """
    for line in lines(block):
        program, *given = words(line)
        match program:
            case "sdxl-lab":
                _understood(given[: given.index(">")] if ">" in given else given, block)
            case "papermill":
                papermill.make_context("papermill", given)
            case "make":
                subprocess.run(["make", "--dry-run", *given], cwd=ROOT, capture_output=True, check=True)
            case "pip":
                extras = re.findall(r"\.\[(\w+)\]", line)
                assert set(extras) <= set(PROJECT["optional-dependencies"])
                assert all((ROOT / word).exists() for word in given if word.endswith(".txt"))
            case "sudo":
                assert given[:2] in (["apt-get", "install"], ["dnf", "install"])
            case ".":
                assert given == [".venv/bin/activate"]
            case _:
                assert block.needs not in ELSEWHERE, f"{block}: {line}"


def _understood(given: list[str], block: Block) -> None:
    if given[0].startswith("-"):
        assert given[0] in {option for param in GROUP.params for option in param.opts} | {"--help"}
        return
    if block.code:  # that it is refused is what the page shows, and is seen where it runs
        return
    name, *options = given
    command = GROUP.commands[name]
    parsed = command.make_context(name, list(options)).params
    if name == "run":
        path = notebooks.find(parsed["notebook"])
        files = [file for file in parsed["file"] or () if file.is_file()]
        asked = arguments.laid_over(
            notebooks.parameters_of(path) | {"name": "page"},
            files=files,
            texts=parsed["text"] or (),
            values=arguments.pairs(parsed["parameter"] or ()),
            raw=arguments.pairs(parsed["raw"] or ()),
            takes_text=lambda name: takes_text(name, RunSpec),
        )
        RunSpec.from_parameters(**asked)


@pytest.mark.parametrize("block", of("yaml", "json"), ids=str)
def test_every_file_is_one(block, tmp_path):
    """
    YAML and JSON on a page are sweep files, parameters, hyperparameters, or the text of a dataset, and allowed.
    """
    data = yaml.safe_load(block.text) if block.language == "yaml" else json.loads(block.text)
    if set(data) & {"grid", "points"}:
        assert set(data) <= set(KEYS)
        path = tmp_path / "sweep.yaml"
        path.write_text(block.text)
        assert SweepFile.read(path).points
    elif "samples" in data and block.language == "json":
        assert block.title
        assert block.title.endswith("/metadata.json")
        assert misread(block.title, "dataset") is None
    else:
        is_whole = set(data) <= set(RunSpec.model_fields)
        RunSpec.from_parameters(**LEAST_PARAMETERS | (data if is_whole else {"hyperparameters": data}))


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_all_code_is_code(block):
    """
    Python on a page is Python.
    """
    assert ast.parse(block.text, str(block)).body

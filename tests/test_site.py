"""The site that `make docs` builds: without a word, without a request to anybody, and with all there is to look up."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

import sdxl_lab
from docs.making.commands import EXAMPLES
from docs.making.elsewhere import COMFYUI
from sdxl_lab import cli
from sdxl_lab.settings.schedulers import SCHEDULERS
from sdxl_lab.spec.elsewhere import ELSEWHERE
from sdxl_lab.spec.hyperparameters import hyperparameters
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tasks import TASKS
from tests.support.browser import CHROMIUM, chromium

ROOT = Path(__file__).parents[1]
TOOLS = ("a1111", "comfyui", "diffusers")


class Page(HTMLParser):
    """What a page of the site says, and what a browser fetches for it without being asked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.codes: list[str] = []
        self._in_code = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note sources, stylesheets and icons, and the beginning of code."""
        given = dict(attrs)
        self.fetched += [value for name in ("src", "srcset", "poster", "data") if (value := given.get(name))]
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next") and (href := given.get("href")):
            self.fetched.append(href)
        if tag == "code":
            self._in_code = True
            self.codes.append("")

    def handle_endtag(self, tag: str) -> None:
        """Note the end of code."""
        self._in_code = self._in_code and tag != "code"

    def handle_data(self, data: str) -> None:
        """Note what code says."""
        if self._in_code:
            self.codes[-1] += data


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, str]:
    """The site, by the very command of `make docs`, and what that said."""
    recipe = subprocess.run(["make", "--dry-run", "docs"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in recipe.splitlines() if "mkdocs build" in line]
    words = shlex.split(line)
    given = dict(word.split("=", 1) for word in words if re.match(r"[A-Z0-9_]+=", word))
    options = words[words.index("mkdocs") :]
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", *options, "--site-dir", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | given, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def pages(built) -> dict[str, Page]:
    """Each page of the site."""
    return {path.stem: Page(path.read_text()) for path in built[0].glob("*.html")}


def test_the_site_is_built_without_a_word(built):
    """
    With links and anchors checked, nothing is complained about, and each document of docs/ is a page.
    """
    folder, words = built
    assert words == ""
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= {path.stem for path in folder.glob("*.html")}


def test_the_site_asks_nobody(built, pages):
    """
    No page, style or script of it fetches anything from elsewhere; what is only linked may be anywhere.
    """
    folder, _ = built
    for page in pages.values():
        assert [path for path in page.fetched if re.match(r"(\w+:)?//", path)] == []
    for style in folder.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\s]*", style.read_text()) == []


def _paths(model: type[BaseModel], above: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _paths(kind, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def test_every_setting_is_on_its_page(pages):
    """
    The page of settings has the path of each setting, common or a task's own, and each parameter of a run; so of what comes later.
    """
    paths = {path for path in _paths(hyperparameters()) if path.partition(".")[0] not in TASKS}
    paths |= {path for task in TASKS.values() for path in _paths(task.takes)}
    assert len(paths) > 35
    assert (paths | set(RunSpec.model_fields)) - set(pages["settings"].codes) == set()


def test_every_command_is_on_its_page(built, pages):
    """
    The page of commands has each command and each of its options.
    """
    commands = dict(named(typer.main.get_command(cli.app)))
    anchors = re.findall(r'<h2 id="([\w-]+)"', (built[0] / "commands.html").read_text())
    assert anchors == [name.replace(" ", "-") for name in commands]
    written = " ".join(pages["commands"].codes)
    options = {option for command in commands.values() for param in command.params for option in param.opts if option.startswith("-")}
    assert {option for option in options if option not in written} == set()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_commands_example_is_understood(name):
    """
    The line that the page of commands shows for a command is one that the command takes.
    """
    command = dict(named(typer.main.get_command(cli.app)))[name]
    words = shlex.split(EXAMPLES[name])
    own = len(name.split())
    assert " ".join(words[:own]) == name
    assert any(value for value in command.make_context(name, words[own:]).params.values())


def named(group: Any) -> Iterator[tuple[str, Any]]:
    """The commands of a group by what is typed for them, those of groups within it too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {inner}", each) for inner, each in named(command))
        else:
            yield name, command


def test_every_public_name_is_on_its_page(built):
    """
    The page of names has each name of the public face.
    """
    anchors = re.findall(r'<h2 id="([\w-]+)"', (built[0] / "names.html").read_text())
    assert sorted(anchors) == sorted(name.lower() for name in sdxl_lab.__all__)


@pytest.mark.parametrize("name", ["Bench", "MadePicture", "RunFolder"])
def test_what_a_name_inherits_is_on_its_page(name):
    """
    All that can be called of an object has a heading, wherever in the lab it comes from.
    """
    page = (ROOT / "docs" / "names.md").read_text("utf-8").splitlines()
    callables = [attribute for attribute, value in inspect.getmembers(getattr(sdxl_lab, name), inspect.isroutine) if not attribute.startswith("_")]
    assert len(callables) > 1
    assert [attribute for attribute in callables if f"### {name}.{attribute}" not in page] == []


def test_every_foreign_name_is_on_a_page(pages):
    """
    What the gate answers to names of other tools can be looked up, as can each scheduler, and no tool's page names a setting that there is not.
    """
    assert set(ELSEWHERE) | {name for task in TASKS.values() for name in task.elsewhere} <= set(pages["settings"].codes)
    assert set(COMFYUI) == set(SCHEDULERS)
    known = set(_paths(hyperparameters()))
    for tool in TOOLS:
        assert set(SCHEDULERS) <= set(pages[tool].codes)
        sections = "|".join(sorted({path.partition(".")[0] for path in known if "." in path} - set(TASKS)))
        assert {code for code in pages[tool].codes if re.fullmatch(rf"(?:{sections})\.\w+", code)} - known == set(), tool


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_the_search_finds_from_the_disk(built, tmp_path):
    """
    Opened without a server, the site's search finds the page on sweeps, and asks for nothing but the site's own files.
    """
    with chromium(tmp_path / "profile") as page:
        page.open((built[0] / "index.html").as_uri())
        page.evaluate("document.querySelector('input.md-search__input').focus()")
        page.type("sweep guidance")
        page.until("[...document.querySelectorAll('.md-search-result__link')].some(link => link.href.includes('/sweep.html'))")
        assert [url for url in page.requests if not url.startswith((built[0].as_uri(), "data:"))] == []
        assert page.complaints == []

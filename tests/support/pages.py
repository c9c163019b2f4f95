"""The blocks of README and of docs/, and what runs them as a reader would: in order, in a folder of the page's own."""

from __future__ import annotations

import builtins
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdxl_lab.datasets.sources import fetch
from sdxl_lab.spec.cautions import CautionWarning
from tests.support.commands import said

ROOT = Path(__file__).parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}

RUN = ("sh", "console", "python", "yaml", "json")
SHOWN = ("text", "pycon")
"""What nobody types: output, folders; and the examples of docstrings, which `tests/test_examples.py` runs."""

NEEDS = {
    "weights": "Real weights: it runs with the built-in checkpoint of their family in their place.",
    "styles": "The built-in checkpoint's fine-tunes: they are trained for a step, not for minutes, among the slow tests.",
    "comet": "An account: it runs against the stand-in, among the slow tests.",
    "clone": "A clone with its own .venv: make is asked what it would do.",
    "installing": "The network or the system's packages: the names in it are compared with the project's own.",
    "browser": "A person at a browser.",
}
"""What a block may need that a test has not, in a comment before it, `<!-- needs: comet -->`, and what becomes of it."""

TRAINING = ["python", "-m", "sdxl_lab.pocket.styles"]
REAL = {
    re.compile(r"(?<!/)\bsdxl(-inpaint|-turbo)?\b(?![-_/.])"): "pocket",
    re.compile(r"(?<!-)\b(sd15|sd2)-inpaint\b"): "pocket-sd2-inpaint",
    re.compile(r"(?<!-)\b(sd15|sd21|sd21-base|sd-turbo)\b(?![-_/.])"): "pocket-sd2",
}
"""Names of real checkpoints, and what is built in of their family."""

ONLY_REAL = re.compile(r" -p (hyperparameters\.compute\.)?vae fp16-fix|, vae: fp16-fix")
"""What is left out where the built-in checkpoint stands in, which has no such VAE."""

FENCE = re.compile(
    r"(?m)^(?P<marks>(?:<!--[^\n]*-->\n)*)```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?(?P<rest>[^\n]*)\n(?P<text>[\s\S]*?)^```$"
)
MARK = re.compile(r"<!-- (needs|leaves with|slow): ([^\n]*?) -->")


@dataclass(frozen=True, kw_only=True)
class Block:
    """
    One fenced block.
    """

    page: str
    line: int
    language: str
    text: str
    title: str | None
    marks: dict[str, str]
    unknown: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def needs(self) -> str:
        """
        What it needs that a test has not, or nothing.
        """
        return self.marks.get("needs", "")

    @property
    def is_slow(self) -> bool:
        """
        Whether it is left to the slow tests.
        """
        return "slow" in self.marks or self.needs == "comet"

    @property
    def code(self) -> int:
        """
        With which its last command leaves.
        """
        return int(self.marks.get("leaves with", 0))


def blocks(page: str) -> list[Block]:
    """
    The blocks of a page, in order.
    """
    text = PAGES[page].read_text()
    found = []
    for fence in FENCE.finditer(text):
        marks = fence["marks"]
        found.append(
            Block(
                page=page,
                line=text.count("\n", 0, fence.start("language")) + 1,
                language=fence["language"],
                text=fence["text"],
                title=fence["title"],
                marks=dict(MARK.findall(marks)),
                unknown="".join([*MARK.sub("", marks).split("\n"), fence["rest"]]).strip(),
            )
        )
    return found


def of_built_in(text: str) -> str:
    """
    A block's text with built-in checkpoints in place of real ones.
    """
    text = ONLY_REAL.sub("", text)
    for real, built_in in REAL.items():
        text = real.sub(built_in, text)
    return text


def commands(text: str) -> list[str]:
    """
    The commands of a block, each on one line, without remarks.
    """
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def dialogues(text: str) -> list[tuple[str, str]]:
    """
    The commands of a console, each with what it answers.
    """
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in re.split(r"(?m)^\$ ", text)[1:]]


def words(line: str) -> list[str]:
    """
    A command's words, as a shell takes it apart.
    """
    return shlex.split(line, comments=True)


def alike(text: str) -> str:
    """
    What stays of an output on another machine: its words.
    """
    return " ".join(re.sub(r"[-+]?\d[\d.,]*", "N", text).split())


@dataclass(kw_only=True)
class Reader:
    """
    Somebody who follows a page, in a folder with a photograph, masks and a dataset of their own.
    """

    folder: Path
    names: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scenes = fetch("pocket-scenes")
        shutil.copytree(scenes.folder, self.folder / "path" / "to" / "dataset")
        image, mask = scenes.sample("red-circle").image(), scenes.sample("red-circle").mask()
        assert image
        assert mask
        for kind in ("images", "masks"):
            (self.folder / "sea" / kind).mkdir(parents=True)
        for picture, names in ((image, ("photo.jpg", "sea/images/octopus.png")), (mask, ("mask.png", "other.png", "sea/masks/octopus.png"))):
            for name in names:
                picture.save(self.folder / name)
        shim = self.folder / "bin" / "sdxl-lab"
        shim.parent.mkdir()
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from sdxl_lab.cli import main; main()" "$@"\n')
        shim.chmod(0o755)
        path = os.pathsep.join([str(shim.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {"PATH": path, "PYTHONPATH": str(ROOT)}

    def follow(self, block: Block) -> None:
        """
        Do what a block says.
        """
        text = of_built_in(block.text) if block.needs == "weights" else block.text
        if block.title:
            (self.folder / block.title).write_text(text)
        if block.language == "python":
            self.python(text, block)
        elif block.language == "console":
            for command, answer in dialogues(text):
                output = self.command(command, block.code, block)
                assert alike(output) == alike(answer), f"{block}: {output}"
        elif block.language == "sh":
            *first, last = commands(text)
            for command in first:
                self.command(command, 0, block)
            self.command(last, block.code, block)

    def python(self, text: str, block: Block) -> None:
        """
        Run code in the page's one namespace.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CautionWarning)
            exec(builtins.compile(text, str(block), "exec"), self.names)

    def command(self, line: str, code: int, block: Block) -> str:
        """
        Run one command, and give what it wrote: `sdxl-lab` within this process, anything else in a shell.
        """
        given = words(line)
        if given == TRAINING and block.needs == "styles":
            return self._hardly_trained()
        if given[0] == "sdxl-lab" and not re.search(r"\$\(|&&|[|;]", line.partition("#")[0]):
            return self._lab(given[1:], code, block)
        environment = os.environ | self.environment
        ended = subprocess.run(["bash", "-c", line], env=environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert ended.returncode == code, f"{block}: {line}\n{ended.stdout}{ended.stderr}"
        return ended.stdout or ended.stderr

    def _hardly_trained(self) -> str:
        """
        Fine-tunes for all but looking at their pictures.
        """
        from sdxl_lab.files.digests import cache_folder
        from sdxl_lab.pocket import styles

        return "\n".join(str(styles.make(look, cache_folder(), steps=1, count=4)) for look in styles.LOOKS)

    def _lab(self, given: list[str], code: int, block: Block) -> str:
        target = None
        if ">" in given:
            given, target = given[: given.index(">")], given[given.index(">") + 1]
        found = [sorted(self.folder.glob(word)) if "*" in word else [] for word in given]
        expanded = [str(path) for word, paths in zip(given, found, strict=True) for path in (paths or [word])]
        ended = said(*expanded)
        assert ended.code == code, f"{block}: sdxl-lab {' '.join(expanded)}\n{ended.out}{ended.err}"
        if target:
            (self.folder / target).write_text(ended.out)
        return ended.out or ended.err

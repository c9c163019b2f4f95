"""What the documents say of the repository: whatever they name is there."""

from __future__ import annotations

import ast
import pydoc
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs.making.pages import as_made

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))))
EVERYBODYS = ("errors", "wording", "progress", "tables")


@cache
def paths() -> frozenset[str]:
    """Every file and folder of what is written by hand, by its path from the top."""
    found = [path for name in ("sdxl_lab", "tests", "notebooks", "benchmarks", "docs") for path in (ROOT / name).rglob("*")]
    return frozenset(f"/{path.relative_to(ROOT).as_posix()}" for path in [*found, *ROOT.iterdir()] if "__pycache__" not in path.parts)


def code(text: str) -> list[str]:
    """The words in `backquotes`, without blocks."""
    blocks = re.sub(r"(?m)^(    .*|```[\s\S]*?```)$", "", text)
    return re.findall(r"`([^`\n]+)`", blocks)


def anchors(document: Path) -> set[str]:
    """What a link may point to within a document, as GitHub makes it of its headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", document.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name):
    """
    Whatever a document links to in the repository is there, headings included.
    """
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", (ROOT / name).read_text()) if "://" not in link]
    assert links or name.startswith("docs/")
    for link in links:
        path, _, anchor = unquote(link).partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("entrance", ["README.md", "docs/index.md"])
def test_every_page_is_found_by_following_links(entrance):
    """
    From the repository's first page and from the site's, links lead to every page, so that nobody has to know that it is there.
    """
    found, ahead = set(), [ROOT / entrance]
    while ahead:
        page = ahead.pop().resolve()
        if page not in found and page.suffix == ".md" and page.is_file():
            found.add(page)
            ahead += [page.parent / unquote(link).partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    assert [name for name in DOCUMENTS if name.startswith("docs/") and name != "docs/index.md" and ROOT / name not in found] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_is_named_is_there(name):
    """
    Each module, folder and dotted name of the lab that a document names exists, under its whole path or the end of one.
    """
    for word in code((ROOT / name).read_text()):
        if re.fullmatch(r"[\w./]+\.py|[a-z_]+/", word):
            assert any(path.endswith(f"/{word.rstrip('/')}") for path in paths()), word
        elif re.fullmatch(r"sdxl_lab(\.\w+)+", word):
            assert pydoc.locate(word), word


def test_what_the_code_tells_is_up_to_date():
    """
    The pages of settings, commands and names, and the tables on other pages, are what would be made of the code now.
    """
    stale = [path.name for path, text in as_made().items() if not path.exists() or path.read_text("utf-8") != text]
    assert stale == [], "run `make docs`, or `python -m docs.making`, and commit what it writes"


def rows() -> dict[str, str]:
    """Package or module of `sdxl_lab` to what it imports, as the table says, from the ground up."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    table = text[text.index("| `sdxl_lab/` |") :].partition("\n\n")[0]
    cells = [row.split("|") for row in table.splitlines()[2:]]
    return {name: cell[3].strip() for cell in cells for name in re.findall(r"`(\w+)(?:/|\.py)`", cell[1])}


def imported_by(name: str) -> set[str]:
    """The other packages and modules of `sdxl_lab` from which one imports, whenever that is."""
    path = ROOT / "sdxl_lab" / name
    nodes = [node for file in ([*path.rglob("*.py")] or [path.with_suffix(".py")]) for node in ast.walk(ast.parse(file.read_text()))]
    found = [(node.module or "", alias.name) for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
    return {f"{module}.{alias}".split(".")[1] for module, alias in found if module.partition(".")[0] == "sdxl_lab"} - {name}


def test_every_package_has_its_row():
    """
    The table of packages has a row for each package and module of `sdxl_lab`, no other, from the ground up as the contract of layers has them.
    """
    listed = list(rows())
    assert sorted(listed) == sorted(
        path.stem for path in (ROOT / "sdxl_lab").iterdir() if ([*path.glob("*.py")] or path.suffix == ".py") and not path.name.startswith("_")
    )
    layers = re.search(r"(?s)exhaustive = true.*?layers = \[(.*?)\]", (ROOT / "pyproject.toml").read_text())
    assert layers
    height = {name: index for index, line in enumerate(reversed(re.findall(r'"(.*?)"', layers[1]))) for name in line.split(" | ")}
    heights = [height[name] for name in listed if name in height]
    assert heights == sorted(heights)


def test_every_package_imports_what_its_row_says():
    """
    What a package imports stands in its row of the table, or is everybody's.
    """
    above: set[str] = set()
    for name, said in rows().items():
        allowed = above if said == "all above" else {*EVERYBODYS, *re.findall(r"\w+", said)}
        assert imported_by(name) - allowed == set(), name
        above.add(name)


def test_every_package_says_what_it_is_about():
    """
    The docstring of each package begins with one sentence.
    """
    for package in sorted((ROOT / "sdxl_lab").glob("*/__init__.py")):
        first = package.read_text().partition("\n")[0]
        assert re.match(r'"""[A-Z].+[.:]', first), package

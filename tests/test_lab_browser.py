"""`make lab` as a person sees it: pictures while they are made, and the run among the lab's files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from sdxl_lab.kernels import notebooks
from tests.support.browser import CHROMIUM
from tests.support.lab import STATUS, Lab, jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

IMAGES = "document.querySelectorAll('.jp-Notebook figure img').length"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with the notebook for one scene."""
    with jupyterlab(tmp_path) as lab:
        notebook = nbformat.read(notebooks.find("inpaint_outpaint"), as_version=4)
        cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        cell.source = cell.source.replace("samples = None", "samples = ['red-circle']").replace('"auto"', '"off"')
        nbformat.write(notebook, tmp_path / "notebooks" / "inpaint_outpaint.ipynb")
        lab.open("inpaint_outpaint.ipynb")
        yield lab


def test_pictures_appear_while_the_notebook_runs_and_the_run_is_among_the_files(lab):
    """
    The notebook shows its first result while its kernel is busy, and in the end each picture once; the file browser opens the run's folder.
    """
    folder, page = lab.folder, lab.page
    lab.run_all()
    page.until(f"{STATUS} === 'busy'", 60)
    seen: set[tuple[int, str]] = set()
    while not list(folder.glob("artifacts/runs/single/*/record.json")):
        seen.add((page.evaluate(IMAGES), page.evaluate(STATUS)))
        time.sleep(0.05)
    # One input and two masks; then a result, and both.
    assert (4, "busy") in seen
    page.until(f"{IMAGES} === 5 && {STATUS} === 'idle'", 120)
    text = page.evaluate("document.querySelector('.jp-Notebook').innerText")
    assert "2 of 2 pictures, 2 made now in " in text
    [run] = folder.glob("artifacts/runs/single/*")
    path = run.relative_to(folder).as_posix()
    page.evaluate(f"window.jupyterapp.commands.execute('filebrowser:go-to-path', {{path: {path!r}}})")
    page.until("[...document.querySelectorAll('.jp-DirListing-itemText')].some(item => item.innerText === 'contact-sheet.png')")

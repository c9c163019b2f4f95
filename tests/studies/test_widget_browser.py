"""A study in a notebook of JupyterLab."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdxl_lab.studies.made import MadeStudy
from tests.support import studies
from tests.support.browser import CHROMIUM
from tests.support.lab import jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

MAKE = "import sdxl_lab\nmade = sdxl_lab.study('../runs', '../asked', pairs=5, repeat=0)\nmade"
AGAIN = "import sdxl_lab\nsdxl_lab.study('../asked')"
READY = "deep('.study .frame') && !deep('.study .waiting')"


def test_votes_in_a_notebook_are_written_beside_the_study(tmp_path: Path):
    """
    In JupyterLab each vote by a key is on the disk at once and no command of JupyterLab's, another kernel goes on, and no picture is saved.
    """
    studies.runs(tmp_path / "runs")
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "runs").symlink_to(tmp_path / "runs")
    with jupyterlab(folder) as lab:
        page = lab.page
        lab.write("ask.ipynb", MAKE, AGAIN)
        lab.open("ask.ipynb")
        cells = page.evaluate("document.querySelectorAll('.jp-Cell').length")
        lab.run_cell(0)
        page.until("deep('.study form')", 120)
        made = MadeStudy(folder / "asked")
        page.evaluate("deep('.study input[name=judge]').focus()")
        page.type("Bea")
        page.press("Enter")
        page.until(READY)
        for number, key in enumerate(("1", "s", "ArrowRight"), 1):
            page.press(key)
            page.until(f"{READY} && deep('.study .said').textContent === '{number + 1} of 5'")
            page.until("true")
        page.until("true")
        for _ in range(100):
            if (found := made.votes()) and len(found[0].votes) == 3:
                break
            page.evaluate("new Promise(later => setTimeout(later, 50))")
        assert [vote.answer for vote in made.votes()[0].votes] == [0, "skip", 1]
        assert page.evaluate("document.querySelectorAll('.jp-Cell').length") == cells
        lab.restart()
        page.evaluate("window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        lab.run_cell(1)
        page.until("deep('.study .before button')", 120)
        assert page.evaluate("deep('.study .before').innerText") == "Go on as Bea (3 of 5)"
        page.evaluate("deep('.study .before button').click()")
        page.until(READY)
        assert page.evaluate("deep('.study .said').textContent") == "4 of 5"
        lab.save("ask.ipynb")
    assert len((folder / "notebooks" / "ask.ipynb").read_bytes()) < 20_000
    assert [vote.trial for vote in made.votes()[0].votes] == studies.order(made.key, "Bea")[:3]

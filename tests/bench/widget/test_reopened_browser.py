"""A bench whose notebook is closed and opened again in JupyterLab."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdxl_lab.kernels import notebooks
from tests.support.browser import CHROMIUM
from tests.support.lab import PANEL, jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

LIVES = "deep('.head strong')?.textContent && deep('.paint-frame img')?.naturalWidth"
STILL = "document.querySelector('sdxl-lab-bench img')?.checkVisibility()"


def test_a_notebook_that_is_opened_again_shows_the_bench_alive_or_as_it_was(tmp_path: Path):
    """
    Closed and opened while its kernel lives, the notebook shows the bench alive, each time; with another kernel, the pictures that were saved.
    """
    with jupyterlab(tmp_path) as lab:
        shutil.copy(notebooks.built_in()["bench"], tmp_path / "notebooks" / "bench.ipynb")
        lab.open("bench.ipynb")
        page = lab.page
        lab.run_all()
        page.until(LIVES, 120)
        lab.run("bench.make('a blue star on grass', num_inference_steps=2)")
        page.until("deepAll('.history-list li').length === 1")
        page.click_on(".knobs textarea")
        page.evaluate("deep('.knobs textarea').blur()")
        page.until("document.querySelectorAll('sdxl-lab-bench img').length === 1")
        lab.save("bench.ipynb")
        for _ in range(2):
            page.evaluate(f"{PANEL}.dispose()")
            page.until("!document.querySelector('.jp-Notebook')")
            lab.command("docmanager:open", path="notebooks/bench.ipynb")
            page.until(f"{LIVES} && deepAll('.history-list li').length === 1 && deep('.gone').hidden", 60)
            assert not page.evaluate(STILL)
        page.evaluate(f"{PANEL}.dispose()")
        page.until("!document.querySelector('.jp-Notebook')")
        page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
        lab.command("docmanager:open", path="notebooks/bench.ipynb")
        page.until(STILL, 60)
        lab.idle()
        assert page.evaluate(STILL)
        assert "not found" not in page.evaluate("document.querySelector('.jp-Notebook').innerText")

"""The bench in Jupyter Notebook 7, which is another application than JupyterLab."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdxl_lab.kernels import notebooks
from tests.support.browser import CHROMIUM
from tests.support.lab import jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

ROOT = "document.querySelector('sdxl-lab-bench')?.shadowRoot"


def test_the_bench_lives_in_notebook_7(tmp_path: Path):
    """
    Run in Notebook, the bench makes a picture of what lies on it, shows it from the server's own files, and asks for nothing from elsewhere.
    """
    with jupyterlab(tmp_path) as lab:
        shutil.copy(notebooks.built_in()["bench"], tmp_path / "notebooks" / "bench.ipynb")
        lab.open_in_notebook("bench.ipynb")
        lab.page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        lab.page.until(f"!{ROOT}?.querySelector('.make')?.disabled && {ROOT}?.querySelector('.head strong')?.textContent", 120)
        lab.page.evaluate(f"{ROOT}.querySelector('.make').click()")
        lab.page.until(f"{ROOT}.querySelector('.doing').innerText.startsWith('picture 1')", 120)
        shown = f"[...{ROOT}.querySelectorAll('img')].filter(image => image.naturalWidth && image.src.includes('/files/artifacts/')).length"
        lab.page.until(f"{shown} > 1")
        assert list(tmp_path.glob("artifacts/runs/sessions/*/images/*.png"))
        assert [url for url in lab.page.requests if not url.startswith((lab.address, "data:", "blob:"))] == []

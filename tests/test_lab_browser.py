"""`make lab` as a person sees it: pictures while they are made, and the run among the lab's files."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from sdxl_lab.kernels import notebooks
from tests.support.browser import CHROMIUM, Page, chromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

HERE = Path(__file__).parent.parent
IMAGES = "document.querySelectorAll('.jp-Notebook figure img').length"
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status"


def command_of_make_lab() -> list[str]:
    """What `make lab` runs, after its `jupyter`."""
    said = subprocess.run(["make", "--dry-run", "lab"], cwd=HERE, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in said.splitlines() if "jupyter lab" in line]
    return shlex.split(line)[1:]


@pytest.fixture
def lab(tmp_path) -> Iterator[tuple[Path, Page]]:
    """A lab with the notebook for one scene, opened in JupyterLab as `make lab` does."""
    for name in ("notebooks", "artifacts"):
        (tmp_path / name).mkdir()
    shutil.copy(HERE / "artifacts" / "README.md", tmp_path / "artifacts")
    notebook = nbformat.read(notebooks.find("inpaint_outpaint"), as_version=4)
    cell = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    cell.source = cell.source.replace("samples = None", "samples = ['red-circle']").replace('"auto"', '"off"')
    nbformat.write(notebook, tmp_path / "notebooks" / "inpaint_outpaint.ipynb")
    token = secrets.token_hex(8)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = ["--no-browser", f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True", "--allow-root"]
    private = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    environment = os.environ | private | {"PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "jupyter", *command_of_make_lab(), *more]
    said = tmp_path / "said"
    with said.open("w") as log, subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=log) as server:
        try:
            while not (found := re.search(r"http://127\.0\.0\.1:\S+\?token=", said.read_text())):
                assert server.poll() is None, said.read_text()
                time.sleep(0.1)
            url = found[0] + token
            with chromium(tmp_path / "profile") as page:
                page.open(url)
                yield tmp_path, page
        finally:
            server.terminate()


def test_pictures_appear_while_the_notebook_runs_and_the_run_is_among_the_files(lab):
    """
    The notebook opens, shows its first result while its kernel is busy, and in the end each picture once; the file browser opens the run's folder.
    """
    folder, page = lab
    page.until(f"{KERNEL} === 'idle'", 300)
    page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.until(f"{KERNEL} === 'busy'", 60)
    seen: set[tuple[int, str]] = set()
    while not list(folder.glob("artifacts/runs/single/*/record.json")):
        seen.add((page.evaluate(IMAGES), page.evaluate(KERNEL)))
        time.sleep(0.05)
    # One input and two masks; then a result, and both.
    assert (4, "busy") in seen
    page.until(f"{IMAGES} === 5 && {KERNEL} === 'idle'", 120)
    text = page.evaluate("document.querySelector('.jp-Notebook').innerText")
    assert "2 of 2 pictures, 2 made now in " in text
    [run] = folder.glob("artifacts/runs/single/*")
    path = run.relative_to(folder).as_posix()
    page.evaluate(f"window.jupyterapp.commands.execute('filebrowser:go-to-path', {{path: {path!r}}})")
    page.until("[...document.querySelectorAll('.jp-DirListing-itemText')].some(item => item.innerText === 'contact-sheet.png')")

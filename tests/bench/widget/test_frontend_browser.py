"""What a bench's page has of the JupyterLab around it: files, a new cell, tabs, the file browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.browser import CHROMIUM
from tests.support.lab import PANEL, Lab, jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

BENCH = """
from pathlib import Path
from sdxl_lab import Bench
from tests.support import sessions
session = sessions.begun_in(Path.cwd().parent, tracking="off")
for seed in range(3):
    sessions.add(session, "a 'blue' star", seed=seed)
Bench.on(session)
"""
SESSION = f"artifacts/runs/sessions/tried-{10 * '[0-9a-f]'}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """A bench in JupyterLab, in a folder of the user's home with a name that an address has to write otherwise."""
    home = tmp_path_factory.mktemp("home")
    (home / "my lab é").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        with jupyterlab(home / "my lab é") as lab:
            lab.write("bench.ipynb", "before = 0", BENCH.strip(), "after = 1")
            lab.open("bench.ipynb", height=1400)
            lab.run_cell(1)
            lab.page.until("deepAll('.history-list li').length === 3", 120)
            lab.page.click_on('li[data-number="2"] .pick')
            lab.page.until("!deep('.chosen').hidden")
            yield lab
            assert lab.page.complaints == []
            assert all(url.startswith(("http://127.0.0.1", "data:", "blob:")) for url in lab.page.requests)


def press(lab: Lab, text: str) -> None:
    """Press a button of the history."""
    lab.page.evaluate(f"deepAll('.history button').find(button => button.textContent === {json.dumps(text)}).id = 'pressed'")
    lab.page.click_on("#pressed")
    lab.page.evaluate("deep('#pressed').removeAttribute('id')")


def test_pictures_come_from_the_server(lab: Lab):
    """Where the server gives a file, no message carries it, also below the home folder, which the server writes as ~."""
    assert lab.page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).serverRoot") == "~/my lab é"
    lab.page.until("deepAll('.history-list img').every(image => image.naturalWidth === 128)")
    [session] = lab.folder.glob(SESSION)
    places = {f"/files/{file.relative_to(lab.folder).as_posix()}" for file in session.glob("images/*.png")}
    assert set(lab.page.evaluate("deepAll('.history-list img').map(image => new URL(image.src).pathname)")) == places


def test_parameters_go_into_a_new_cell_below_the_bench(lab: Lab):
    """The cell comes below the one that shows the bench, whichever was the active one, and is the parameters, line for line."""
    lab.page.evaluate(f"{PANEL}.content.activeCellIndex = 0")
    press(lab, "Parameters cell")
    lab.page.until(f"{PANEL}.content.model.sharedModel.cells[2].source.includes('tracking')")
    before, bench, parameters, after, _ = lab.sources()
    assert (before, bench, after) == ("before = 0", BENCH.strip(), "after = 1")
    values: dict[str, Any] = {}
    exec(parameters, values)
    assert values["name"] == "tried-2"
    assert values["hyperparameters"]["prompt"] == "a 'blue' star"


def test_files_and_folders_open_beside_the_notebook(lab: Lab):
    """The PNG has a tab of its own, the session's folder stands in the file browser, and the report is a link to what the server gives."""
    [session] = lab.folder.glob(SESSION)
    press(lab, "Report of all")
    lab.page.until("deep('dialog a')")
    link = lab.page.evaluate("deep('dialog a').href")
    lab.page.press("Escape")
    assert lab.page.evaluate(f"fetch({json.dumps(link)}).then(answer => answer.text())") == (session / "report.html").read_text()
    lab.page.click_on(".head .link")
    lab.page.until("[...document.querySelectorAll('.jp-DirListing-itemText')].some(item => item.innerText === 'session.json')")
    press(lab, "Open PNG")
    [second] = [file.name for file in session.glob("images/*.png") if file.name in lab.page.evaluate("deep('li[data-number=\"2\"] img').src")]
    lab.page.until(f"[...document.querySelectorAll('.lm-TabBar-tabLabel')].some(label => label.innerText === {second!r})")

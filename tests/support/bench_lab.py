"""The bench notebook in JupyterLab, and hands that work with it."""

from __future__ import annotations

import base64
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from sdxl_lab.records.session import SessionFolder
from tests.support.lab import HERE, PANEL, Lab, jupyterlab

DOING = "deep('.bench .doing').textContent"
DRAWN = "new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))"
PANES = ("paint", "making", "look")


class BenchLab:
    """The notebook of a bench of its own, and what a person does there with mouse and keys.

    Attributes:
        lab: Where it is open.
        page: What a person sees.
        name: Of the notebook and of the session.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.page, self.name = lab, lab.page, name
        notebook = nbformat.read(HERE / "notebooks" / "bench.ipynb", as_version=4)
        [cell] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
        cell.source = cell.source.replace("name = None", f"name = {name!r}").replace('"auto"', '"off"')
        nbformat.write(notebook, lab.folder / "notebooks" / f"{name}.ipynb")

    def open(self, width: int = 1280, height: int = 1000) -> None:
        """Open the notebook and run its cells, until the bench is there."""
        self.lab.open(f"{self.name}.ipynb", width=width, height=height)
        self.run()

    def run(self) -> None:
        """Run the notebook's cells, until a bench is there that knows its knobs."""
        self.lab.run_all()
        self.page.until("deep('.bench [data-path=prompt]') && deep('.paint-frame img')?.naturalWidth", 120)
        self.lab.idle()

    @property
    def session(self) -> SessionFolder:
        """What it has on disk."""
        [folder] = self.lab.folder.glob(f"artifacts/runs/sessions/{self.name}-*")
        return SessionFolder(folder)

    def show(self, pane: str) -> None:
        """Press a tab of the stage."""
        self.click_on(f".bench [role=tab]:nth-child({PANES.index(pane) + 1})")

    def write(self, selector: str, text: str) -> None:
        """Write something else into a field."""
        self.page.evaluate(f"(field => (field.focus(), field.select()))(deep({json.dumps(selector)}))")
        self.page.type(text)

    def prompt(self, text: str) -> None:
        """Write another prompt; the focus stays there."""
        self.write("[data-path=prompt] textarea", text)

    def turn(self, **numbers: float) -> None:
        """Write numbers into knobs, each by the last part of its path, and wait until the gate has answered."""
        for name, number in numbers.items():
            field = f'.knob[data-path$="{name}"] input[type=text]'
            self.page.until(f"Boolean(deep('{field}'))")
            self.write(field, str(number))
            self.page.press("Enter")
            self.page.until(f"!deepAll('{field}').some(field => field.getAttribute('aria-invalid'))")

    def choose(self, selector: str, value: str) -> None:
        """Choose of a list."""
        self.page.evaluate(f"(list => (list.value = {json.dumps(value)}, list.dispatchEvent(new Event('change'))))(deep({json.dumps(selector)}))")

    def press(self, text: str, within: str = ".bench") -> None:
        """Press the button that begins with a text."""
        is_meant = f"button.textContent.startsWith({json.dumps(text)}) && button.offsetParent && !button.disabled"
        found = f"deepAll({json.dumps(within + ' button')}).find(button => {is_meant})"
        self.page.until(f"Boolean({found})")
        self.page.evaluate(
            f"(all => all.forEach(one => one.toggleAttribute('data-meant', false)))(deepAll('[data-meant]')); {found}.dataset.meant = ''"
        )
        self.click_on("[data-meant]")

    def click_on(self, selector: str) -> None:
        """Click into the middle of an element, once JupyterLab has brought to rest what it shows."""
        self.page.box(selector)
        self.page.until(DRAWN)
        self.page.click_on(selector)

    def make(self, seconds: float = 60) -> None:
        """Press Ctrl+Enter where the focus is, and wait for the new picture, which is looked at then."""
        kept = self.page.evaluate("deepAll('.history-list li').length")
        self.page.press("Enter", ctrl=True)
        self.page.until(f"deepAll('.history-list li').length > {kept}", seconds)
        self.made(seconds)

    def made(self, seconds: float = 60) -> None:
        """Wait for the one picture that was asked for, which is looked at then."""
        self.page.until("deep('.bench [role=tab]:nth-child(3)').ariaSelected === 'true' && deep('.comparing .frame img')?.complete", seconds)

    @contextmanager
    def busy(self, work: str) -> Iterator[None]:
        """Let a cell repeat some work for as long as the block lasts."""
        stop = self.lab.folder / "stop"
        lines = [f"    {line}" for line in work.splitlines()]
        self.lab.begin("\n".join([f"from pathlib import Path\nwhile not Path({str(stop)!r}).exists():", *lines]))
        try:
            yield
        finally:
            stop.touch()
            self.lab.idle()
            stop.unlink()

    def paint(self, *places: tuple[float, float]) -> list[tuple[float, float]]:
        """Draw with the mouse through places, given as shares of the picture.

        Returns:
            Where it was in pixels of the picture, in whole quarters.
        """
        left, top, width, height = self.page.box(".paint-frame")
        pixels = self.page.evaluate("deep('.paint-status').textContent.match(/ (\\d+)\u00d7(\\d+) /).slice(1)")
        at = [(round(left + across * width), round(top + down * height)) for across, down in places]
        self.page.mouse("mousePressed", *at[0])
        for place in at[1:]:
            self.page.mouse("mouseMoved", *place)
        self.page.mouse("mouseReleased", *at[-1])
        columns, rows = map(int, pixels)
        each = columns / width  # down as across, from the middle: a frame's height is rounded by the browser
        middles = [((x - left - width / 2) * each + columns / 2, (y - top - height / 2) * each + rows / 2) for x, y in at]
        return [(math.floor(4 * x + 0.5) / 4, math.floor(4 * y + 0.5) / 4) for x, y in middles]

    def lies_open(self, name: str, size: tuple[int, int]) -> None:
        """Wait until a picture of that name and size lies open."""
        said = json.dumps(f"{name} \u00b7 {size[0]}\u00d7{size[1]} ")
        self.page.until(f"deep('.paint-status').textContent.startsWith({said}) && deep('.paint-frame img').naturalWidth")

    def drop(self, file: Path) -> None:
        """Drag a file from the desktop to the middle of the picture's place, as the picture, and drop it."""
        left, top, width, height = self.page.box(".paint")
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "dragOver", "drop"):
            self.page.call("Input.dispatchDragEvent", type=kind, x=left + width / 4, y=top + height / 2, data=data)
            # A browser lets go of nothing over a page that has not yet said that it takes it.
            self.page.until(DRAWN)

    def paste(self, file: Path) -> None:
        """Paste a file where the focus is."""
        content = base64.b64encode(file.read_bytes()).decode()
        self.page.evaluate(f"""(() => {{
            const held = new DataTransfer(), bytes = Uint8Array.from(atob({json.dumps(content)}), letter => letter.charCodeAt(0))
            held.items.add(new File([bytes], {json.dumps(file.name)}, {{type: "image/png"}}))
            const event = new ClipboardEvent("paste", {{clipboardData: held, bubbles: true, composed: true, cancelable: true}})
            deep(".bench").getRootNode().activeElement.dispatchEvent(event) }})()""")

    def choose_file(self, button: str, file: Path) -> None:
        """Choose a file in the dialog that a button opens."""
        found = f"deepAll('.bench button').find(button => button.textContent === {json.dumps(button)}).querySelector('input')"
        field = self.page.call("Runtime.evaluate", expression=found)["result"]["objectId"]
        self.page.call("DOM.setFileInputFiles", files=[str(file)], objectId=field)

    def leave(self) -> None:
        """Save the notebook, so that nobody asks whether to, and end its kernel."""
        self.page.evaluate(f"{PANEL}.context.save().then(() => {PANEL}.sessionContext.shutdown())")

    def screenshot(self, path: Path, theme: str = "JupyterLab Light") -> None:
        """Keep what is in view, in a theme of JupyterLab."""
        self.page.evaluate(f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: {json.dumps(theme)}}})")
        self.page.until(f"document.body.dataset.jpThemeName === {json.dumps(theme)}")
        self.page.screenshot(path)


def grown(white: np.ndarray, side: int) -> np.ndarray:
    """White wherever a square of so many pixels around a pixel has any white."""
    reach = side // 2
    wide = np.pad(white, reach)
    height, width = white.shape
    return np.any([wide[down : down + height, across : across + width] for down in range(side) for across in range(side)], 0)


def bounds(white: np.ndarray) -> tuple[int, int, int, int]:
    """The same of a mask."""
    rows, columns = np.nonzero(white)
    return columns.min(), rows.min(), columns.max(), rows.max()


def outline_becomes(bench: BenchLab, white: np.ndarray) -> None:
    """Wait until the page draws the outline of a mask."""
    left, top, right, bottom = (int(side) for side in bounds(white))
    sides = "[Math.min, Math.max].map(most => [0, 1].map(side => most(...n.filter((_, i) => i % 2 === side)) - 0.5))"
    path = "deepAll('.paint-outlines .outline.repainted').map(path => path.getAttribute('d')).join('').match(/[\\d.]+/g)"
    bench.page.until(f"JSON.stringify((n => {sides})(({path} ?? []).map(Number))) === '[[{left},{top}],[{right},{bottom}]]'")


def grays(file: Path) -> np.ndarray:
    """A picture's gray values; none of one that has colors."""
    with Image.open(file) as image:
        return np.asarray(image) if image.mode == "L" else np.empty(0)


def picture(folder: Path, size: tuple[int, int], name: str = "photo.png") -> Path:
    """A photograph of a slope of colors, as a file."""
    columns, rows = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    Image.fromarray(np.stack([columns, rows, 255 - (columns + rows) / 2], -1).astype(np.uint8)).save(folder / name)
    return folder / name


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab in JupyterLab, for all tests of a file."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, jupyterlab(Path(folder)) as lab:
        yield lab


@pytest.fixture
def begin(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], BenchLab]]:
    """Open a bench of that name; at the end nothing was asked for from outside, and nobody complained.

    What a test makes by itself is kept elsewhere than what the lab makes.
    """
    monkeypatch.chdir(tmp_path)
    begun: list[BenchLab] = []

    def begin(name: str) -> BenchLab:
        bench = BenchLab(lab, name)
        begun.append(bench)
        bench.open()
        return bench

    yield begin
    begun[-1].leave()
    outside = [url for url in lab.page.requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert (outside, lab.page.complaints) == ([], [])

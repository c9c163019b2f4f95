"""The part of the bench's page on which masks are painted, in a real browser, in a shadow root, with the least of a hub."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.bench.widget.outlines import outlines
from sdxl_lab.families import Sizes
from sdxl_lab.images.strokes import Painted, strokes
from sdxl_lab.settings.sections import Canvas, Crop, EditSettings, Mask
from sdxl_lab.tasks import TASKS
from sdxl_lab.viewing.scripts import SHARED, joined
from tests.support.browser import IN_A_BROWSER, Page

pytestmark = IN_A_BROWSER

SIZE = (600, 400)
SIZES = Sizes(area=600 * 400, max_area=600 * 400, multiple=8)
OWN = files("sdxl_lab.bench.widget").joinpath("page")
MODULES = ("strokes.js", "painting.js", "place.js", "hands.js", "uploading.js", "tools.js", "canvas.js")
SCRIPT = joined([*map(SHARED.joinpath, ("elements.js", "looking.js")), *map(OWN.joinpath, MODULES)])
STYLE = "\n".join(sheet.read_text("utf-8") for sheet in (OWN / "bench.css", SHARED / "looking.css", OWN / "comparing.css", OWN / "canvas.css"))
HUB = """
const bytesOf = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
class PageHub {
  constructor(root) {
    Object.assign(this, { root, view: "v", state: { strokes: [], opened: null, outline: null }, listeners: [], done: [], said: [], answers: [] });
    this.looking = new Looking(root);
  }
  on(name, listener) { this.listeners.push([name, listener]); }
  emit(name, value, buffers = []) { for (const [of, listener] of this.listeners) if (of === name) listener(value, buffers); }
  say(kind, text) { this.said.push(text); }
  show(pane) { this.pane = pane; }
  tell(name, value, ...texts) {
    if (name === "strokes") this.state.strokes = [...this.state.strokes.slice(0, value.keep), ...value.add];
    else this.state[name] = value;
    this.emit(name, value, texts.map(bytesOf));
  }
  do(action, fields = {}, buffers = []) {
    this.done.push({ action, ...fields, bytes: buffers.map((buffer) => buffer.byteLength) });
    return new Promise((resolve) => this.answers.push(() => {
      if (action === "strokes") this.tell("strokes", JSON.parse(JSON.stringify({ ...fields, by: this.view })));
      resolve({});
    }));
  }
  answer() { for (const give of this.answers.splice(0)) give(); }
}
const host = document.createElement("div");
document.body.append(host);
const root = element("div", { class: "bench" });
host.attachShadow({ mode: "open" }).append(element("style", {}, STYLE), root);
const hub = new PageHub(root);
const part = canvasPart(hub);
root.append(part.node);
const find = (selector) => root.querySelector(selector);
const digest = async () => [...new Uint8Array(await crypto.subtle.digest("SHA-256", part.painting.raster.pixels))]
  .map((byte) => byte.toString(16).padStart(2, "0")).join("");
Object.assign(globalThis, { hub, part, find, digest });
"""


BOX = "(() => { const box = find('.paint-frame').getBoundingClientRect(); return [box.left, box.top, box.width, box.height] })()"


class PaintedPage:
    """A canvas in a page, and the mask that Python makes of what was painted on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.given: Image.Image | None = None

    def open(self, *, token: int = 1, given: Image.Image | None = None, size: tuple[int, int] = SIZE) -> None:
        """Lay a picture on the bench."""
        self.given, self.size = given, size
        across, down = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
        picture = Image.fromarray(np.stack([across, down, 255 - across], 2).astype(np.uint8))
        value = {"token": token, "name": "scene", "width": size[0], "height": size[1], "has_image": True, "has_mask": bool(given), "task": None}
        self.tell("opened", value, *[encoded(one, kind) for one, kind in ((picture, "WEBP"), (given, "PNG")) if one])
        self.tell("strokes", {"keep": 0, "add": [], "count": 0, "by": None})
        self.page.until("part.painting.raster !== null")

    def tell(self, event: str, value: Any, *buffers: str) -> None:
        """Send what the kernel sends."""
        self.page.evaluate(f"hub.tell({json.dumps(event)}, ...{json.dumps([value, *buffers])})")

    @property
    def strokes(self) -> list[dict[str, Any]]:
        """What the kernel has."""
        self.page.evaluate("hub.answer()")
        return self.page.evaluate("hub.state.strokes")

    def check(self) -> np.ndarray:
        """See that page and Python have the same mask; return it."""
        white = Painted(self.size, self.given, strokes(self.strokes)).white
        self.page.evaluate("hub.answer()")
        assert self.page.evaluate("digest()") == hashlib.sha256(white.tobytes()).hexdigest()
        return white

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the picture lies on the screen, while all of it is shown."""
        left, top, width, height = self.page.evaluate(BOX)
        return left + x / self.size[0] * width, top + y / self.size[1] * height

    def click(self, label: str) -> None:
        """Press a button of the bar."""
        self.page.evaluate(f"find('button[aria-label^=\"{label}\"]').click()")

    def drag(self, *points: tuple[float, float], **more: Any) -> None:
        """Drag from point to point of the picture, with the mouse or a pen."""
        places = [self.at(*point) for point in points]
        self.page.mouse("mousePressed", *places[0], **more)
        for place in places[1:]:
            self.page.mouse("mouseMoved", *place, **more)
        self.page.mouse("mouseReleased", *places[-1], **more)

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        """Touch points of the screen, all at once."""
        self.page.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)])


def encoded(picture: Image.Image, kind: str) -> str:
    """A picture's file as text."""
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def canvas(browser, tmp_path) -> PaintedPage:
    """A page with a canvas, and a picture on it."""
    return opened(browser, tmp_path)


def opened(browser: Page, folder: Path, *, dark: bool = False, width: int = 900) -> PaintedPage:
    """Open a page with a canvas on which nothing lies."""
    file = folder / "page.html"
    file.write_text(
        "<!doctype html><meta charset=utf-8><title>paint</title><style>:root { color-scheme: light dark } body { margin: 0 }</style><body>"
    )
    browser.open(file.as_uri(), width, 800, dark=dark)
    script = f"const STYLE = {json.dumps(STYLE)};\n{SCRIPT}\n{HUB}"
    browser.evaluate(f"import(URL.createObjectURL(new Blob([{json.dumps(script)}], {{ type: 'text/javascript' }}))).then(() => null)")
    made = PaintedPage(browser)
    made.open()
    return made


def test_a_mouse_paints_what_python_paints(canvas):
    """
    What all tools paint by mouse is the mask that Python makes of the strokes that it is told.
    """
    canvas.drag((100, 100), (200, 150), (300, 120))
    assert canvas.page.evaluate("part.painting.raster.pixels.includes(1)")
    canvas.click("Eraser")
    canvas.drag((150, 100), (160, 150))
    canvas.click("Rectangle")
    canvas.drag((350, 50), (500, 200))
    canvas.click("Lasso")
    canvas.drag((100, 250), (200, 260), (180, 350), (90, 330))
    canvas.click("Take away")
    canvas.drag((400, 100), (450, 110), (430, 160))
    canvas.click("Fill")
    canvas.click("Invert")
    tools = [(one["tool"], one.get("erase")) for one in canvas.strokes]
    assert tools == [("brush", None), ("eraser", None), ("rectangle", False), ("lasso", False), ("lasso", True), ("fill", None), ("invert", None)]
    white = canvas.check()
    assert not white[100, 100]
    assert white[5, 5]
    canvas.click("Clear")
    assert not canvas.check().any()
    assert canvas.page.complaints == []


def test_undo_and_redo_are_told(canvas):
    """
    Undo takes back stroke by stroke, redo brings them again, and a new stroke forgets what could be redone.
    """
    for at in (100, 200, 300):
        canvas.drag((at, 100), (at, 200))
    painted = canvas.check()
    canvas.page.evaluate("find('.paint-frame').focus()")
    key(canvas.page, "z", 2)
    key(canvas.page, "z", 2)
    assert len(canvas.strokes) == 1
    canvas.check()
    key(canvas.page, "Z", 10)
    canvas.click("Redo")
    assert len(canvas.strokes) == 3
    assert np.array_equal(canvas.check(), painted)
    canvas.click("Undo")
    canvas.drag((50, 300), (60, 300))
    assert canvas.page.evaluate("find('button[aria-label=Redo]').disabled")
    assert len(canvas.strokes) == 3
    canvas.check()


def test_pen_and_fingers_paint_and_two_fingers_zoom(canvas):
    """
    A pen paints, one finger too; a second one takes back what the first began, and zooms instead.
    """
    canvas.drag((100, 100), (200, 150), pointerType="pen", force=0.5)
    assert len(canvas.strokes) == 1
    canvas.touch("touchStart", canvas.at(300, 100))
    canvas.touch("touchMove", canvas.at(350, 150))
    canvas.touch("touchEnd")
    assert len(canvas.strokes) == 2
    canvas.check()
    canvas.touch("touchStart", canvas.at(250, 200))
    canvas.touch("touchMove", canvas.at(260, 200))
    canvas.touch("touchStart", canvas.at(260, 200), canvas.at(340, 200))
    canvas.touch("touchMove", canvas.at(220, 200), canvas.at(380, 200))
    canvas.touch("touchEnd")
    assert len(canvas.strokes) == 2
    assert canvas.page.evaluate("hub.looking.view.zoom") > 1.5
    assert not canvas.page.evaluate("part.painting.isPainting")
    canvas.check()


def key(page: Page, name: str, modifiers: int = 0, kinds: tuple[str, ...] = ("keyDown", "keyUp")) -> None:
    """Press a key, or only hold or release it."""
    codes = {"ArrowRight": 39, "ArrowDown": 40, " ": 32, "Enter": 13, "Escape": 27}
    for kind in kinds:
        text = {"text": name} if len(name) == 1 and not modifiers & 2 and kind == "keyDown" else {}
        page.call(
            "Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=codes.get(name, ord(name.upper()[0])), modifiers=modifiers, **text
        )


def test_keys_paint(canvas):
    """
    Arrows move a point, Space paints while it is held, Enter begins and ends, Escape gives up, and keys choose tools and sizes.
    """
    canvas.page.evaluate("find('.paint-frame').focus()")
    key(canvas.page, "ArrowRight")
    key(canvas.page, " ", kinds=("keyDown",))
    for _ in range(4):
        key(canvas.page, "ArrowRight")
    key(canvas.page, " ", kinds=("keyUp",))
    [stroke] = canvas.strokes
    assert stroke["tool"] == "brush"
    assert stroke["points"][0][1] == stroke["points"][-1][1] == 200.5
    assert len(stroke["points"]) == 5
    key(canvas.page, "l")
    key(canvas.page, "Enter")
    for name in ("ArrowDown", "ArrowRight", "ArrowDown"):
        key(canvas.page, name)
    key(canvas.page, "Enter")
    assert canvas.strokes[-1]["tool"] == "lasso"
    for name in ("l", "Enter", "ArrowDown", "Escape", "b", "]", "Enter", "ArrowDown", "Escape"):
        key(canvas.page, name)
    assert len(canvas.strokes) == 2
    canvas.check()
    key(canvas.page, "Enter")
    key(canvas.page, "Enter")
    assert canvas.strokes[-1]["size"] > stroke["size"]
    canvas.check()


def test_views_come_to_the_strokes_of_the_kernel(canvas):
    """
    Strokes of another view are laid below what is being painted, and where two views paint at once, both have what the kernel made of it.
    """
    other = {"tool": "rectangle", "erase": False, "points": [[0, 0], [50, 60.5]]}
    canvas.page.mouse("mousePressed", *canvas.at(200, 200))
    canvas.page.mouse("mouseMoved", *canvas.at(300, 200))
    canvas.tell("strokes", {"keep": 0, "add": [other], "count": 1, "by": "w"})
    canvas.page.mouse("mouseReleased", *canvas.at(300, 250))
    assert [one["tool"] for one in canvas.strokes] == ["rectangle", "brush"]
    canvas.check()
    canvas.drag((400, 300), (420, 310))  # the kernel has another view's stroke before it hears of this one
    canvas.tell("strokes", {"keep": 2, "add": [other, other], "count": 4, "by": "w"})
    assert [one["tool"] for one in canvas.strokes] == ["rectangle", "brush", "brush"]
    canvas.check()


def test_the_mask_that_was_given_lies_below_the_strokes(canvas):
    """
    A mask that was opened is there pixel by pixel, and what is painted on another picture is forgotten.
    """
    canvas.drag((100, 100), (200, 150))
    canvas.check()
    size = (333, 222)
    given = Image.fromarray((np.random.default_rng(1).random(size[::-1]) < 0.3).astype(np.uint8) * 255)
    canvas.open(token=2, given=given, size=size)
    assert canvas.strokes == []
    canvas.check()
    canvas.drag((100, 100), (200, 150))
    canvas.click("Fill")
    canvas.check()


def test_a_file_comes_in_parts(canvas):
    """
    A file that is dropped is sent in parts of a mebibyte, each after the one before was taken, as a picture or as its mask.
    """
    drop = """(() => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(2500000)], "scene.png", { type: "image/png" }));
        const over = new DragEvent("dragover", { dataTransfer: data, bubbles: true, composed: true, cancelable: true });
        find(".paint").dispatchEvent(over);
        const zone = [...root.querySelectorAll(".paint-zone")][1];
        zone.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, composed: true, cancelable: true }));
    })()""".replace("root.query", "hub.root.query")
    canvas.page.evaluate(drop)
    for count in (1, 2, 3):
        canvas.page.until(f"hub.done.length === {count}")
        canvas.page.evaluate("hub.answer()")
    parts = canvas.page.evaluate("hub.done")
    assert [(one["part"], one["parts"], one["name"], one["role"], one["bytes"]) for one in parts] == [
        (0, 3, "scene.png", "mask", [1 << 20]),
        (1, 3, "scene.png", "mask", [1 << 20]),
        (2, 3, "scene.png", "mask", [2500000 - (2 << 20)]),
    ]
    assert len({one["upload"] for one in parts}) == 1


def test_what_is_pasted_is_asked_about(canvas):
    """
    A picture that is pasted where another lies is opened as what whoever pastes says, and not at all if they cancel.
    """
    paste = """(() => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(100)], "image.png", { type: "image/png" }));
        find(".paint-frame").dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, composed: true, cancelable: true }));
    })()"""
    canvas.page.evaluate(paste)
    key(canvas.page, "Escape")
    canvas.page.evaluate(paste)
    canvas.page.evaluate("[...hub.root.querySelectorAll('.paint-asking button')].find((button) => button.textContent === 'Mask').click()")
    canvas.page.until("hub.done.length > 0")
    assert [(one["role"], one["bytes"]) for one in canvas.page.evaluate("hub.done")] == [("mask", [100])]
    assert canvas.page.evaluate("find('.paint-asking').hidden")


def test_a_picture_stays_itself_in_a_larger_canvas(canvas):
    """
    In a canvas that goes beyond it, a picture is painted at its own pixels, beyond its border too, and so it is after the wheel has zoomed.
    """
    sides = {"left_px": 150, "right_px": 50, "top_px": 100, "bottom_px": 0}
    found = outlines(TASKS["outpaint"], EditSettings(mode="canvas", canvas=Canvas(**sides)), SIZE, None, SIZES)
    canvas.tell("outline", {**found.fields, "token": 1, "strokes": 0}, *[base64.b64encode(one).decode() for one in found.buffers])
    left, top, width, height = canvas.page.evaluate(BOX)
    assert width / height == pytest.approx(800 / 500, abs=0.01)

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (x + 150) / 800 * width, top + (y + 100) / 500 * height

    canvas.page.mouse("mousePressed", *at(-40, -20))
    canvas.page.mouse("mouseReleased", *at(-40, -20))
    canvas.page.mouse("mouseWheel", *at(200, 300), deltaX=0, deltaY=-240)
    canvas.page.until("hub.looking.view.zoom === 2")
    canvas.page.mouse("mousePressed", *at(200, 300))
    canvas.page.mouse("mouseReleased", *at(200, 300))
    places = [one["points"][0] for one in canvas.strokes]
    assert np.allclose(places, [[-40, -20], [200, 300]], atol=1)
    canvas.check()


def test_what_the_models_see_is_framed(canvas):
    """
    A crop has a dashed frame around its pixels, which goes with it.
    """
    canvas.click("Rectangle")
    canvas.drag((150, 100), (300, 200))
    white = canvas.check()
    settings = EditSettings(crop=Crop(padding_mask_crop=30), mask=Mask(specks="keep"))
    found = outlines(TASKS["inpaint"], settings, SIZE, Image.fromarray(white), SIZES)
    assert found.frame is not None
    buffers = [base64.b64encode(one).decode() for one in found.buffers]
    canvas.tell("outline", {**found.fields, "token": 1, "strokes": 1}, *buffers)
    box = canvas.page.evaluate(
        "(() => { const box = find('.outline.frame').getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom] })()"
    )
    left, top, right, bottom = found.frame
    assert np.allclose(box, [*canvas.at(left + 0.5, top + 0.5), *canvas.at(right - 0.5, bottom - 0.5)], atol=3)
    canvas.tell("outline", {**{name: value for name, value in found.fields.items() if name != "frame"}, "token": 1, "strokes": 1}, *buffers)
    assert canvas.page.evaluate("find('.outline.frame') === null")


def test_what_is_shown_is_where_it_lies(canvas):
    """
    The mask is drawn over the pixels it marks, zoomed and moved or not, and its outline around it.
    """
    canvas.click("Rectangle")
    canvas.drag((150, 100), (300, 200))
    white = canvas.check()
    settings = EditSettings(mask=Mask(kernel_size=41, feather_px=10))
    found = outlines(TASKS["inpaint"], settings, SIZE, Image.fromarray(white), SIZES)
    buffers = [base64.b64encode(one).decode() for one in found.buffers]
    canvas.tell("outline", {**found.fields, "token": 1, "strokes": 1}, *buffers)
    box = canvas.page.evaluate(
        "(() => { const box = find('.outline.repainted').getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom] })()"
    )
    corners = [*canvas.at(150 - 20 + 0.5, 100 - 20 + 0.5), *canvas.at(300 + 20 - 0.5, 200 + 20 - 0.5)]
    assert np.allclose(box, corners, atol=3)
    canvas.page.evaluate("hub.looking.show({ zoom: 3, x: 0.3, y: 0.35 })")
    assert shown_white(canvas) == pytest.approx(share_in(white, 3, 0.3, 0.35), abs=0.01)
    canvas.page.evaluate("hub.looking.show({ zoom: 1 })")
    assert shown_white(canvas) == pytest.approx(white.mean(), abs=0.01)


def shown_white(canvas: PaintedPage) -> float:
    """Which share of the frame the mask's tint covers, counted in what is drawn."""
    return canvas.page.evaluate("""new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => {
        const tint = find(".paint-tint");
        const { data } = tint.getContext("2d").getImageData(0, 0, tint.width, tint.height);
        let found = 0;
        for (let at = 3; at < data.length; at += 4) found += data[at] > 60;
        resolve(found / (data.length / 4));
    })))""")


def share_in(white: np.ndarray, zoom: float, x: float, y: float) -> float:
    """Which share of what is in view is white."""
    height, width = white.shape
    rows = slice(round((y - 0.5 / zoom) * height), round((y + 0.5 / zoom) * height))
    return float(white[rows, round((x - 0.5 / zoom) * width) : round((x + 0.5 / zoom) * width)].mean())


def test_a_mouse_goes_on_where_keys_have_pointed(canvas):
    """
    Pressed where nothing of it was seen since keys moved the brush, the mouse paints all of its way, by brush and by lasso.
    """
    canvas.open()
    for tool in ("b", "l"):
        canvas.page.evaluate("find('.paint-frame').focus()")
        key(canvas.page, tool)
        key(canvas.page, "ArrowRight")
        canvas.drag((100, 100), (300, 100), (300, 250), (120, 260))
        assert len(canvas.strokes[-1]["points"]) == 4
        canvas.check()
    assert [stroke["tool"] for stroke in canvas.strokes] == ["brush", "lasso"]

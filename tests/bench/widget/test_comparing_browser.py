"""The part of the bench's page that compares, in a real browser, in shadow roots, with the least of a hub."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.viewing.scripts import SHARED, joined
from tests.support.browser import IN_A_BROWSER, Page

pytestmark = IN_A_BROWSER

WIDTH, HEIGHT = 96, 64
OWN = files("sdxl_lab.bench.widget").joinpath("page")
SCRIPT = joined([*map(SHARED.joinpath, ("elements.js", "looking.js")), *map(OWN.joinpath, ("typed.js", "naming.js", "border.js", "comparing.js"))])
STYLE = "\n".join(sheet.read_text("utf-8") for sheet in (SHARED.joinpath("looking.css"), OWN.joinpath("comparing.css")))
COLORS = """:host {
  --paper: light-dark(#fff, #111); --ink: light-dark(#222, #eee); --soft: light-dark(#666, #aaa); --line: light-dark(#ddd, #333);
  --panel: light-dark(#f2f2f2, #222); --accent: light-dark(#06c, #7af); --failed: light-dark(#a22, #f99); --star: light-dark(#850, #fc4);
  color-scheme: light dark; font: 14px system-ui; display: block; width: 700px; background: var(--paper); padding: 8px;
}"""
HUB = """
const views = [];
function addView({ entries, chosen, metrics, knobs }, sources, style) {
  const host = element("div", {});
  document.body.append(host);
  const root = element("div", {});
  host.attachShadow({ mode: "open" }).append(element("style", {}, style), root);
  const listeners = [];
  const hub = {
    state: { pictures: new Map(entries.map((entry) => [entry.number, entry])), session: { metrics }, knobs },
    local: { chosen },
    looking: new Looking(root),
    on: (name, listener) => listeners.push([name, listener]),
    tell: (name, value) => { for (const [of, listener] of listeners) if (of === name) listener(value); },
    choose: (number) => { hub.local.chosen = number; hub.tell("chosen", number); },
    urlOf: async (path) => sources[path],
  };
  root.append(comparingPart(hub).node);
  const find = (selector) => root.querySelector(selector);
  const pick = (selector, value) => { find(selector).value = value; find(selector).dispatchEvent(new Event("change")); };
  views.push({ hub, root, find, pick });
}
"""


def pictures() -> dict[str, np.ndarray]:
    """The input, three tries that differ from it and from each other by little, and a mask with a corner and a hole."""
    rng = np.random.default_rng(5)
    first = rng.integers(20, 230, (HEIGHT, WIDTH, 3))
    found = {"input": first} | {name: first + rng.integers(-12, 13, first.shape) for name in ("one", "two", "three")}
    mask = np.zeros((HEIGHT, WIDTH), int)
    mask[10:40, 20:70] = 255
    mask[20:30, 40:50] = 0
    mask[50:, 80:] = 255
    return {name: picture.astype(np.uint8) for name, picture in {**found, "mask": mask}.items()}


def entry(number: int, name: str, **more: object) -> dict[str, object]:
    """A picture of the session as the page is told of it."""
    return {
        "number": number,
        "sha256": f"{number}" * 64,
        "picture_id": f"{number}" * 64,
        "file": name,
        "width": WIDTH,
        "height": HEIGHT,
        "starred": number == 1,
        "note": "",
        "task": "inpaint",
        "prompt": "a blue star <b>on</b> grass",
        "negative_prompt": "",
        "seed": number,
        "checkpoint": "pocket",
        "settings": {"denoising.guidance_scale": 3.0} if number == 2 else {},
        "metrics": {"seam_delta_e": 1.0 + number},
        "seconds": 0.5,
        "changed": [],
        "notes": [],
        "input": "input",
        "mask": "mask",
        "original": {"left": 0, "top": 0, "width": WIDTH, "height": HEIGHT},
        **more,
    }


ENTRIES = [
    entry(1, "one"),
    entry(2, "two", changed=[{"path": "denoising.guidance_scale", "before": None, "after": 3.0}]),
    entry(3, "three", note="the tip is cut", notes=["the mask is small"]),
]
METRICS = [{"name": "seam_delta_e", "unit": "ΔE", "better": "lower", "sentence": "How much the seam shows."}]


KNOBS = [
    {
        "path": "denoising.guidance_scale",
        "section": "denoising",
        "label": "Guidance",
        "kind": "number",
        "unit": "",
        "none": "none",
        "usual": 7.5,
        "shown": True,
    },
    {"path": "seed", "section": "", "label": "Seed", "kind": "seed", "unit": "", "none": "none", "usual": 0, "shown": True},
    {"path": "mask.kernel_size", "section": "mask", "label": "Dilation", "kind": "integer", "unit": "px", "none": "none", "usual": 1, "shown": True},
]


def source(picture: np.ndarray) -> str:
    """A picture as an address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@pytest.fixture
def page(browser, tmp_path) -> Iterator[Page]:
    """Two views of a session, in shadow roots of one page, in which the third picture is chosen; in the end the console is empty."""
    values = {"entries": ENTRIES, "chosen": 3, "metrics": METRICS, "knobs": {"knobs": KNOBS}}
    sources = {name: source(picture) for name, picture in pictures().items()}
    add = f"addView({json.dumps(values)}, {json.dumps(sources)}, {json.dumps(COLORS + STYLE)});"
    script = f'"use strict";{SCRIPT}{HUB}{add * 2}'.replace("</", "<\\/")
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><body style='margin:0;color-scheme:light dark'><script>{script}</script>")
    browser.open(file.as_uri(), 720, 2400)
    browser.until("views.every(view => view.find('.after img')?.complete && view.find('.before img')?.complete)")
    yield browser
    assert browser.complaints == []


def box(page: Page, selector: str, view: int = 0) -> tuple[float, float, float, float]:
    """Left, top, width and height of an element of a view."""
    script = f"(box => [box.left, box.top, box.width, box.height])(views[{view}].find('{selector}').getBoundingClientRect())"
    left, top, width, height = page.evaluate(script)
    return left, top, width, height


def seen(page: Page, folder: Path, part: tuple[float, float] = (0, 1)) -> np.ndarray:
    """The colors in a part of the first view's frame, from where and how wide in shares of it, in the middles of its pixels, without tags."""
    page.evaluate("for (const tag of views[0].root.querySelectorAll('.tag')) tag.style.visibility = 'hidden'")
    page.screenshot(folder / "seen.png")
    screen = np.asarray(Image.open(folder / "seen.png").convert("RGB")).astype(int)
    left, top, width, height = box(page, ".frame")
    left, width = left + part[0] * width, part[1] * width
    rows = (top + (np.arange(HEIGHT) + 0.5) * height / HEIGHT).astype(int)
    columns = (left + (np.arange(WIDTH) + 0.5) * width / WIDTH).astype(int)
    return screen[rows[:, None], columns]


def loaded(page: Page, file: str) -> None:
    """Wait until the first view compares with a picture."""
    page.until(f"views[0].find('.before img')?.src === {json.dumps(source(pictures()[file]))} && views[0].find('.before img').complete")


def test_the_boundary_parts_before_from_after(page, tmp_path):
    """
    Left of the boundary, wherever it is dragged or moved by keys or the slider, are the pixels of the input, right of it those of the picture.
    """
    before, after = pictures()["input"], pictures()["three"]
    left, top, width, height = box(page, ".frame")
    page.drag((left + width / 2, top + height / 2), (left + width / 4, top + height / 3))
    page.evaluate("views[0].find('.frame').focus()")
    page.press("ArrowRight")
    split = page.evaluate("views[0].hub.looking.view.split")
    assert split == pytest.approx(26, abs=0.5)
    assert page.evaluate("[Number(views[0].find('input[type=range]').value), views[1].hub.looking.view.split]") == [round(split), 50]
    colors, edge = seen(page, tmp_path), int(split / 100 * WIDTH)
    assert np.array_equal(colors[:, : edge - 3], before[:, : edge - 3])
    assert np.array_equal(colors[:, edge + 3 :], after[:, edge + 3 :])
    page.evaluate("(range => { range.value = 100; range.dispatchEvent(new Event('input')) })(views[0].find('input[type=range]'))")
    assert np.array_equal(seen(page, tmp_path)[:, :-3], before[:, :-3])


@pytest.mark.parametrize("gain", [1, 4, 16])
def test_a_difference_is_that_of_the_pixels(page, tmp_path, gain):
    """
    Compared by difference, each pixel is the absolute difference of both, times what is chosen, up to white; the boundary is gone.
    """
    page.evaluate(f"views[0].pick('.by', '{gain}')")
    first, second = (pictures()[name].astype(int) for name in ("input", "three"))
    assert np.array_equal(seen(page, tmp_path), np.minimum(255, gain * abs(first - second)))
    assert not page.evaluate("views[0].find('.boundary').checkVisibility() || views[0].find('.of-boundary').checkVisibility()")
    assert page.evaluate("views[1].find('.boundary').checkVisibility()")


def test_side_by_side_both_show_the_same_place(page, tmp_path):
    """
    The left half of a frame twice as wide shows all of the input, the right half all of the picture; both zoom to where the pointer is in one.
    """
    before, after = pictures()["input"], pictures()["three"]
    page.evaluate("views[0].pick('.by', 'beside')")
    left, top, width, height = box(page, ".frame")
    assert width / height == pytest.approx(2 * WIDTH / HEIGHT, rel=0.01)
    assert np.array_equal(seen(page, tmp_path, (0, 0.5)), before)
    assert np.array_equal(seen(page, tmp_path, (0.5, 0.5)), after)
    page.mouse("mouseWheel", left + width * 5 / 8, top + height / 2, deltaX=0, deltaY=-480, modifiers=2)
    page.until("views[0].hub.looking.view.zoom === 4")
    assert page.evaluate("[views[0].hub.looking.view.x, views[0].hub.looking.view.y]") == pytest.approx([0.25 + 0.25 / 4, 0.5], abs=0.01)
    assert page.evaluate("new Set([...views[0].root.querySelectorAll('.lens')].map(lens => getComputedStyle(lens).transform)).size") == 1
    page.drag((left + width / 4, top + height / 2), (left + width / 4 - width / 16, top + height / 2))
    assert page.evaluate("views[0].hub.looking.view.x") == pytest.approx(0.25 + 0.25 / 4 + 0.125 / 4, abs=0.01)
    assert not page.evaluate(
        "views[0].find('.of-boundary').checkVisibility() || views[1].find('.frame').clientWidth > views[0].find('.frame').clientWidth"
    )


def test_tags_say_which_picture_is_where(page):
    """
    The sides are named by number or as the input, in each way of comparing; of a difference, what is taken from what; alone, a picture needs none.
    """
    tags = "[...views[0].root.querySelectorAll('.tag')].filter(tag => tag.checkVisibility()).map(tag => tag.textContent)"
    assert set(page.evaluate(tags)) == {"before: input", "after: 3"}
    page.evaluate("views[0].pick('.against', '1')")
    loaded(page, "one")
    assert set(page.evaluate(tags)) == {"before: 1", "after: 3"}
    page.evaluate("views[0].pick('.by', 'beside')")
    sides = "['.before .tag', '.after .tag'].map(side => views[0].find(side).getBoundingClientRect())"
    assert page.evaluate(f"(([before, after]) => before.right < after.left && before.top === after.top)({sides})")
    page.evaluate("views[0].pick('.by', '4')")
    assert page.evaluate(tags) == ["difference: 3 \u2212 1"]
    page.evaluate("views[0].pick('.against', '')")
    page.until("!views[0].find('.before')")
    assert page.evaluate(tags) == []


def test_any_other_picture_can_be_before(page):
    """
    The others are offered by number, star and what is otherwise about them; numbers stand beside those of the one that is picked, which goes along.
    """
    texts = page.evaluate("[...views[0].find('.against').options].map(option => option.textContent)")
    assert texts == ["its input", "the picture before it", "nothing", "2: Seed 2 · Guidance 3", "1 ★: Seed 1"]
    page.evaluate("views[0].pick('.against', '1')")
    loaded(page, "one")
    rows = page.evaluate("[...views[0].root.querySelectorAll('.numbers tr')].map(row => [...row.cells].map(cell => cell.textContent))")
    assert rows[:2] == [["", "before", "after", "difference"], ["seam_delta_e\u00a0↓", "2\u00a0ΔE", "4\u00a0ΔE", "+2\u00a0ΔE"]]
    page.evaluate("views[0].find('.frame').focus()")
    page.press("PageUp")
    page.until("views[0].find('h3').textContent.startsWith('2 ·')")
    assert page.evaluate("views[0].find('.against').value") == "1"
    page.evaluate("views[0].pick('.against', 'previous')")
    loaded(page, "one")
    page.evaluate("views[0].hub.choose(3)")
    loaded(page, "two")
    page.evaluate("views[0].pick('.against', '')")
    page.until("!views[0].find('.before')")
    assert not page.evaluate("views[0].find('.by').checkVisibility()")
    assert page.evaluate("views[1].find('h3').textContent.startsWith('3 ·') && !!views[1].find('.before')")


def test_two_views_are_looked_at_apart(page):
    """
    Both layers of a view zoom and move as one, by the wheel with Ctrl, keys and dragging; the other view on the page stays as it was.
    """
    transforms = "(view => [...new Set([...view.root.querySelectorAll('.lens')].map(lens => getComputedStyle(lens).transform))])"
    page.evaluate("views[0].find('.outlined').click()")
    page.until("!!views[0].find('.outlines')")
    left, top, width, height = box(page, ".frame")
    page.mouse("mouseWheel", left + width / 4, top + height / 4, deltaX=0, deltaY=-480)
    assert page.evaluate("views[0].hub.looking.view.zoom") == 1
    page.mouse("mouseWheel", left + width / 4, top + height / 4, deltaX=0, deltaY=-480, modifiers=2)
    page.until("views[0].hub.looking.view.zoom === 4")
    [zoomed] = page.evaluate(f"{transforms}(views[0])")
    page.drag((left + width / 4, top + height / 2), (left + width / 8, top + height / 2))
    page.evaluate("views[0].find('.frame').focus()")
    page.press("ArrowDown", shift=True)
    [moved] = page.evaluate(f"{transforms}(views[0])")
    assert moved != zoomed
    assert page.evaluate(f"{transforms}(views[1])") == ["matrix(1, 0, 0, 1, 0, 0)"]
    page.evaluate("views[1].find('.frame').focus()")
    page.press("+")
    assert page.evaluate("views.map(view => view.hub.looking.view.zoom)") == [4, 1.25]
    assert page.evaluate("views.map(view => view.find('output').textContent)") == ["4\u00d7", "1.3\u00d7"]


def test_what_was_repainted_is_outlined(page, tmp_path):
    """
    The outline runs along each side of a pixel of the mask whose neighbor is not in the mask, once, and is seen there.
    """
    page.evaluate("views[0].pick('.against', '')")
    page.evaluate("views[0].find('.outlined').click()")
    page.until("views[0].find('.outlines path') && !views[0].find('.before')")
    lines = re.findall(r"M(\d+) (\d+)([hv])(\d+)", page.evaluate("views[0].find('.outline').getAttribute('d')"))
    drawn = [(int(x) + step * (way == "h"), int(y) + step * (way == "v"), way) for x, y, way, length in lines for step in range(int(length))]
    inside = np.pad(pictures()["mask"] > 0, 1)
    sides = [
        (x, y, way)
        for y in range(HEIGHT + 1)
        for x in range(WIDTH + 1)
        for way, other in (("h", inside[y, x + 1]), ("v", inside[y + 1, x]))
        if inside[y + 1, x + 1] != other
    ]
    assert sorted(drawn) == sorted(sides)
    page.screenshot(tmp_path / "outlined.png")
    left, top, width, height = box(page, ".frame")
    corner = Image.open(tmp_path / "outlined.png").convert("RGB").getpixel((round(left + width * 45 / WIDTH), round(top + height * 10 / HEIGHT)))
    assert min(corner) > 180


def test_words_are_text_and_what_is_gone_is_not_shown(page):
    """
    Prompt, note and remarks stand there to the letter; without a chosen picture the part says so and offers nothing.
    """
    texts = page.evaluate("['.prompt', '.said', '.remark'].map(selector => views[0].find(selector).textContent)")
    assert texts == ["a blue star <b>on</b> grass", "the tip is cut", "the mask is small"]
    page.evaluate("views[0].hub.choose(2)")
    assert page.evaluate("['h4', 'dl'].map(part => views[0].find('.facts ' + part).textContent)") == ["Changed since picture 1", "Guidance7.5 → 3"]
    assert page.evaluate("views[0].find('.facts dt span').title") == "denoising.guidance_scale"
    page.evaluate("views[0].hub.state.pictures.clear(), views[0].hub.tell('pictures', { changed: [], gone: [1, 2, 3] })")
    assert page.evaluate("[views[0].find('.empty'), views[0].find('.stage'), views[0].find('header')].map(part => part.checkVisibility())") == [
        True,
        False,
        False,
    ]

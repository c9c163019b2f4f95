"""The history of a bench's page in a real browser, with the real desk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from sdxl_lab import Bench
from sdxl_lab.bench.widget.desk import Desk
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.viewing.scripts import SHARED, joined
from tests.support import sessions
from tests.support.bench_page import BenchPage, bench_page
from tests.support.browser import IN_A_BROWSER, Page

pytestmark = IN_A_BROWSER

MODULES = ("frontend.js", "hub.js", "typed.js", "naming.js", "windows.js", "sweeping.js", "deeds.js", "thumbnails.js", "history.js")
STYLES = ("bench.css", "history.css")
ALONE = """
function initialize({ model }) {
  const host = document.querySelector("sdxl-lab-bench");
  const node = element("div", { class: "bench" });
  host.attachShadow({ mode: "open" }).append(element("style", {}, STYLE), node);
  const hub = globalThis.hub = new Hub(model, node);
  hub.host = host;
  node.append(historyPart(hub).node);
  return hub.begin();
}
export default { initialize };
"""
"""The history as the only part of a view."""

SCROLLED = """(async () => {
  const [list, images] = [deep(".history-list"), deepAll(".history-list img")];
  const scrolled = globalThis.scrolled = { isOver: false, tasks: [[], []] };
  let time = 0;
  const frame = () => new Promise(requestAnimationFrame);
  // Not where the image is: whatever is out of sight would be laid out to tell.
  const isBlank = (image) => !image.src && image.closest("li").offsetTop < list.scrollTop + list.clientHeight;
  const note = (tasks) => scrolled.tasks[time].push(...tasks.getEntries().map((task) => task.duration));
  new PerformanceObserver(note).observe({ type: "longtask" });
  for (time of [0, 1]) {
    for (list.scrollTop = 0; list.scrollTop + list.clientHeight < list.scrollHeight - 1; list.scrollTop += 100) {
      do await frame(); while (images.some(isBlank));
    }
  }
  scrolled.isOver = true;
})(), null"""
"""From end to end, waiting for what is in sight, and once more with all there; how long the page's tasks took that took long, the first time while
Python drew the pictures on the same cores."""


@pytest.fixture
def session(tmp_path: Path, monkeypatch) -> SessionFolder:
    """A session of six pictures, the third starred, in the lab that is worked in."""
    monkeypatch.chdir(tmp_path)
    session = sessions.begun_in(tmp_path, tracking="off")
    kept = [sessions.add(session, "a blue star on grass", seed=seed, guidance_scale=3.0 + seed // 2) for seed in range(6)]
    session.star(kept[2], starred=True)
    return session


@contextmanager
def history_of(session: SessionFolder, browser: Page) -> Iterator[BenchPage]:
    """The page of a session's history, whose bench has nothing on it."""
    own = files("sdxl_lab.bench.widget.page")
    style = "".join((own / name).read_text() for name in STYLES)
    modules = [*(SHARED / name for name in ("elements.js", "looking.js")), *(own / name for name in MODULES)]
    with bench_page(browser, f"const STYLE = {json.dumps(style)};\n{joined(modules)}\n{ALONE}") as shown:
        shown.connect(Desk(Bench.on(session), shown.send, lambda: None).receive)
        shown.until(f"deepAll('.history-list li').length === {session.count}")
        yield shown
    assert browser.complaints == []


@pytest.fixture
def shown(session: SessionFolder, browser: Page) -> Iterator[BenchPage]:
    """The session's history, open."""
    with history_of(session, browser) as shown:
        yield shown


def numbers(shown: BenchPage) -> list[int]:
    """The pictures that are in sight, in their order."""
    return shown.page.evaluate("deepAll('.history-list li').filter(item => item.offsetParent).map(item => Number(item.dataset.number))")


def press(shown: BenchPage, text: str, inside: str = ".history") -> None:
    """Press the button with this text."""
    shown.page.evaluate(
        f"deepAll({json.dumps(inside + ' button')}).find(button => button.textContent === {json.dumps(text)}).dataset.pressed = 'now'"
    )
    shown.page.click_on(f"{inside} button[data-pressed]")
    shown.page.evaluate("deepAll('[data-pressed]').forEach(button => { delete button.dataset.pressed; })")


def focus(shown: BenchPage, number: int) -> None:
    """Go to a picture's place in the list."""
    shown.page.evaluate(f"deep('li[data-number=\"{number}\"] .pick').focus()")


def marks(session: SessionFolder) -> dict[int, tuple[bool, str]]:
    """Star and note of each picture, as the disk has them."""
    return {kept.number: (kept.is_starred, kept.note) for kept in SessionFolder(session.path).pictures()}


def test_the_latest_picture_comes_first_and_each_says_what_changed(shown):
    """Numbers go down; beside each stands what was asked otherwise than for the one before, and nothing else."""
    assert numbers(shown) == [6, 5, 4, 3, 2, 1]
    captions = shown.page.evaluate("deepAll('.history-list .caption').map(caption => caption.textContent)")
    assert captions == [
        "6 Seed 4 → 5", "5 Seed 3 → 4 · Guidance 4 → 5", "4 Seed 2 → 3", "3 Seed 1 → 2 · Guidance 3 → 4", "2 Seed 0 → 1",
        "1 a blue star on grass",
    ]  # fmt: skip
    shown.until("deepAll('.history-list img').every(image => image.naturalWidth === 128)")


def test_a_click_chooses_and_a_button_brings_back(shown):
    """The chosen picture is looked at; brought back, what it was made from lies on the bench, with what was asked for it."""
    shown.page.click_on('li[data-number="2"] .pick')
    shown.until("hub.local.chosen === 2 && hub.local.pane === 'look' && deep('.chosen strong').textContent === 'Picture 2'")
    assert shown.page.evaluate("hub.state.opened.has_image") is False
    shown.page.evaluate("hub.show('look'), hub.on('said', said => { globalThis.heard = said; })")
    shown.page.click_on('li[data-number="4"] .pick')
    shown.page.evaluate("deepAll('button').find(button => button.innerText === 'Bring back').click()")
    shown.until("hub.state.opened.has_image && hub.state.opened.has_mask && hub.state.asked.seed === 3")
    shown.until("hub.local.pane === 'paint' && globalThis.heard")
    assert shown.page.evaluate("heard") == {"kind": "note", "text": "Picture 4 and its settings are on the bench again."}
    assert shown.page.evaluate("[hub.state.asked.prompt, hub.state.asked['denoising.guidance_scale'], hub.local.chosen]") == [
        "a blue star on grass",
        4,
        4,
    ]


def test_the_keyboard_reaches_everything(shown, session):
    """Arrows move through the list, Enter chooses, s stars and takes the star away; a tab leads into the list and out of it."""
    focus(shown, 6)
    shown.page.press("ArrowRight", "ArrowRight", "ArrowLeft", "Enter")
    shown.until("hub.local.chosen === 5")
    shown.page.press("End", "s", "Home", "s", "ArrowRight", "ArrowRight", "ArrowRight", "s")
    shown.until("deepAll('.history-list .starred').map(item => item.dataset.number).join() === '6,1'")
    assert [number for number, (is_starred, _) in marks(session).items() if is_starred] == [1, 6]
    shown.page.press("Tab")
    assert shown.page.evaluate("deep('.history-list').contains(deep('sdxl-lab-bench').shadowRoot.activeElement)") is False
    shown.page.press("Tab", shift=True)
    assert shown.page.evaluate("deep('sdxl-lab-bench').shadowRoot.activeElement.closest('li').dataset.number") == "3"


def test_starred_ones_alone_are_shown_and_reported(shown, session):
    """The filter leaves the starred ones in sight, which are then what is compared and reported."""
    press(shown, "☆", 'li[data-number="5"]')
    shown.until("deepAll('.history-list .starred').length === 2")
    shown.page.click_on(".history input[type=checkbox]")
    assert numbers(shown) == [5, 3]
    press(shown, "Compare starred")
    shown.until("deep('.told')?.textContent.includes('tried-3') && deep('.told').textContent.includes('tried-5')")
    assert not re.search(r"tried-[1246]\b", shown.page.evaluate("deep('.told').textContent"))
    shown.page.press("Escape")
    shown.until("!deep('dialog')")
    press(shown, "Report of starred")
    shown.until("deep('.told')?.textContent.endsWith('starred.html')")
    assert session.starred_file.is_file()
    press(shown, "Close", "dialog")
    shown.page.click_on(".history input[type=checkbox]")
    assert numbers(shown) == [6, 5, 4, 3, 2, 1]


def test_a_note_is_written_where_the_picture_is(shown, session):
    """What somebody writes is kept with Enter, stands beside the picture, and is not disturbed by what comes meanwhile."""
    shown.page.click_on('li[data-number="4"] .pick')
    shown.page.click_on(".note")
    shown.page.type("too <b>small")
    sessions.add(session, "a blue star on grass", seed=9)
    shown.until("deepAll('.history-list li').length === 7")
    assert shown.page.evaluate("deep('.note').value") == "too <b>small"
    shown.page.press("Enter")
    shown.until("deep('li[data-number=\"4\"] .caption i')?.textContent === ' too <b>small'")
    assert marks(session)[4] == (False, "too <b>small")
    assert shown.page.evaluate("deep('li[data-number=\"4\"] .pick').title").startswith("Note: too <b>small\n")
    shown.page.click_on('li[data-number="3"] .pick')
    shown.until("deep('.note').value === ''")


def test_a_deleted_picture_can_be_made_again(shown, session):
    """Delete asks once, and Escape keeps the picture; deleted, its neighbor is chosen, and what made it can be asked for again."""
    shown.page.click_on('li[data-number="4"] .pick')
    shown.page.press("Delete", "Escape")
    shown.until("!deep('dialog')")
    assert len(session.pictures()) == 6
    shown.page.press("Delete")
    press(shown, "Delete", "dialog")
    shown.until("deepAll('.history-list li').length === 5 && hub.local.chosen === 3")
    assert [kept.number for kept in session.pictures()] == [1, 2, 3, 5, 6]
    assert shown.page.evaluate("deep('.deleted').textContent") == "Picture 4 was deleted. Make again"
    assert shown.page.evaluate("deep('sdxl-lab-bench').shadowRoot.activeElement.closest('li').dataset.number") == "3"


def ask_for_sweep(shown: BenchPage, number: int) -> None:
    """Open the form of a sweep around a picture."""
    shown.page.click_on(f'li[data-number="{number}"] .pick')
    press(shown, "Sweep file…")
    shown.until("deep('.axis')")


def set_axis(shown: BenchPage, row: int, path: str) -> None:
    """Choose the setting of a row of the sweep's form."""
    shown.page.evaluate(f"(select => {{ select.value = '{path}'; select.dispatchEvent(new Event('change')) }})(deepAll('.axis select')[{row}])")


def type_values(shown: BenchPage, row: int, text: str, field: str = "input") -> None:
    """Type the values of a row of the sweep's form, in place of those that are there."""
    shown.page.evaluate(f"(field => {{ field.focus(); field.select(); }})(deepAll('.axis')[{row}].querySelector('{field}'))")
    shown.page.type(text)


def test_a_sweep_begins_with_the_setting_that_was_turned_last(shown):
    """Offered are settings by their labels, with the section of those that share one, words last; examples are the setting's own values."""
    ask_for_sweep(shown, 4)
    names = shown.page.evaluate("[...deep('.axis select').options].map(option => option.textContent)")
    assert names[-2:] == ["Prompt", "Negative prompt"]
    assert {"Guidance (denoising)", "Guidance (refiner)", "Scheduler"} <= set(names)
    assert len(set(names)) == len(names)
    assert "Task" not in names
    assert shown.page.evaluate("deep('.axis select').value") == "denoising.guidance_scale"  # turned for picture 3; for 4 the seed alone
    examples = []
    for path in ("denoising.guidance_scale", "denoising.num_inference_steps", "denoising.scheduler"):
        set_axis(shown, 0, path)
        examples.append(shown.page.evaluate("deep('.axis input').placeholder"))
    assert examples == ["0, 7.5, 15", "1, 51, 100", "euler, euler_a, ddim, dpmpp_2m"]


def test_a_sweep_file_is_written_around_a_picture(shown, session):
    """The values that somebody types become the sweep's grid, numbers as numbers, large seeds to the last digit; how many runs they make is said."""
    ask_for_sweep(shown, 4)
    assert shown.page.evaluate("deep('.axis small').textContent").startswith("Now 4.")
    type_values(shown, 0, "3, 5,7.5")
    assert shown.page.evaluate("deep('.runs').textContent") == "3 runs"
    for row, (path, text) in enumerate([("seed", "random(4)"), ("prompt", "a red, round star"), ("mask.feather_px", "0-8 [3]")], 1):
        press(shown, "Another setting", "dialog")
        set_axis(shown, row, path)
        type_values(shown, row, text, "textarea" if path == "prompt" else "input")
    assert shown.page.evaluate("deep('.runs').textContent") == "3 \u00d7 4 \u00d7 1 \u00d7 3 = 36 runs"
    shown.page.evaluate("deepAll('.axis .remove')[3].click()")
    type_values(shown, 1, "18446744073709551615, 7")
    assert shown.page.evaluate("deep('.runs').textContent") == "3 \u00d7 2 \u00d7 1 = 6 runs"
    shown.page.press("Enter")
    shown.until("deep('.told')?.textContent.includes('sdxl-lab sweep')")
    [file] = (session.path / "sweeps").glob("*.yaml")
    assert str(file) in shown.page.evaluate("deep('.told').textContent")
    assert yaml.safe_load(file.read_text())["grid"] == {
        "hyperparameters.denoising.guidance_scale": [3, 5, 7.5],
        "hyperparameters.seed": [2**64 - 1, 7],
        "hyperparameters.prompt": ["a red, round star"],
    }
    shown.page.press("Escape")


def test_a_form_says_what_is_wrong_and_keeps_what_was_typed(shown, session):
    """What the kernel refuses stands in the form, which stays as it was until its values are right; the view is left alone."""
    shown.page.evaluate(
        "{ const ask = hub.do.bind(hub); hub.do = (...asked) => { if (asked[0] === 'sweep') globalThis.latest = asked; return ask(...asked); }; }"
    )
    ask_for_sweep(shown, 4)
    shown.page.press("Enter")
    shown.until("deep('.fault').textContent.startsWith('Write the values of a setting')")
    type_values(shown, 0, "3, much")
    shown.page.press("Enter")
    shown.until("deep('.fault').checkVisibility() && deep('.fault').textContent.includes('much')")
    assert shown.page.evaluate("[deep('.axis input').value, latest[0], latest[3]]") == ["3, much", "sweep", {"says": False}]
    assert not (session.path / "sweeps").exists()
    type_values(shown, 0, "3, 4")
    shown.page.press("Enter")
    shown.until("deep('.told')?.textContent.includes('sdxl-lab sweep')")
    shown.page.press("Escape")


def test_parameters_are_shown_where_no_notebook_takes_them(shown):
    """Outside of JupyterLab they can be read and copied: the lines of a parameters cell."""
    shown.page.click_on('li[data-number="2"] .pick')
    press(shown, "Parameters cell")
    shown.until("deep('.told')?.textContent.includes(\"name = 'tried-2'\")")
    assert "'prompt': 'a blue star on grass'" in shown.page.evaluate("deep('.told').textContent")


def test_a_refusal_is_said_and_the_button_can_be_pressed_again(shown, session):
    """What the kernel refuses reaches the view's messages, and nothing stays disabled."""
    shown.page.evaluate("hub.on('said', ({ kind, text }) => { (globalThis.heard ??= []).push([kind, text]) })")
    shown.page.click_on('li[data-number="2"] .pick')
    shown.page.click_on(".note")
    shown.page.type("key " + "sk-" + "a1B2c3D4" * 4)
    shown.page.press("Enter")
    shown.until("globalThis.heard?.[0][0] === 'error'")
    assert "looks like an API key" in shown.page.evaluate("heard[0][1]")
    assert shown.page.evaluate("deepAll('.chosen button:disabled').length") == 0
    assert marks(session)[2] == (False, "")


def test_three_hundred_pictures_are_scrolled_without_a_long_task(tmp_path, monkeypatch, browser):
    """Of 300 pictures of 264 pixels only those in sight are drawn and loaded, and no task of the page takes more than 50 ms once they are."""
    monkeypatch.chdir(tmp_path)
    session = sessions.long(tmp_path, 300, side_px=264)
    with history_of(session, browser) as shown:
        shown.until("deep('.history-list img').naturalWidth === 192")
        drawn = len(list(session.thumbnails_folder.glob("*.webp")))
        assert 20 < drawn < 120
        shown.page.evaluate(SCROLLED)
        shown.until("scrolled.isOver")
        shown.until("deepAll('.history-list img').every(image => image.naturalWidth === 192)")
        assert len(list(session.thumbnails_folder.glob("*.webp"))) == 300
        loading, again = shown.page.evaluate("scrolled.tasks")
        assert max([0, *loading]) < 200
        assert again == []

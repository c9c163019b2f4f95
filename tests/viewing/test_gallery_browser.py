"""The gallery of a report in a real browser: sessions, and runs with one long line of pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.viewing.report import write_report
from tests.support import browser as support
from tests.support import report_runs, sessions
from tests.support.browser import IN_A_BROWSER, Page, chromium

pytestmark = IN_A_BROWSER

NOTE = "the tip is cut </p><b>bold</b>"
SHOWN = "[...document.querySelectorAll('#gallery .after img')].map(image => image.dataset.sha256)"
BOXES = "[...document.querySelectorAll('#gallery figure')].map(figure => (box => [box.left, box.top, box.right])(figure.getBoundingClientRect()))"
LOADED = "document.querySelectorAll('#gallery img').length && [...document.images].every(image => image.complete)"


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> SessionFolder:
    """Twelve tries: of words alone the last, the third starred and with a note."""
    session = sessions.begun(tmp_path_factory.mktemp("runs"))
    for number in range(1, 13):
        changed = {"guidance_scale": 3.0} if number in (5, 6) else {"task": "text_to_image"} if number == 12 else {}
        kept = sessions.add(session, seed=number, **changed)
        if number == 3:
            session.star(kept, starred=True)
            session.note(kept, NOTE)
    write_report([session], session.report_file)
    return session


def figure(page: Page, number: int, selector: str) -> list[str]:
    """The texts of some elements of a picture's figure."""
    return page.evaluate(
        f"[...document.querySelectorAll('#gallery li:nth-child({number}) {selector}')].map(found => found.textContent + (found.ariaLabel ?? ''))"
    )


@pytest.mark.parametrize("width", [700, 1600])
def test_a_session_opens_as_a_gallery(session, browser, width):
    """
    Its pictures are there in the order of making, in rows that fit the window, with number, star, note, seed and words; what changed stands out.
    """
    browser.open(session.report_file.as_uri(), width=width, dark=width < 1000)
    browser.until(LOADED)
    kept = session.pictures()
    assert browser.evaluate(SHOWN) == [one.recorded.sha256 for one in kept]
    boxes = browser.evaluate(BOXES)
    across = sum(top == boxes[0][1] for _, top, _ in boxes)
    assert across >= 3
    assert max(right for _, _, right in boxes) <= width
    assert boxes == sorted(boxes, key=lambda box: (box[1], box[0]))
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    for one in kept:
        assert figure(browser, one.number, ".head") == [f"{one.number}{'★' if one.is_starred else ''}"]
        assert figure(browser, one.number, ".words") == [one.recorded.prompt]
        assert f"seed {one.number}" in figure(browser, one.number, ".parts span")
    assert figure(browser, 3, ".star") == ["★starred"]
    assert figure(browser, 3, ".said") == [NOTE]
    assert figure(browser, 5, ".changed") == ["seed 5", "guidance_scale 3"]
    assert figure(browser, 6, ".changed") == ["seed 6"]
    assert figure(browser, 12, ".changed") == ["text_to_image", "seed 12"]
    assert {url for url in browser.requests if not url.startswith("data:image/webp;base64,")} == {session.report_file.as_uri()}
    assert browser.complaints == []


def test_what_was_not_asked_of_a_picture_is_not_said_of_it(tmp_path, browser):
    """
    Where one picture of a session was read by compel, the others' words name no version of it, nor does the picture's after it.
    """
    session = sessions.begun(tmp_path)
    for number, prompt in enumerate(("a star", "a (blue)1.4 star", "a star"), 1):
        sessions.add(session, prompt, seed=number, prompt_syntax="compel")
    write_report([session], session.report_file)
    browser.open(session.report_file.as_uri())
    browser.until(LOADED)
    parts = [[part.partition(" ")[0] for part in figure(browser, number, ".parts span")] for number in (1, 2, 3)]
    assert parts == [["seed"], ["seed", "compel"], ["seed"]]


def test_a_scrollbar_at_the_side_makes_no_other_one(session, tmp_path, monkeypatch):
    """
    Where a scrollbar takes some of the window's width, the page takes the rest and does not scroll sideways.
    """
    monkeypatch.setattr(support, "FLAGS", [flag for flag in support.FLAGS if flag != "--hide-scrollbars"])
    with chromium(tmp_path / "profile") as page:
        page.open(session.report_file.as_uri(), width=800)
        page.until(LOADED)
        seen = page.evaluate("document.documentElement.clientWidth")
        assert seen < 800
        assert page.evaluate("document.documentElement.scrollWidth") == seen


def test_a_gallery_is_filtered_compared_and_walked_through(session, browser):
    """
    The starred can be looked at alone; arrows move among neighbors; the boundary shows the mask or the picture before; axes are a choice.
    """
    browser.open(session.report_file.as_uri())
    browser.until(LOADED)
    kept = session.pictures()
    browser.evaluate("document.querySelector('#gallery button').focus()")
    across = browser.evaluate(f"{BOXES}.filter((box, _, all) => box[1] === all[0][1]).length")
    browser.press("ArrowRight", "ArrowDown")
    assert browser.evaluate("Number(document.activeElement.dataset.picture)") == 1 + across
    browser.press("ArrowLeft", "Enter")
    browser.until("viewer.open")
    assert browser.evaluate("viewed.index") == across
    assert browser.evaluate("find('viewer-title').textContent").startswith(f"{across + 1} · a blue star")
    browser.press("PageDown", "Escape")
    browser.until("!viewer.open && Number(document.activeElement.dataset.picture) === " + str(across + 1))
    browser.evaluate("find('compare').value = 'previous', find('compare').dispatchEvent(new Event('change'))")
    before = browser.evaluate(SHOWN.replace(".after", ".before"))
    assert before == [one.recorded.sha256 for one in kept[:-1]]
    browser.evaluate("find('compare').value = 'mask', find('compare').dispatchEvent(new Event('change'))")
    assert len(browser.evaluate(SHOWN.replace(".after", ".before"))) == len(kept) - 1
    browser.evaluate("find('starred').click()")
    assert browser.evaluate(SHOWN) == [kept[2].recorded.sha256]
    browser.evaluate("find('starred').click()")
    browser.evaluate("find('layout').value = 'table', find('layout').dispatchEvent(new Event('change'))")
    assert browser.evaluate("[table.checkVisibility(), find('gallery').checkVisibility(), find('x').checkVisibility()]") == [True, False, True]
    assert browser.evaluate("table.querySelectorAll('.open').length") > 1
    browser.evaluate("find('layout').value = 'gallery', find('layout').dispatchEvent(new Event('change'))")
    assert browser.evaluate("[table.checkVisibility(), find('gallery').checkVisibility(), find('x').checkVisibility()]") == [False, True, False]
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert not browser.evaluate("find('bar').checkVisibility()")
    assert max(right for _, _, right in browser.evaluate(BOXES)) <= 1280
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.complaints == []


def test_one_long_line_of_pictures_is_wrapped_and_paged(tmp_path, browser):
    """
    A run of 130 pictures from words, one a prompt, opens as a gallery with prompts and names; over its pages each picture is there once.
    """
    words = tuple((f"number {number}", "text_to_image", f"a red lamp {number}", 0) for number in range(130))
    resolved = report_runs.planned(tmp_path, 5.0, 10, None, words, size={"aspect": "1:1"})
    run = RunFolder.of(resolved)
    with run.open(resolved):
        for index, edit in enumerate(run.pending()):
            made = report_runs.drawn(edit, 16)
            made.image.putpixel((0, 0), (index, 0, 0))
            run.add_picture(edit, replace(made, input_image=None, mask_image=None, seam_image=None), {})
        run.finish()
    browser.open(write_report([run], tmp_path / "report.html", most_embedded_bytes=1000).as_uri())
    browser.until(LOADED)
    assert figure(browser, 1, ".head") == ["number 0"]
    assert figure(browser, 1, ".words") == ["a red lamp 0"]
    seen = browser.evaluate(SHOWN)
    assert len(seen) < 130
    browser.evaluate("document.querySelector('[data-turn=\"1\"]').click()")
    seen += browser.evaluate(SHOWN)
    assert seen == [picture.sha256 for picture in run.pictures()]
    assert browser.evaluate("document.querySelector('[data-turn=\"1\"]').disabled")
    assert browser.complaints == []

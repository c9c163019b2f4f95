"""How pictures of a report are looked at, in a real browser: before and after, zoomed, large, one after the other."""

from __future__ import annotations

import pytest

from sdxl_lab.viewing.report import write_report
from tests.support import report_runs
from tests.support.browser import IN_A_BROWSER
from tests.support.report_page import CELLS, choose, digests, key, tab_to

pytestmark = IN_A_BROWSER

TRANSFORMS = "[...new Set([...document.querySelectorAll('#grid .lens')].map(lens => getComputedStyle(lens).transform))]"
SPLITS = "[...new Set([...document.querySelectorAll('.before')].map(layer => getComputedStyle(layer).clipPath))]"


def test_the_boundary_moves_by_keyboard_and_mouse(page):
    """
    Arrows and dragging move the boundary between before and after, in the large picture and in all of the table; before is the input.
    """
    tab_to(page, "focused.matches('#grid .open')")
    page.press("Enter")
    value = "Number(find('viewer-split').value)"
    assert page.evaluate("document.activeElement.id") == "viewer-split"
    assert page.evaluate("document.querySelector('#stage .before img').dataset.sha256 === viewed.input")
    page.press(*["ArrowRight"] * 10)
    assert page.evaluate(value) == 60
    assert page.evaluate(SPLITS) == ["inset(0px 40% 0px 0px)"]
    left, top, width, height = page.box("#stage .frame")
    page.drag((left + width * 0.6, top + height / 2), (left + width * 0.25, top + height / 3))
    assert abs(page.evaluate(value) - 25) <= 1
    page.press("Escape")
    choose(page, "compare", "the input")
    assert len(page.evaluate("[...document.querySelectorAll('#grid .before')]")) == len(page.evaluate(CELLS))
    tab_to(page, "focused.id === 'split'")
    page.press("Home", *["ArrowRight"] * 3)
    assert page.evaluate(SPLITS) == ["inset(0px 97% 0px 0px)"]
    left, top, width, height = page.box("#grid tr:last-child .frame")
    page.drag((left + 20, top + height / 2), (left + width / 2, top + height / 2))
    assert abs(page.evaluate("looking.view.split") - 50) <= 1
    assert len(page.evaluate(SPLITS)) == 1
    assert not page.evaluate("viewer.open")


def test_a_difference_is_shown_in_the_table_too(page):
    """
    What is chosen in the large picture holds for all pictures: without a boundary, what is before laid over, its difference as many times as chosen.
    """
    page.evaluate("find('compare').value = 'input', find('compare').dispatchEvent(new Event('change')), openViewer(order()[0])")
    tab_to(page, "focused.matches('#stage .by')")
    page.press("ArrowDown", "ArrowDown", "ArrowDown")
    assert page.evaluate("[...document.querySelectorAll('.by')].map(select => select.selectedOptions[0].textContent)") == ["difference \u00d74"] * 2
    frames = page.evaluate("[...document.querySelectorAll('.frame')].map(frame => getComputedStyle(frame).filter)")
    assert len(frames) > 1
    assert set(frames) == {"brightness(4)"}
    styles = "[...document.querySelectorAll('.before')].map(layer => getComputedStyle(layer))"
    assert page.evaluate(f"[...new Set({styles}.map(style => `${{style.mixBlendMode}} ${{style.clipPath}}`))]") == ["difference none"]
    controls = "[...document.querySelectorAll('.boundary, .of-boundary')].filter(control => control.checkVisibility()).length"
    said = "document.querySelector('.of-difference').checkVisibility()"
    assert page.evaluate(f"[{controls}, {said}]") == [0, True]
    page.press("Home")
    assert page.evaluate(f"[{controls} > 0, {said}]") == [True, False]


def test_pictures_stand_side_by_side_in_the_table_too(page):
    """
    Every frame is then twice as wide for its height, its halves are what is before and what is after, and the large one is within the stage.
    """
    page.evaluate("find('compare').value = 'input', find('compare').dispatchEvent(new Event('change')), openViewer(order()[0])")
    shapes = "[...document.querySelectorAll('.compared')].map(frame => frame.clientWidth / frame.clientHeight)"
    before = page.evaluate(shapes)
    tab_to(page, "focused.matches('#stage .by')")
    page.press("ArrowDown")
    assert len(before) > 1
    assert page.evaluate(shapes) == pytest.approx([2 * shape for shape in before], rel=0.03)
    boxes = "(selector => (({ left, right, bottom }) => [left, right, bottom])(document.querySelector(selector).getBoundingClientRect()))"
    stage, frame, half, other = (page.evaluate(f"{boxes}('#stage-frame{below}')") for below in ("", " .frame", " .before", " .after"))
    assert [half[1], other[0]] == pytest.approx([(frame[0] + frame[1]) / 2] * 2, abs=0.1)
    assert stage[0] <= frame[0] < frame[1] <= stage[1]
    assert frame[2] <= stage[2]
    assert not page.evaluate("document.querySelector('#stage .of-boundary').checkVisibility()")


def test_another_run_can_be_before(page, runs):
    """
    In the large picture any other run of the sample and task can be chosen as before, in the table any other column.
    """
    expected = digests(runs[0])
    choose(page, "compare", "guidance_scale 5")
    for labels, sha256 in page.evaluate(CELLS.replace(".after", ".before")):
        assert sha256 == expected[key(labels | {"denoising.guidance_scale": "5"})]
    tab_to(page, "focused.matches('#grid .open')")
    page.press("Enter")
    texts = page.evaluate("[...find('before').options].map(option => option.textContent)")
    assert len(texts) == 2 + 10  # input, mask, and the eleven pictures of this sample and task that were made, but for itself
    choose(page, "before", texts[5])
    shown, other = page.evaluate("[document.querySelector('#stage .before img').dataset.sha256, find('before').value]")
    assert page.evaluate(f"report.pictures[{other}].sha256") == shown
    assert page.evaluate("[...find('facts').querySelectorAll('thead th')].map(cell => cell.textContent)") == ["", "before", "after", "difference"]


def test_zoom_is_the_same_in_all_pictures(page):
    """
    Keys, the slider and the wheel zoom all pictures alike, around the pointer where there is one; Shift and arrows, or dragging, move all of them.
    """
    assert page.evaluate(TRANSFORMS) == ["matrix(1, 0, 0, 1, 0, 0)"]
    tab_to(page, "focused.id === 'zoom'")
    page.press(*["ArrowRight"] * 20)
    assert page.evaluate("looking.view.zoom") == 2
    page.press("+")
    assert page.evaluate("looking.view.zoom") == 2.5
    [_] = page.evaluate(TRANSFORMS)
    page.press("0")
    assert page.evaluate(TRANSFORMS) == ["matrix(1, 0, 0, 1, 0, 0)"]
    left, top, width, height = page.box("#grid .frame")
    page.mouse("mouseWheel", left + width / 4, top + height / 4, deltaX=0, deltaY=-480, modifiers=2)
    page.until("looking.view.zoom === 4")
    # The point under the pointer stays: a quarter across and down.
    assert page.evaluate("[looking.view.x + (0.25 - 0.5) / looking.view.zoom, looking.view.y + (0.25 - 0.5) / looking.view.zoom]") == pytest.approx(
        [0.25, 0.25], abs=0.01
    )
    page.drag((left + width / 2, top + height / 2), (left + width / 4, top + height / 2))
    assert page.evaluate("looking.view.x") > 0.35
    [moved] = page.evaluate(TRANSFORMS)
    page.press("ArrowDown", shift=True)
    assert page.evaluate(TRANSFORMS) != [moved]
    assert page.evaluate("document.querySelectorAll('#grid img').length") > 1
    page.evaluate("openViewer(order()[0])")
    left, top, width, height = page.box("#stage .frame")
    page.mouse("mouseWheel", left + width / 2, top + height / 2, deltaX=0, deltaY=240)
    page.until("looking.view.zoom === 2")


def test_pictures_are_reached_by_arrows(page):
    """
    Arrows move the focus between neighbors, missing points included; Page down turns to the next picture of the large view.
    """
    tab_to(page, "focused.matches('#grid .open')")
    position = "[document.activeElement.closest('td').cellIndex, document.activeElement.closest('tr').sectionRowIndex]"
    assert page.evaluate(position) == [1, 0]
    page.press("ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp")
    assert page.evaluate(position) == [3, 0]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.press("ArrowLeft", "Enter")
    first = page.evaluate("viewed.index")
    page.press("PageDown")
    assert page.evaluate("viewed.index") != first
    page.press("PageUp")
    assert page.evaluate("viewed.index") == first


def test_a_large_picture_moves_no_page(runs, browser):
    """
    Opened after scrolling down and right, the large picture is all in the window, and the page stays where it was, then and after closing.
    """
    browser.open(runs[1].as_uri(), width=700, height=600)
    browser.evaluate("find('size').value = '512', find('size').dispatchEvent(new Event('change'))")
    browser.evaluate("[...table.querySelectorAll('.open')].at(-1).scrollIntoView({ block: 'center', inline: 'center' })")
    place = browser.evaluate("[scrollX, scrollY]")
    assert min(place) > 100
    left, top = browser.evaluate(
        "(box => [box.left + box.width / 2, box.top + box.height / 2])([...table.querySelectorAll('.open')].at(-1).getBoundingClientRect())"
    )
    browser.click(left, top)
    browser.until("viewer.open")
    assert browser.evaluate("[scrollX, scrollY]") == place
    left, top, right, bottom = browser.evaluate("(box => [box.left, box.top, box.right, box.bottom])(viewer.getBoundingClientRect())")
    assert 0 <= left < right <= 700
    assert 0 <= top < bottom <= 600
    browser.press("Escape")
    browser.until("!viewer.open && document.activeElement.matches('.open')")
    assert browser.evaluate("[scrollX, scrollY]") == place


def test_one_object_has_one_size(tmp_path, browser):
    """
    Whatever was added around it, what a picture started from is as wide in all columns, lies under itself, and is zoomed at one point.
    """
    sides = (8, 64, 128)
    runs = [
        report_runs.recorded(
            report_runs.planned(tmp_path, 2.0, 10, None, report_runs.WORDS[1:2], outpaint={"mode": "canvas", "canvas": {"left_px": side}})
        )
        for side in sides
    ]
    browser.open(write_report(runs, tmp_path / "report.html").as_uri())
    places = "(kind => [...table.querySelectorAll(kind)].map(image => (box => [box.left, box.right])(image.getBoundingClientRect())))"
    widths = [(right - left) * 128 / (128 + side) for side, (left, right) in zip(sides, browser.evaluate(f"{places}('.after img')"), strict=True)]
    assert widths == pytest.approx([widths[0]] * 3, rel=0.01)
    choose(browser, "compare", "left_px 64")
    browser.until("[...document.images].every(image => image.complete)")
    after, before = browser.evaluate(f"[{places}('.after img'), {places}('.before img')]")
    scale = widths[0] / 128
    for (left, right), (other_left, other_right), side in zip([after[0], after[2]], before, [8, 128], strict=True):
        assert other_right == pytest.approx(right, abs=0.5)
        assert other_left + 64 * scale == pytest.approx(left + side * scale, abs=0.5)
    browser.evaluate("looking.show({ zoom: 4, x: 0.4 })")
    frames, after = browser.evaluate(f"[{places}('.frame'), {places}('.after img')]")
    for (left, right), (frame_left, frame_right), side in zip(after, frames, sides, strict=True):
        assert left + (right - left) * (side + 0.4 * 128) / (side + 128) == pytest.approx((frame_left + frame_right) / 2, abs=0.5)


def test_back_closes_the_large_picture(page):
    """
    The browser's Back closes the large picture and leaves the page where it is; closed by hand, it leaves nothing to go back over.
    """
    tab_to(page, "focused.matches('#grid .open')")
    page.call("Page.resetNavigationHistory")  # a browser remembers 50 entries, which other tests may have made
    length = page.evaluate("history.length")
    page.press("Enter")
    page.until("viewer.open && history.state")
    page.evaluate("history.back()")
    page.until("!viewer.open && !history.state && document.activeElement.matches('#grid .open')")
    page.press("Enter")
    page.until("viewer.open && history.state")
    page.press("Escape")
    page.until("!viewer.open && !history.state")
    assert page.evaluate("history.length") == length + 1  # what Forward would lead to
    assert page.evaluate("document.title") == "three"

"""A report in a real browser, opened from the disk."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.viewing.report import write_report
from tests.support import report_runs
from tests.support.browser import CHROMIUM, Page, chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; on Debian: sudo apt-get install chromium"),
]

EARLIER = next(Path(__file__).parents[1].glob("releases/0.1.0/*/spec.json")).parent
WHERE = """(cell => {
    const labels = {}, x = find('x'), y = find('y');
    for (const select of document.querySelectorAll('#pickers select')) labels[select.title] = select.selectedOptions[0].textContent;
    labels[x.value] = table.tHead.rows[0].cells[cell.cellIndex].textContent;
    labels[y.value] = cell.parentElement.cells[0].textContent;
    return labels;
})"""
CELLS = f"[...table.querySelectorAll('td .after img')].map(image => [{WHERE}(image.closest('td')), image.dataset.sha256])"
GAPS = f"[...table.querySelectorAll('td .gap')].map(gap => [{WHERE}(gap.closest('td')), gap.className, gap.textContent])"
PIXELS = """(async selector => {
    const image = document.querySelector(selector);
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return btoa(String.fromCharCode(...context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, index) => index % 4 < 3)));
})"""
TRANSFORMS = "[...new Set([...document.querySelectorAll('#grid .lens')].map(lens => getComputedStyle(lens).transform))]"
SPLITS = "[...new Set([...document.querySelectorAll('.before')].map(layer => getComputedStyle(layer).clipPath))]"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[list[RunFolder], Path]:
    """A sweep over three settings with a failed and a missing point, and its report."""
    folder = tmp_path_factory.mktemp("runs") / "three"
    runs, missing = report_runs.sweep_of_three(folder)
    return runs, write_report(runs, folder / "report.html", missing=missing)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """A browser."""
    # Not below pytest's own folder: chromium may still write to its profile when it is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as page:
        yield page


@pytest.fixture
def page(runs, browser) -> Iterator[Page]:
    """The report, open; in the end nothing was asked of anybody, and the console is empty."""
    browser.open(runs[1].as_uri())
    browser.until("document.querySelectorAll('#grid img').length && [...document.images].every(image => image.complete)")
    yield browser
    assert {url for url in browser.requests if not url.startswith("data:image/webp;base64,")} == {runs[1].as_uri()}
    assert browser.complaints == []


def digests(runs: list[RunFolder]) -> dict[tuple[str, ...], str]:
    """Digest of each picture, by its values on all axes as texts."""
    found = {}
    for run in runs:
        edits = {edit.key: edit for edit in run.resolved.edits}
        for picture in run.pictures():
            denoising = edits[picture.key].settings.denoising
            frac = "none" if denoising.high_noise_frac is None else str(denoising.high_noise_frac)
            found[*picture.key[:2], f"{denoising.guidance_scale:g}", str(denoising.num_inference_steps), frac] = picture.sha256
    return found


def key(labels: dict[str, str]) -> tuple[str, ...]:
    """What a cell's labels say, in the order of `digests`."""
    names = ("sample", "task", "denoising.guidance_scale", "denoising.num_inference_steps", "denoising.high_noise_frac")
    return tuple(labels[name] for name in names)


def tab_to(page: Page, condition: str) -> None:
    """Press Tab until something holds for the element that has the focus."""
    for _ in range(60):
        page.press("Tab")
        if page.evaluate(f"(focused => {condition})(document.activeElement)"):
            return
    pytest.fail(f"no Tab gets to {condition}")


def choose(page: Page, select: str, text: str) -> None:
    """Choose an option by its text, with Tab and arrows."""
    tab_to(page, f"focused.id === {json.dumps(select)} || focused.title === {json.dumps(select)}")
    page.press("Home")
    for _ in range(20):
        if page.evaluate("document.activeElement.selectedOptions[0].textContent") == text:
            return
        page.press("ArrowDown")
    pytest.fail(f"{select} does not offer {text}")


def test_every_choice_by_keyboard_shows_the_pictures_of_those_settings(page, runs):
    """
    Whichever axes and values are picked with Tab and arrows, each cell shows the very pixels recorded for the settings that its labels name.
    """
    expected = digests(runs[0])
    choices: list[list[tuple[str, str]]] = [
        [],
        [("x", "high_noise_frac"), ("y", "guidance_scale")],
        [("denoising.num_inference_steps", "30"), ("task", "outpaint")],
        [("x", "sample"), ("y", "num_inference_steps"), ("denoising.guidance_scale", "9"), ("denoising.high_noise_frac", "0.8")],
        [("y", "task"), ("denoising.high_noise_frac", "none")],
    ]
    for picks in choices:
        for select, text in picks:
            choose(page, select, text)
        cells = page.evaluate(CELLS)
        assert cells
        for labels, sha256 in cells:
            assert expected[key(labels)] == sha256
            pixels = base64.b64decode(page.evaluate(f"{PIXELS}('#grid [data-sha256=\"{sha256}\"]')"))
            assert hashlib.sha256(pixels).hexdigest() == sha256


def test_failed_and_missing_points_say_so(page, runs):
    """
    Over all choices, exactly the pictures that no record holds are shown as failed, with the reason, or as missing.
    """
    made, seen = digests(runs[0]), {}
    page.evaluate("setAxes('denoising.guidance_scale', 'denoising.num_inference_steps')")
    for frac in (0, 1):
        for sample in (0, 1):
            for task in (0, 1):
                picks = {"denoising.high_noise_frac": frac, "sample": sample, "task": task}
                page.evaluate(f"Object.entries({json.dumps(picks)}).forEach(([path, value]) => chosen.picks.set(path, value)), draw()")
                seen |= {key(labels): (kind, text) for labels, kind, text in page.evaluate(GAPS)}
    assert not seen.keys() & made.keys()
    assert len(seen.keys() | made.keys()) == 48
    failed = {labels for labels, (kind, _) in seen.items() if kind == "gap failed"}
    assert {labels[2:] for labels in failed} == {("5", "30", "0.8")}
    assert {seen[labels][1] for labels in failed} == {f"failed{report_runs.WHY.splitlines()[0]}"}
    assert {labels[2:] for labels in seen.keys() - failed} == {("9", "10", "none")}
    assert all(seen[labels] == ("gap missing", "missingnot made yet") for labels in seen.keys() - failed)
    assert "41 made, 3 failed, 4 missing" in page.evaluate("find('summary').textContent")
    page.evaluate("setAxes('run', 'task'); chosen.picks.set('sample', 1); draw(); table.querySelector('.gap.failed').click()")
    assert page.evaluate("find('stage-frame').textContent") == f"failed{report_runs.WHY}"


def test_a_prompt_is_text(page):
    """
    A prompt that ends a script and begins another is shown to the letter, and runs nothing.
    """
    tab_to(page, "focused.matches('#grid .open')")
    page.press("Enter")
    assert page.evaluate("viewer.open && find('facts').querySelector('.prompt').textContent") == report_runs.HOSTILE
    assert page.evaluate("document.title") == "three"
    assert page.evaluate("document.scripts.length") == 2
    page.press("Escape")
    assert page.evaluate("!viewer.open && document.activeElement.matches('#grid .open')")


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


def test_unlike_runs_open_where_most_pictures_are(tmp_path, browser):
    """
    Of runs that share few samples, tasks and settings, a run of 0.1.0 among them, the table that opens holds as many pictures as any choice does.
    """
    words = {task: tuple((f"{task} {number}", task, "a lamp", number) for number in range(4)) for task in ("inpaint", "outpaint")}
    canvas = {"outpaint": {"mode": "canvas", "canvas": {"left_px": 8}}}
    planned = [
        report_runs.planned(tmp_path, 2.0, 10, None, words["inpaint"][:1] + words["outpaint"][:3]),
        report_runs.planned(tmp_path, 5.0, 30, 0.8, words["inpaint"][:1]),
        report_runs.planned(tmp_path, 9.0, 10, None, words["outpaint"], **canvas),
    ]
    folders = [report_runs.recorded(resolved, side_px=32) for resolved in planned] + [RunFolder(EARLIER)]
    browser.open(write_report(folders, tmp_path / "report.html").as_uri())
    outpainted = sum(edit.task == "outpaint" for run in folders for edit in run.resolved.edits)
    assert len(browser.evaluate(CELLS)) == outpainted == 12
    browser.evaluate("setAxes('denoising.guidance_scale', null)")
    assert browser.evaluate(CELLS)


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


def test_a_metric_says_what_it_is(page):
    """
    Under a picture and beside it stand the metrics with unit and direction, and a sentence for the pointer; those that are alike are not shown.
    """
    names = "(where => [...document.querySelectorAll(where)].map(name => [name.textContent, name.title]))"
    first, *_ = page.evaluate(f"{names}('#grid dt .metric')")
    assert first[0] == "seam_delta_e\u00a0↓"
    assert "just noticeable" in first[1]
    assert first[1].endswith("Lower is better.")
    assert {name for name, _ in page.evaluate(f"{names}('#grid dt .metric')")} == {"seam_delta_e\u00a0↓", "steps\u00a0↓"}
    assert page.evaluate("table.querySelector('dd').textContent").endswith("\u00a0ΔE")
    page.evaluate("openViewer(order()[0])")
    rows = page.evaluate("[...document.querySelectorAll('#facts tbody tr')].map(row => row.textContent)")
    assert "peak_memory_bytes2560\u00a0MiB" in rows
    assert any(row.startswith("ssim_outside\u00a0↑0.9") for row in rows)


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


def test_notes_and_the_picture_id_stand_beside_the_prompt(tmp_path, browser):
    """
    What is to be said of a picture stands below its prompt, in full, and its id beside the seed and, whole, with the run; Hebrew runs from the right.
    """
    words = (("octopus", "inpaint", "אב octopus", 5),)
    resolved = report_runs.planned(tmp_path, 2.0, 10, None, words)
    [edit] = resolved.edits
    run = RunFolder.of(resolved)
    with run.open(resolved):
        note = "the prompt has 93 tokens & 32 are read: <b>“a helmet”</b> is left out"
        picture = run.add_picture(edit, report_runs.drawn(edit), {"seam_delta_e": 1.0}, [note])
        run.finish()
    browser.open(write_report([run], tmp_path / "report.html").as_uri())
    browser.evaluate("openViewer(order()[0])")
    assert browser.evaluate("[...document.querySelectorAll('#facts > .note')].map(note => note.textContent)") == [note]
    facts = browser.evaluate("find('facts').textContent")
    assert picture.picture_id
    assert f"seed 5, picture {picture.picture_id[:10]}" in facts
    assert f"picture_id{picture.picture_id}" in facts
    assert browser.evaluate("getComputedStyle(document.querySelector('#facts .prompt')).direction") == "rtl"
    left, right, edge = browser.evaluate(
        "(box => [box.left, box.right, viewer.getBoundingClientRect().right])(document.querySelector('#facts .note').getBoundingClientRect())"
    )
    assert left < right < edge
    assert browser.complaints == []


def test_on_paper_all_columns_are_there(page):
    """
    Printed, also from a dark screen, all columns lie on the page in dark ink, without controls.
    """
    page.call("Emulation.setDeviceMetricsOverride", width=700, height=900, deviceScaleFactor=1, mobile=False)
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    try:
        assert page.evaluate("Math.max(...[...table.querySelectorAll('figure')].map(figure => figure.getBoundingClientRect().right))") <= 700
        assert not page.evaluate("find('bar').checkVisibility() || find('axes').checkVisibility()")
        assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()") == "#1d1f21"
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_what_is_operable_has_a_name(page):
    """
    Every control has a name for those who cannot see it, as the browser computes it, and texts stand out from the paper in light and dark.
    """
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "combobox", "slider", "checkbox", "dialog", "DisclosureTriangle")
    found = [node for node in nodes if node.get("role", {}).get("value") in roles and not node.get("ignored")]
    assert len(found) > 10
    assert [node for node in found if not node.get("name", {}).get("value")] == []
    for dark in (False, True):
        page.open(page.evaluate("location.href"), dark=dark)
        colors = page.evaluate("""['--ink', '--soft', '--failed', '--accent', '--paper'].map(name => {
            const value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
            return [1, 3, 5].map(start => parseInt(value.slice(start, start + 2), 16));
        })""")
        *inks, paper = map(luminance, colors)
        assert all((max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5 for ink in inks)


def luminance(color: list[int]) -> float:
    """Relative luminance by WCAG 2.2, of red, green and blue from 0 to 255."""
    linear = [part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in color]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_policy_holds(runs, browser):
    """
    A script that got into the page all the same could reach nobody, and could bring no other script: the browser refuses, and says so.
    """
    browser.open(runs[1].as_uri())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        browser.evaluate(f"fetch('{address}').catch(() => 0); new Image().src = '{address}'; 0")
        browser.evaluate("""(() => { const script = document.createElement('script'); script.append('document.title = "taken"');
            try { document.body.append(script) } catch {} })()""")
        deadline = time.monotonic() + 20
        while len(browser.complaints) < 3 and time.monotonic() < deadline:
            browser.evaluate("0")
        assert len(browser.complaints) >= 3
        listener.settimeout(0.5)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert browser.evaluate("document.title") == "three"


def test_many_pictures_are_paged(tmp_path, browser):
    """
    Of 52 pictures, no more than 48 are on a page; over all pages each picture appears once. A report with its pictures beside it asks for them only.
    """
    words = tuple((f"sample {number}", "inpaint", "a lamp", number) for number in range(26))
    runs = [report_runs.recorded(report_runs.planned(tmp_path, guidance, 10, None, words), side_px=32) for guidance in (2.0, 5.0)]
    path = write_report(runs, tmp_path / "report.html", most_embedded_bytes=1000)
    browser.open(path.as_uri())
    seen = [browser.evaluate(CELLS)]
    while browser.evaluate("!document.querySelector('[data-turn=\"1\"]').disabled"):
        tab_to(browser, "focused.dataset.turn === '1'")
        browser.press("Enter")
        seen.append(browser.evaluate(CELLS))
    browser.until("[...document.images].every(image => image.complete && image.naturalWidth === 32)")
    assert max(map(len, seen)) <= 48
    shown = [sha256 for cells in seen for _, sha256 in cells]
    assert sorted(shown) == sorted(picture.sha256 for run in runs for picture in run.pictures())
    assert {Path(url).parent for url in browser.requests} == {
        Path(path.as_uri()).parent,
        Path(path.as_uri()).with_suffix("").parent / "report-pictures",
    }
    assert browser.complaints == []


WORDS = tuple((sample, "text_to_image", f"a red {sample}", seed) for sample, seed in (("octopus", 7), ("cup", 2**63)))
OPTIONS = "[...find('{}').options].map(option => option.textContent)"


def drawn_from_words(edit: Edit) -> Generated:
    """
    A picture without input and mask.
    """
    return replace(report_runs.drawn(edit), input_image=None, mask_image=None, seam_image=None)


def from_words(runs_folder: Path, guidance: float) -> RunFolder:
    """
    A run of two pictures from words, recorded.
    """
    resolved = report_runs.planned(runs_folder, guidance, 10, None, WORDS, size={"aspect": "1:1"})
    run = RunFolder.of(resolved)
    with run.open(resolved):
        for edit in run.pending():
            run.add_picture(edit, drawn_from_words(edit), {})
        run.finish()
    return run


@pytest.mark.parametrize("guidances", [(5.0,), (2.0, 5.0)])
def test_pictures_from_words_have_no_before(browser, tmp_path, guidances):
    """
    Without input and mask, the pictures are shown, alone and large; nothing is offered to compare them with but each other; nobody complains.
    """
    runs = [from_words(tmp_path / "words", guidance) for guidance in guidances]
    browser.open(write_report(runs, tmp_path / "report.html").as_uri())
    browser.until("document.querySelectorAll('#grid img').length && [...document.images].every(image => image.complete)")
    shown = {sha256 for _, sha256 in browser.evaluate(CELLS)}
    assert shown == {picture.sha256 for run in runs for picture in run.pictures()}
    assert browser.evaluate("document.querySelectorAll('#grid .before').length") == 0
    offered = browser.evaluate(OPTIONS.format("compare"))
    assert not [text for text in offered if "input" in text or "mask" in text]
    tab_to(browser, "focused.matches('#grid .open')")
    browser.press("Enter")
    browser.until("viewer.open && [...document.images].every(image => image.complete)")
    assert browser.evaluate(OPTIONS.format("before")) == [f"guidance_scale {guidance:g}" for guidance in guidances[1:]]
    shows_before = "[...viewer.querySelectorAll('.of-before')].map(control => control.checkVisibility())"
    assert browser.evaluate(shows_before) == [len(guidances) > 1] * 3
    facts = browser.evaluate("find('facts').textContent")
    assert "a red " in facts
    assert not [word for word in ("mask", "canvas", "denoising.strength", "undefined", "NaN") if word in facts]
    browser.screenshot(tmp_path / "large.png")
    browser.press("Escape")
    browser.screenshot(tmp_path / "table.png")
    assert browser.complaints == []

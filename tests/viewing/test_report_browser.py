"""A report in a real browser, opened from the disk."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.edit import Edit
from sdxl_lab.spec.generated import Generated
from sdxl_lab.viewing.report import write_report
from tests.support import report_runs
from tests.support.browser import IN_A_BROWSER
from tests.support.report_page import CELLS, WHERE, choose, digests, key, tab_to

pytestmark = IN_A_BROWSER

EARLIER = next(Path(__file__).parents[1].glob("releases/0.1.0/*/spec.json")).parent
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

"""What is looked for in a report, in a real browser: filtered, sorted, in several tables, marked, copied, linked to, compared by turns."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.settings.arguments import read_file
from sdxl_lab.viewing.onward import parameters_of
from tests.support.browser import IN_A_BROWSER, Page
from tests.support.report_page import LOADED

pytestmark = IN_A_BROWSER

SHOWN = "[...document.querySelectorAll('main .after img')].map(image => image.dataset.sha256)"
CHIPS = "[...document.querySelectorAll('#chips button')].map(chip => chip.firstChild.textContent)"
LEFT = "find('left').textContent"


def made(runs: list[RunFolder]) -> dict[str, dict]:
    """Of each picture that was made, by the digest of its pixels: its settings and metrics, as the records have them."""
    found = {}
    for run in runs:
        edits = {edit.key: edit for edit in run.resolved.edits}
        for picture in run.pictures():
            edit = edits[picture.key]
            denoising = edit.settings.denoising
            found[picture.sha256] = {
                "prompt": edit.prompt,
                "guidance": denoising.guidance_scale,
                "steps": denoising.num_inference_steps,
                "frac": denoising.high_noise_frac,
                "place": picture.key[:2],
                **picture.metrics,
            }
    return found


def choose(page: Page, select: str, value: str) -> None:
    """Choose an option by its value, as a hand does, the focus being on the select."""
    page.evaluate(f"""(select => {{ select.focus(); select.value = {json.dumps(value)};
        select.dispatchEvent(new Event('change', {{ bubbles: true }})) }})(find({json.dumps(select)}))""")


def narrowed(page: Page, path: str, sign: str, value: str) -> None:
    """Add a filter by keyboard, in the form."""
    page.evaluate("find('narrow').open = true")
    choose(page, "filter-by", path)
    if path != "~":
        choose(page, "filter-sign", sign)
    if sign == "=":
        choose(page, "filter-value", value)
        page.press("Tab", "Enter")
    else:
        page.evaluate(f"find('{'filter-words' if sign == '~' else 'filter-number'}').focus()")
        page.type(value)
        page.press("Enter")


def test_filters_leave_what_the_records_say(page, runs):
    """
    By words, settings and a metric, the gallery holds the very pictures for which all hold; each chip says one of them, and comes off by keyboard.
    """
    records = made(runs[0])
    choose(page, "layout", "gallery")
    narrowed(page, "~", "~", "A LIBRARY")
    narrowed(page, "denoising.guidance_scale", "=", "2")
    narrowed(page, "denoising.guidance_scale", "=", "9")
    narrowed(page, "seam_delta_e", ">=", "1")
    assert page.evaluate(CHIPS) == ["prompt has “A LIBRARY”", "guidance_scale 2", "guidance_scale 9", "seam_delta_e at least 1\u00a0ΔE"]
    expected = {sha256 for sha256, it in records.items() if "a library" in it["prompt"] and it["guidance"] in (2, 9) and it["seam_delta_e"] >= 1}
    assert set(page.evaluate(SHOWN)) == expected != set()
    assert page.evaluate(LEFT) == f"{len(expected)} of 48 pictures"
    page.evaluate("find('chips').querySelector('button').focus()")
    page.press("Delete")
    assert page.evaluate("document.activeElement.firstChild.textContent") == "guidance_scale 2"
    page.press("Enter")
    assert page.evaluate(CHIPS) == ["guidance_scale 9", "seam_delta_e at least 1\u00a0ΔE"]
    assert set(page.evaluate(SHOWN)) == {sha256 for sha256, it in records.items() if it["guidance"] == 9}
    page.press("Enter", "Enter")
    assert page.evaluate(f"[{CHIPS}.length, {LEFT}, document.activeElement.id]") == [0, "", "filter-by"]


def test_a_table_shows_what_filters_leave(page, runs):
    """
    In a table, what is left out has no picture, and a choice with nothing left gives way to one with something; with nothing at all, this is said.
    """
    narrowed(page, "denoising.guidance_scale", "=", "5")
    shown = page.evaluate(SHOWN)
    records = made(runs[0])
    assert shown
    assert {records[sha256]["guidance"] for sha256 in shown} == {5}
    narrowed(page, "~", "~", "café")
    assert page.evaluate(SHOWN)
    assert {records[sha256]["place"] for sha256 in page.evaluate(SHOWN)} == {("café au lait", "outpaint")}
    narrowed(page, "~", "~", "nowhere")
    assert page.evaluate(SHOWN) == []
    assert "take one off" in page.evaluate("find('empty').textContent")


def test_pictures_are_sorted_best_first(page, runs):
    """
    Sorted by a metric the pictures stand in one line, where it is better first, or the other way around; what has none of it comes last.
    """
    records = made(runs[0])
    page.evaluate("find('narrow').open = true")
    choose(page, "sort", "ssim_outside")
    numbers = [records[sha256]["ssim_outside"] for sha256 in page.evaluate(SHOWN)]
    assert len(numbers) == len(records) == 41
    assert numbers == sorted(numbers, reverse=True)
    assert page.evaluate("[...document.querySelectorAll('#gallery li')].slice(41).every(item => item.querySelector('.gap'))")
    page.evaluate("find('direction').click()")
    numbers = [records[sha256]["ssim_outside"] for sha256 in page.evaluate(SHOWN)]
    assert numbers == sorted(numbers)
    under = page.evaluate("[...document.querySelectorAll('#gallery li dl')].map(list => list.textContent)")
    assert len(under) == 41
    assert all("ssim_outside" in text for text in under), "what pictures are sorted by stands under them"
    choose(page, "sort", "denoising.num_inference_steps")
    assert not any("ssim_outside" in text for text in page.evaluate("[...document.querySelectorAll('#gallery li dl')].map(list => list.textContent)"))
    steps = [records[sha256]["steps"] for sha256 in page.evaluate(SHOWN)]
    assert steps == sorted(steps)


def test_a_third_axis_makes_a_table_of_each_value(page, runs):
    """
    Tables by a third setting: one for each value, named by it, beside each other, with the picture of all three values in each cell.
    """
    records = made(runs[0])
    choose(page, "z", "denoising.high_noise_frac")
    x, y, z = page.evaluate("[chosen.x, chosen.y, chosen.z]")
    assert {x, y, z} == {"denoising.guidance_scale", "denoising.num_inference_steps", "denoising.high_noise_frac"}
    named = page.evaluate("""[...document.querySelectorAll('.grid')].flatMap(grid => [...grid.querySelectorAll('.after img')].map(image => {
        const cell = image.closest('td');
        const labels = [grid.caption, grid.tHead.rows[0].cells[cell.cellIndex], cell.parentElement.cells[0]];
        return [image.dataset.sha256, ...labels.map(label => label.textContent)];
    }))""")
    short = {"denoising.guidance_scale": "guidance", "denoising.num_inference_steps": "steps", "denoising.high_noise_frac": "frac"}
    for sha256, *labels in named:
        it = records[sha256]
        told = [f"{it[short[path]]:g}" if it[short[path]] else "none" for path in (z, x, y)]
        assert labels == [f"high_noise_frac {told[0]}", *told[1:]]
    here = [it for it in records.values() if it["place"] == ("octopus", "inpaint")]
    assert len(named) == len(here) == 11
    boxes = page.evaluate("[...document.querySelectorAll('.grid')].map(it => it.getBoundingClientRect()).map(box => [box.left, box.right, box.top])")
    assert len(boxes) == 2
    assert boxes[0][1] <= boxes[1][0] < boxes[1][1] <= 1280
    assert boxes[0][2] == boxes[1][2]
    choose(page, "compare", "z:0")
    assert page.evaluate("document.querySelectorAll('.grid .before').length") == 5
    page.evaluate("document.querySelectorAll('.grid')[1].querySelector('.open').focus()")
    page.press("ArrowRight", "Enter")
    page.until("viewer.open")
    assert page.evaluate("[viewed.at[axes.get(chosen.z).index], viewed.at[axes.get(chosen.x).index]]") == [1, 1]
    page.press("Escape")
    choose(page, "z", "")
    assert page.evaluate("[document.querySelectorAll('.grid').length, document.querySelectorAll('.grid .before').length]") == [1, 0]


def downloaded(page: Page, folder: Path, button: str, name: str) -> str:
    """What a button downloads."""
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.click_on(button)
    deadline = time.monotonic() + 20
    while not (folder / name).is_file():
        assert time.monotonic() < deadline, f"no {name} was downloaded"
        time.sleep(0.05)
    return (folder / name).read_text("utf-8")


def test_marked_pictures_are_taken_along(page, runs, tmp_path):
    """
    M marks what has the focus or is seen large, the button too; marks outlast the page, filter it, and are downloaded as records' own ids and paths.
    """
    page.evaluate("document.querySelector('#grid .open').focus()")
    page.press("m", "ArrowRight", "Enter")
    page.until("viewer.open")
    page.press("*")
    assert page.evaluate("find('viewer-mark').ariaPressed") == "true"
    page.press("PageDown")
    assert page.evaluate("find('viewer-mark').ariaPressed") == "false"
    page.press("Escape")
    page.until("!viewer.open && !history.state")
    page.click_on("#grid tbody tr:last-child td:last-child .mark")
    pressed = "[...document.querySelectorAll('main [data-mark][aria-pressed=true]')]"
    marked = page.evaluate(f"{pressed}.map(mark => report.pictures[mark.dataset.mark].sha256)")
    assert len(set(marked)) == 3
    page.open(runs[1].as_uri())
    page.until(LOADED)
    assert page.evaluate("find('marked-count').textContent") == "✓ 3 marked"
    page.evaluate("find('marked').click()")
    choose(page, "layout", "gallery")
    assert sorted(page.evaluate(SHOWN)) == sorted(marked)
    assert page.evaluate(LEFT) == "3 of 48 pictures"
    found = json.loads(downloaded(page, tmp_path, "#take-json", "marked.json"))
    paths = downloaded(page, tmp_path, "#take-text", "marked.txt").splitlines()
    recorded = {picture.sha256: (run, picture) for run in runs[0] for picture in run.pictures()}
    assert [item["path"] for item in found] == paths
    for item in found:
        run, picture = recorded[item["sha256"]]
        assert (run.path.parent / item["path"]).resolve() == picture.image.resolve()
        assert (item["picture_id"], item["run_id"], item["run"]) == (picture.picture_id, run.resolved.run_id, run.resolved.spec.name)
    page.evaluate("find('unmark').click()")
    assert page.evaluate(f"[{SHOWN}.length, JSON.parse(localStorage.getItem('sdxl-lab-marked'))]") == [0, []]


def copied(page: Page, label: str) -> str:
    """What a button of the large picture puts into the clipboard."""
    page.evaluate(f"[...document.querySelectorAll('.recipe button')].find(button => button.textContent === '{label}').click()")
    page.until("document.querySelector('.recipe + p').textContent.startsWith('Copied')")
    return page.evaluate("navigator.clipboard.readText()")


def test_a_recipe_is_copied(page, runs, tmp_path):
    """
    What is copied is YAML that `-f` reads as the parameters that continue from the picture's PNG, and the text that stands in it for other tools.
    """
    page.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    images = {picture.sha256: picture.image for run in runs[0] for picture in run.pictures()}
    choose(page, "layout", "gallery")
    for number in (0, 3):  # a hostile prompt, and a seed that no float holds
        page.evaluate(f"openViewer(order()[{number}])")
        image = images[page.evaluate("viewed.sha256")]
        (tmp_path / "copied.yaml").write_text(copied(page, "Copy parameters"), "utf-8")
        assert read_file(tmp_path / "copied.yaml") == parameters_of(image)
        with Image.open(image) as opened:
            assert copied(page, "Copy for other tools") == opened.info["parameters"]
    assert str(runs[0][0].path.parent) not in runs[1].read_text("utf-8")


def test_a_recipe_can_be_copied_by_hand(page):
    """
    Where the browser does not let a page copy, as in another site's frame, the text is shown, selected.
    """
    page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed')); openViewer(order()[0])")
    page.evaluate("document.querySelector('.recipe button').click()")
    page.until("document.activeElement.matches('.recipe + p textarea')")
    assert page.evaluate("document.activeElement.value === viewed.parameters")
    assert page.evaluate("document.activeElement.selectionEnd - document.activeElement.selectionStart === viewed.parameters.length")


def test_a_link_opens_what_was_looked_at(page, runs):
    """
    The address opens another page with the same filters, order, axes, way of comparing and large picture; Back and Forward go through the steps.
    """
    state = "JSON.stringify([chosen, [...chosen.picks], looking.comparedBy, viewer.open && [viewed.index, find('before').value]])"
    states = [page.evaluate(state)]
    opened = page.evaluate("location.href")
    assert "#" not in opened
    choose(page, "z", "denoising.high_noise_frac")
    states.append(page.evaluate(state))
    choose(page, "compare", "input")
    states.append(page.evaluate(state))
    narrowed(page, "denoising.guidance_scale", "<=", "5")
    choose(page, "sort", "seam_delta_e")
    page.evaluate("openViewer(order()[1])")
    page.evaluate("find('before').selectedIndex = 3, find('before').dispatchEvent(new Event('change'))")
    choose_by = "(select => { select.value = '4'; select.dispatchEvent(new Event('change')) })(document.querySelector('#stage .by'))"
    page.evaluate(choose_by)
    last, link = page.evaluate(state), page.evaluate("location.href")
    page.open(link)
    page.until("viewer.open")
    assert page.evaluate(state) == last
    page.press("Escape")
    page.until("!viewer.open && !location.hash.includes('picture')")
    page.open(link.partition("#")[0])
    page.call("Page.resetNavigationHistory")  # a browser remembers 50 entries, and forgets those first that no hand has made
    for index, (select, value) in enumerate([("z", "denoising.high_noise_frac"), ("compare", "input")], 1):
        choose(page, select, value)
        assert page.evaluate(state) == states[index]
    for before in (1, 0):
        page.evaluate("history.back()")
        page.until(f"{state} === {json.dumps(states[before])}")
    page.evaluate("history.forward()")
    page.until(f"{state} === {json.dumps(states[1])}")
    assert page.evaluate("find('z').value") == "denoising.high_noise_frac"


def test_a_link_of_another_report_is_harmless(page, runs):
    """
    What an address asks for that the report does not have is passed over, and nothing in it becomes HTML.
    """
    strange = "z=nothing&only=%5Bx&only=a%3D%7B&sort=-lost&at=x%3D1&compare=x%3A7&by=99&picture=gone&page=99&layout=pie"
    page.open(f"{runs[1].as_uri()}#only=~%3Cb%3Eoctopus&{strange}")
    page.until("document.querySelectorAll('#chips button').length")
    assert page.evaluate(CHIPS) == ["prompt has “<b>octopus”"]
    assert page.evaluate("[chosen.z, chosen.sort, chosen.compare, viewer.open, chosen.layout]") == [None, "", "", False, "table"]
    assert page.evaluate("looking.comparedBy") == "0"


def seen(page: Page, path: Path) -> np.ndarray:
    """The pixels of the large frame as it is on the screen, but for its rounded corners."""
    left, top, width, height = page.box("#stage .frame")
    page.screenshot(path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").crop((round(left) + 8, round(top) + 8, round(left + width) - 8, round(top + height) - 8))).astype(int)


def test_fading_mixes_both_as_far_as_the_slider_says(page, tmp_path):
    """
    At the left end of the slider the input is seen, at the right end the picture, and in between their mean, weighed by its place.
    """
    page.evaluate("openViewer(order()[0]), looking.compareBy('fade')")
    page.until("[...document.querySelectorAll('#stage img')].length === 2 && [...document.images].every(image => image.complete)")
    pixels = {}
    for split in (0, 25, 100):
        page.evaluate(f"looking.show({{ split: {split} }})")
        pixels[split] = seen(page, tmp_path / "seen.png")
    assert abs(pixels[0] - pixels[100]).max() > 100
    assert abs(pixels[25] - (0.75 * pixels[0] + 0.25 * pixels[100])).max() <= 2
    assert page.evaluate("document.querySelector('#stage .of-boundary').checkVisibility()")


def test_flicker_takes_turns_and_stands_still_for_who_wants_that(page, tmp_path):
    """
    By turns one of the two is seen, twice a second; F takes over by hand; where motion is to be reduced nothing changes but by F.
    """
    page.evaluate("openViewer(order()[0])")
    flipped = "document.documentElement.classList.contains('flipped')"
    shown = "getComputedStyle(document.querySelector('#stage .before')).visibility"
    page.evaluate("looking.compareBy('flicker')")
    times = page.evaluate("""new Promise(done => { const times = [];
        new MutationObserver(() => { times.push(performance.now()); if (times.length === 4) done(times) })
            .observe(document.documentElement, { attributeFilter: ['class'] }) })""")
    assert min(np.diff(times)) > 334  # no more than three a second
    page.press("f")
    before = page.evaluate(f"[{flipped}, {shown}]")
    assert before in ([True, "visible"], [False, "hidden"])
    time.sleep(1.2)
    assert page.evaluate(f"[{flipped}, {shown}]") == before
    page.press("f")
    assert page.evaluate(flipped) is not before[0]
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    page.evaluate("looking.compareBy('0'), looking.compareBy('flicker')")
    still = page.evaluate(flipped)
    time.sleep(1.2)
    assert page.evaluate(flipped) is still
    page.press("f")
    assert page.evaluate(flipped) is not still


@pytest.mark.parametrize("width", [390, 1280])
def test_all_of_it_fits_a_phone(runs, browser, width):
    """
    Opened up with filters, a mark and the large picture, nothing of the controls reaches beyond the window, in the dark too.
    """
    browser.open(runs[1].as_uri(), width=width, height=844, dark=width < 1000)
    browser.evaluate("find('narrow').open = true; chosen.filters = [filterOf('~' + 'octopus '.trim())]; turnMark(report.pictures[0]); drawNarrowed()")
    edges = "[...document.querySelectorAll('{} *')].filter(it => it.checkVisibility()).map(it => it.getBoundingClientRect().right)"
    assert max(browser.evaluate(edges.format("header"))) <= width
    browser.evaluate("openViewer(order()[0])")
    assert max(browser.evaluate(edges.format("#stage .controls"))) <= browser.evaluate("viewer.getBoundingClientRect().right")
    browser.evaluate("localStorage.clear()")

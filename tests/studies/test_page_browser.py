"""A study's page in a real browser, opened from the disk, and a judge who votes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.studies.made import MadeStudy
from sdxl_lab.studies.making import study
from sdxl_lab.studies.trials import Study
from sdxl_lab.studies.votes import Votes, votes_in
from tests.support import studies
from tests.support.browser import IN_A_BROWSER, Page

pytestmark = [pytest.mark.timeout(300), *IN_A_BROWSER]

READY = "document.querySelector('.frame') && !document.querySelector('.waiting')"
SAID = "document.querySelector('.said')?.textContent"
TRANSFORMS = "[...document.querySelectorAll('.lens')].map(lens => getComputedStyle(lens).transform)"
KEYS = {"ArrowLeft": 0, "ArrowRight": 1, "1": 0, "2": 1, "t": "tie", "s": "skip"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> MadeStudy:
    """A study of three systems."""
    folder = tmp_path_factory.mktemp("asked")
    studies.runs(folder / "runs")
    return study([folder / "runs"], folder / "study", question="edit", pairs=12, repeat=0.25)


@contextmanager
def opened(browser: Page, made: MadeStudy, judge: str | None = None, **size: Any) -> Iterator[Page]:
    """The page, open, a judge's name given; in the end nothing was asked of anybody, and the console is empty."""
    browser.open(made.page.as_uri(), **size)
    browser.until("document.querySelector('form')")
    if judge:
        browser.type(judge)
        browser.press("Enter")
        browser.until(READY)
    yield browser
    assert {url for url in browser.requests if not url.startswith(("data:image/webp;base64,", "blob:"))} == {made.page.as_uri()}
    assert browser.complaints == []


def vote(page: Page, key: str) -> None:
    """Press a key, and wait for what comes next."""
    before = page.evaluate(SAID)
    page.press(key)
    page.until(f"!document.querySelector('.frames') || ({SAID} !== {json.dumps(before)} && {READY})")


def saved(page: Page, folder: Path, key: Study) -> Votes:
    """Press what saves the votes, and read the file."""
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    page.press("Enter")
    page.until("true")
    for _ in range(200):
        if files := [file for file in folder.glob("votes-*.json") if file.stat().st_size]:
            return votes_in(files[0], key)
        page.evaluate("new Promise(later => setTimeout(later, 50))")
    raise AssertionError("nothing was saved")


def test_a_whole_study_is_voted_by_keys_alone(made, browser, tmp_path):
    """
    By keys alone a judge begins, leaves, goes on where that was, and saves each answer as it was pressed, in an order and on sides of their own.
    """
    key = made.key
    pressed = [list(KEYS)[index % len(KEYS)] for index in range(len(key.trials))]
    half = len(pressed) // 2
    with opened(browser, made, "Zoë B.") as page:
        for each in pressed[:half]:
            vote(page, each)
    with opened(browser, made) as page:
        page.until("document.querySelector('.before button')")
        assert page.evaluate("document.querySelector('.before').innerText") == f"Go on as Zoë B. ({half} of {len(pressed)})"
        page.press("Tab", "Tab", "Enter")  # past what begins anew
        page.until(READY)
        assert page.evaluate(SAID) == f"{half + 1} of {len(pressed)}"
        for each in pressed[half:]:
            vote(page, each)
        assert page.evaluate("document.querySelector('h1').innerText") == "Thank you"
        votes = saved(page, tmp_path, key)
    assert votes.judge == "Zoë B."
    assert [each.answer for each in votes.votes] == [KEYS[each] for each in pressed]
    assert [each.trial for each in votes.votes] == studies.order(key, "Zoë B.")
    trials = {trial.trial: trial for trial in key.trials}
    assert [list(each.shown) for each in votes.votes] == [studies.sides(key, "Zoë B.", trials[each.trial]) for each in votes.votes]
    asked = {each.trial: each for each in votes.votes}
    repeats = [trial for trial in key.trials if trial.mirrors]
    assert len(repeats) == 3
    for trial in repeats:
        assert asked[trial.trial].shown == asked[trial.mirrors].shown[::-1]
        assert votes.votes.index(asked[trial.trial]) > votes.votes.index(asked[trial.mirrors])
    assert any(studies.order(key, "Zoë B.") != studies.order(key, other) for other in ("Ann", "Bo"))


def test_nothing_tells_which_picture_is_which(made, browser):
    """
    No run's name, path, label or setting's value stands in the page's source, its pictures' bytes, its document at any trial, or its file's name.
    """
    key = made.key
    source = made.page.read_text()
    folders = [Path(run).name for system in key.systems.values() for run in system.runs]
    values = [str(value) for system in key.systems.values() for value in system.settings.values()]
    paths = [part for picture in key.pictures.values() for part in Path(picture.picture).parts if len(part) > 2 and not part.startswith("..")]
    hidden = {*key.systems, *folders, *(folder.rpartition("-")[0] for folder in folders), *values, *paths, "guidance_scale", "num_inference_steps"}
    documents = [source, made.page.name]
    with opened(browser, made, "Ann") as page:
        while page.evaluate("Boolean(document.querySelector('.frames'))"):
            documents.append(page.evaluate("document.documentElement.outerHTML + document.body.innerText + document.title + location.hash"))
            vote(page, "1")
    assert len(documents) == 2 + len(key.trials)
    plain = [re.sub(r"data:image/webp;base64,[\w+/=]+", "", document) for document in documents]
    prompts = {place[0] for place in studies.PLACES}  # a sample's name is in its prompt, which judges of edits read
    assert {word for word in hidden - prompts for document in plain if word in document} == set()
    files = [base64.b64decode(data) for data in re.findall(r"data:image/webp;base64,([\w+/=]+)", source)]
    assert len(files) >= len(key.pictures)
    for file in files:
        assert file[:4] + file[8:12] == b"RIFFWEBP"
        assert file[12:16] == b"VP8L"  # lossless, and no chunk of text, profile or date
        assert len(file) == 20 + int.from_bytes(file[16:20], "little") + int.from_bytes(file[16:20], "little") % 2


def test_pictures_of_a_trial_are_the_recorded_ones_side_by_side(made, browser):
    """
    What a judge sees left and right has, to the last pixel, the digests of the recorded pictures that the file of votes will name, in equal frames.
    """
    key = made.key
    pixels = """(async index => {
        const image = document.querySelectorAll('.frame')[index].querySelector('img'), canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return btoa(String.fromCharCode(...context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, at) => at % 4 < 3)));
    })"""
    trials = {trial.trial: trial for trial in key.trials}
    with opened(browser, made, "Eve") as page:
        for name in studies.order(key, "Eve")[:3]:
            seen = [hashlib.sha256(base64.b64decode(page.evaluate(f"{pixels}({index})"))).hexdigest() for index in (0, 1)]
            assert seen == [key.pictures[each].sha256 for each in studies.sides(key, "Eve", trials[name])]
            boxes = page.evaluate("[...document.querySelectorAll('.frame')].map(frame => [frame.clientWidth, frame.clientHeight])")
            assert boxes[0] == boxes[1]
            vote(page, "t")


def test_saving_in_between_is_answered(made, browser, tmp_path):
    """
    The name is asked for at once; who saves in the middle of voting reads what was saved, until the next answer.
    """
    note = "document.querySelector('.note').innerText"
    with opened(browser, made) as page:
        assert page.evaluate("document.activeElement.name") == "judge"
    with opened(browser, made, "Uma") as page:
        vote(page, "1")
        page.evaluate("document.querySelector('header .link').focus()")
        votes = saved(page, tmp_path, made.key)
        assert page.evaluate(note) == f"Saved as votes-Uma.json: 1 of {len(made.key.trials)} answers."
        vote(page, "t")
        assert page.evaluate(note) == ""
    assert len(votes.votes) == 1


def test_an_answer_is_taken_back(made, browser):
    """
    The key u goes back to the trial before with its answer forgotten, and a key that is held answers once.
    """
    with opened(browser, made, "Ida") as page:
        vote(page, "2")
        assert page.evaluate(SAID).startswith("2 of")
        vote(page, "u")
        assert page.evaluate(SAID).startswith("1 of")
        assert page.evaluate("document.querySelector('.tools button:nth-child(2)').disabled")
        for repeat in (False, True, True):
            page.call("Input.dispatchKeyEvent", type="keyDown", key="1", text="1", windowsVirtualKeyCode=49, autoRepeat=repeat)
            page.until(READY)
        page.call("Input.dispatchKeyEvent", type="keyUp", key="1", windowsVirtualKeyCode=49)
        assert page.evaluate(SAID).startswith("2 of")


def test_pictures_are_zoomed_in_step_and_what_they_were_made_from_is_held(made, browser):
    """
    Zoom and shift move both pictures alike without an answer, and the next trial starts unzoomed; the input is seen as long as i is down.
    """
    with opened(browser, made, "Olga") as page:
        page.press("+", "+")
        page.press("ArrowRight", shift=True)
        one, other = page.evaluate(TRANSFORMS)
        assert one == other != "matrix(1, 0, 0, 1, 0, 0)"
        assert page.evaluate(SAID).startswith("1 of")
        shown = "[...document.querySelectorAll('.of-input')].map(image => image.checkVisibility())"
        assert page.evaluate(shown) == [False, False]
        page.call("Input.dispatchKeyEvent", type="keyDown", key="i", text="i", windowsVirtualKeyCode=73)
        assert page.evaluate(shown) == [True, True]
        page.call("Input.dispatchKeyEvent", type="keyUp", key="i", windowsVirtualKeyCode=73)
        assert page.evaluate(shown) == [False, False]
        vote(page, "ArrowLeft")
        assert set(page.evaluate(TRANSFORMS)) == {"matrix(1, 0, 0, 1, 0, 0)"}


def test_a_browser_that_keeps_nothing_says_so_and_goes_on_from_a_file(made, browser, tmp_path):
    """
    Where there is no storage the page warns, offers the votes so far as a file, and goes on from that file.
    """
    key = made.key
    script = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
    identifier = browser.call("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    try:
        with opened(browser, made, "Kim") as page:
            assert "does not keep your answers" in page.evaluate("document.querySelector('[role=alert]').innerText")
            vote(page, "1")
            vote(page, "s")
            page.evaluate("document.querySelector('header .link').focus()")
            votes = saved(page, tmp_path, key)
            assert page.evaluate("document.querySelector('.note').innerText") == f"Saved as votes-Kim.json: 2 of {len(key.trials)} answers."
        assert [each.answer for each in votes.votes] == [0, "skip"]
        with opened(browser, made) as page:
            page.evaluate(f"""(() => {{
                const files = new DataTransfer();
                files.items.add(new File([{json.dumps(votes.path.read_text())}], "votes.json"));
                const input = document.querySelector('input[type=file]');
                input.files = files.files;
                input.dispatchEvent(new Event('change'));
            }})()""")
            page.until(READY)
            assert page.evaluate(SAID).startswith("3 of")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=identifier)


@pytest.mark.parametrize(("width", "height"), [(360, 640), (390, 844)])
def test_a_phone_shows_it_all(made, browser, width, height):
    """
    On a phone nothing lies beside the screen, both pictures and all answers lie on it at once, and a tap on an answer answers.
    """
    with opened(browser, made, f"Pia {width}", width=width, height=height) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.evaluate(
            "[...document.querySelectorAll('.frame, .choice')].map(each => (box => [box.top, box.bottom])(each.getBoundingClientRect()))"
        )
        assert all(0 <= top < bottom <= height for top, bottom in boxes)
        assert page.evaluate("Math.min(...[...document.querySelectorAll('.choice')].map(each => each.clientHeight))") >= 44
        left, top, wide, high = page.box(".choice.tie")
        touch = [{"x": left + wide / 2, "y": top + high / 2}]
        page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=touch)
        page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        page.until(f"{SAID}.startsWith('2 of') && {READY}")


def test_the_page_digests_as_the_lab_does(made, browser):
    """
    The page's own sha256 and JSON are those of Python, for texts of any length and language.
    """
    values = {"b": [1, 'Zoë \u2028 <"\\\n\u0001\x7f'], "a": {"z": None, "Ä": True, "": "😀" * 40}, "c": 2**53 - 1}
    with opened(browser, made) as page:
        written = page.evaluate(f"canonical({json.dumps(values)})")
        assert written == json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        for text in ("", "a" * 55, "a" * 56, "a" * 64, written * 9):
            assert page.evaluate(f"sha256({json.dumps(text)})") == hashlib.sha256(text.encode()).hexdigest()


def test_one_is_chosen_among_several(browser, tmp_path):
    """
    Three pictures are shown at a time, their numbers choose, arrows do not, and what is asked again comes in the opposite order.
    """
    studies.runs(tmp_path / "runs")
    made = study([tmp_path / "runs"], tmp_path / "study", together=3, pairs=4, repeat=0.5)
    key = made.key
    with opened(browser, made, "Max") as page:
        assert page.evaluate("document.querySelector('h1').innerText") == "Which picture is the best?"
        page.press("ArrowRight")
        assert page.evaluate(SAID) == "1 of 6"
        for each in "312t3s":
            vote(page, each)
        votes = saved(page, tmp_path, key)
    assert [each.answer for each in votes.votes] == [2, 0, 1, "tie", 2, "skip"]
    trials = {trial.trial: trial for trial in key.trials}
    assert [list(each.shown) for each in votes.votes] == [studies.sides(key, "Max", trials[each.trial]) for each in votes.votes]

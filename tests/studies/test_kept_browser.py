"""What people preferred, in a report that is opened from the disk in a real browser."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdxl_lab.studies.recorded import answer_of
from sdxl_lab.studies.result import StudyResult
from sdxl_lab.viewing.report import write_report
from tests.support.answered import answered
from tests.support.browser import CHROMIUM, Page, chromium

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here; on Debian: sudo apt-get install chromium"),
]
READY = "document.querySelectorAll('main img').length && [...document.images].every(image => image.complete)"
SHOWN = "[...new Set([...document.querySelectorAll('main [data-picture]')].map(each => report.pictures[each.dataset.picture].run))]"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    """The report of six runs that people were asked about, and what they answered."""
    folder = tmp_path_factory.mktemp("lab")
    _, result = answered(folder)
    return write_report([folder / "runs"], folder / "report.html"), result


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    """A browser."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as page:
        yield page


@pytest.fixture
def page(report, browser) -> Iterator[Page]:
    """The report, open; in the end nothing was asked of anybody, and the console is empty."""
    browser.open(report[0].as_uri())
    browser.until(READY)
    yield browser
    assert {url.split("#")[0] for url in browser.requests if not url.startswith("data:image/webp;base64,")} == {report[0].as_uri()}
    assert browser.complaints == []


def test_the_answer_is_seen(page, report):
    """
    The question, all systems in the order of their shares, and the drawing are there to be seen, without scrolling sideways on a screen or a phone.
    """
    [ranking] = report[1].rankings
    assert page.evaluate("[...document.querySelectorAll('.preferred tbody th')].map(each => each.textContent)") == [
        each.system for each in ranking.standings
    ]
    for width, dark in ((1400, False), (390, False), (390, True)):
        page.open(report[0].as_uri(), width, 844, dark=dark)
        page.until(READY)
        assert page.evaluate("document.querySelector('.preferred strong').checkVisibility()")
        across = page.evaluate(
            "[...document.querySelectorAll('.preferred, .preferred svg, .preferred table')].map(each => each.getBoundingClientRect().right)"
        )
        assert len(across) == 3
        assert max(across) <= width
        assert page.evaluate("document.querySelector('.preferred circle').getBoundingClientRect().width") > 4


def test_a_system_leaves_its_own_pictures(page, report):
    """
    A click on a system leaves the pictures of its run, as filters that stand in the address; keys do the same.
    """
    [ranking] = report[1].rankings
    for index, standing in enumerate(ranking.standings[:2]):
        page.evaluate(f"document.querySelectorAll('[data-only]')[{index}].focus()")
        page.press("Enter")
        settings = report[1].systems[standing.system]
        page.until(f"document.querySelectorAll('#chips li').length === {len(settings)}")
        assert page.evaluate("document.querySelector('#left').textContent") == "6 of 36 pictures"
        [run] = page.evaluate(SHOWN)
        name = page.evaluate(f"report.runs[{run}].name")
        assert name == f"guidance_{settings['denoising.guidance_scale']:g}-steps_{settings['denoising.num_inference_steps']}-frac_None"
        assert "only=denoising.guidance_scale" in page.evaluate("location.hash")


def test_votes_can_be_sorted_by(page, report):
    """
    The pictures can be sorted by their share of votes, the most preferred first.
    """
    column = answer_of(report[1]).column
    page.evaluate(f"find('sort').value = {column!r}, find('sort').dispatchEvent(new Event('change'))")
    shares = page.evaluate(
        f"[...document.querySelectorAll('#gallery [data-picture]')].map(each => report.pictures[each.dataset.picture].metrics[{column!r}])"
    )
    assert len(shares) >= 36
    assert shares == sorted(shares, reverse=True)


def test_where_filters_tell_nothing_a_system_is_text(browser, report, tmp_path):
    """
    In the report of one run, where no setting is an axis, systems are named and nothing can be clicked in vain.
    """
    [first, *_] = sorted((report[0].parent / "runs").iterdir())
    alone = write_report([first], tmp_path / "report.html")
    browser.open(alone.as_uri())
    browser.until(READY)
    assert browser.evaluate("document.querySelectorAll('.preferred tbody tr').length") == 6
    assert not browser.evaluate("document.querySelectorAll('.preferred button').length")
    assert browser.complaints == []

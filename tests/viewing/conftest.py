"""The report that most tests of its page open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.viewing.report import write_report
from tests.support import report_runs
from tests.support.browser import Page
from tests.support.report_page import LOADED


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[list[RunFolder], Path]:
    """A sweep over three settings with a failed and a missing point, and its report."""
    folder = tmp_path_factory.mktemp("runs") / "three"
    runs, missing = report_runs.sweep_of_three(folder)
    return runs, write_report(runs, folder / "report.html", missing=missing)


@pytest.fixture
def page(runs, browser) -> Iterator[Page]:
    """The report, open, with nothing marked; in the end nothing was asked of anybody, and the console is empty."""
    browser.open(runs[1].as_uri())
    browser.evaluate("localStorage.clear()")
    browser.open(runs[1].as_uri())
    browser.until(LOADED)
    yield browser
    asked = {url.partition("#")[0] for url in browser.requests if not url.startswith("data:image/webp;base64,")}
    assert {url for url in asked if not url.startswith("blob:")} == {runs[1].as_uri()}
    assert browser.complaints == []

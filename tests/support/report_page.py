"""What stands in the table of a report's page, and how a hand without a mouse gets to it."""

from __future__ import annotations

import json

import pytest

from sdxl_lab.records.folder import RunFolder
from tests.support.browser import Page

LOADED = "document.querySelectorAll('main img').length && [...document.images].every(image => image.complete)"
WHERE = """(cell => {
    const labels = {}, x = find('x'), y = find('y');
    for (const select of document.querySelectorAll('#pickers select')) labels[select.title] = select.selectedOptions[0].textContent;
    labels[x.value] = table.tHead.rows[0].cells[cell.cellIndex].textContent;
    labels[y.value] = cell.parentElement.cells[0].textContent;
    return labels;
})"""
CELLS = f"[...table.querySelectorAll('td .after img')].map(image => [{WHERE}(image.closest('td')), image.dataset.sha256])"


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

"""The bench in JupyterLab, as somebody works with it: each test is one story, told with mouse and keys."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from sdxl_lab import Bench, fetch
from sdxl_lab.spec.cautions import CautionWarning
from tests.support.bench_lab import DOING, BenchLab, grays, grown, outline_becomes, picture
from tests.support.bench_lab import begin as begin
from tests.support.bench_lab import lab as lab
from tests.support.browser import CHROMIUM
from tests.support.lab import PANEL

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

QUICK = {"num_inference_steps": 4}
LONG = {"num_inference_steps": 1000}
WORK = {
    "sleeping": "import time\ntime.sleep(0.01)",
    "computing": "import torch\nx = torch.tanh(torch.rand(512, 512) @ torch.rand(512, 512))",
}

Places = Sequence[tuple[float, float]]


def disks_along(size: tuple[int, int], points: Places, diameter: float) -> np.ndarray:
    """True where a pixel's middle lies within a brush's disk on its way: in whole quarters of a pixel, without a division."""
    width, height = size
    white = np.zeros((height, width), bool)
    radius, ways = round(2 * diameter), [(round(4 * x), round(4 * y)) for x, y in points]
    y, x = np.mgrid[:height, :width] * 4 + 2
    for (ax, ay), (bx, by) in zip(ways, ways[1:] or ways, strict=False):
        forth, down = bx - ax, by - ay
        length, along = forth**2 + down**2, (x - ax) * forth + (y - ay) * down
        white |= (along > 0) & (along < length) & (((x - ax) * down - (y - ay) * forth) ** 2 <= radius**2 * length)
        for end_x, end_y in ((ax, ay), (bx, by)):
            white |= (x - end_x) ** 2 + (y - end_y) ** 2 <= radius**2
    return white


def size_of_brush(bench: BenchLab) -> float:
    """As the page says it, in pixels."""
    return float(bench.page.evaluate("deepAll('.paint-tools output')[0].textContent").split()[0])


def test_the_picture_is_of_the_pixels_that_the_mouse_went_over(begin):
    """
    The mouse paints and erases exactly what lies within the brush on its way, and the picture is the library's of that mask and these settings.
    """
    bench = begin("painted")
    page, size = bench.page, (128, 128)
    sample = fetch("pocket-scenes").sample("red-circle")
    assert sample.image_path
    before = np.zeros((128, 128), bool)
    bench.press("Close")
    page.until("!deep('.paint-empty').hidden")
    bench.drop(sample.image_path)
    bench.lies_open("red-circle", size)
    diameter = size_of_brush(bench)
    before |= disks_along(size, bench.paint((0.3, 0.3), (0.5, 0.35), (0.62, 0.6)), diameter)
    bench.turn(**QUICK, kernel_size=9)
    outline_becomes(bench, grown(before, 9))
    first = before.copy()
    before |= disks_along(size, bench.paint((0.1, 0.85)), diameter)
    outline_becomes(bench, grown(before, 9))
    page.press("z", ctrl=True)
    outline_becomes(bench, grown(first, 9))
    page.press("Z", ctrl=True, shift=True)
    outline_becomes(bench, grown(before, 9))
    bench.turn(kernel_size=15)
    outline_becomes(bench, grown(before, 15))
    page.evaluate("deep('.paint-frame').focus()")
    page.press("e")
    before &= ~disks_along(size, bench.paint((0.3, 0.3), (0.35, 0.42)), diameter)
    outline_becomes(bench, grown(before, 15))
    bench.turn(seed=7)
    bench.prompt("a blue star on grass")
    bench.make()

    [kept] = bench.session.pictures()
    assert any(np.array_equal(gray > 127, before) for gray in map(grays, bench.session.inputs_folder.iterdir()))
    other = Bench(tracking="off")
    other.open(sample.image_path, Image.fromarray(before.astype(np.uint8) * 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CautionWarning)  # where the strokes leave specks
        expected = other.make("a blue star on grass", seed=7, kernel_size=15, **QUICK)
    assert (kept.picture_id, kept.recorded.sha256) == (expected.picture_id, expected.sha256)


@pytest.mark.parametrize("size", [(1024, 1024), (4000, 3000)])
def test_the_mask_is_exact_at_any_size(begin, tmp_path, size):
    """
    Of a large photograph too, the kernel has exactly the pixels that lie within the brush on its way.
    """
    bench = begin(f"painted-{size[0]}")
    bench.drop(picture(tmp_path, size))
    bench.lies_open("photo", size)
    diameter = size_of_brush(bench)
    white = disks_along(size, bench.paint((0.2, 0.2), (0.4, 0.25), (0.3, 0.7)), diameter)
    bench.page.press("e")
    white &= ~disks_along(size, bench.paint((0.31, 0.3), (0.33, 0.5)), diameter)
    bench.page.press("i")
    bench.page.until("deepAll('.paint-tools button[aria-label=Undo]').every(button => !button.disabled)")
    file = tmp_path / "mask.png"
    strokes = "bench._widget._desk._surface.strokes"
    bench.lab.run(f"import time\nwhile len({strokes}) < 3: time.sleep(0.01)\nbench.opened.mask().save({str(file)!r})")
    assert np.array_equal(grays(file) > 127, ~white)


@pytest.mark.parametrize("work", ["nothing", *WORK])
def test_a_picture_on_its_way_is_seen_and_stopped_whatever_a_cell_does(begin, work):
    """
    Ctrl+Enter shows steps and a preview, Escape stops it and keeps nothing, and the next one is right, also while a cell sleeps or computes.
    """
    bench = begin(f"made-while-{work}")
    page = bench.page
    bench.turn(**LONG, seed=3)
    with bench.busy(WORK[work]) if work in WORK else nullcontext():
        bench.prompt("a blue star on grass")
        page.press("Enter", ctrl=True)
        page.until(f"deep('.job img.preview')?.naturalWidth && Number({DOING}.match(/step (\\d+) of/)?.[1]) > 1", 60)
        page.press("Escape")
        page.until(f"{DOING}.includes('cancelled')", 5)
        bench.turn(**QUICK)
        bench.prompt("a red moon on sand")
        bench.make()
        assert page.evaluate(f"{PANEL}.content.widgets.some(cell => cell.model.executionState === 'running')") == (work in WORK)
    [kept] = bench.session.pictures()
    assert len(list(bench.session.images_folder.iterdir())) == 1
    other = Bench(tracking="off")
    other.open(fetch("pocket-scenes").sample("red-circle"))
    expected = other.make("a red moon on sand", seed=3, **QUICK)
    assert (kept.picture_id, kept.recorded.sha256) == (expected.picture_id, expected.sha256)


def test_four_seeds_are_looked_at_one_by_one_and_a_later_hand_over_has_steps_from_memory(begin):
    """
    Four seeds stand beside each other, a click looks at one beside what it was before, and another hand-over has steps from memory.
    """
    bench = begin("gallery")
    page = bench.page
    bench.turn(seed=20, num_inference_steps=20, high_noise_frac=0.8)
    bench.choose(".making-bar select", "4")
    bench.prompt("a blue star on grass")
    page.press("Enter", ctrl=True)
    page.until("deepAll('.job-figure.done img').filter(image => image.naturalWidth === 128).length === 4", 60)
    assert [one.stamp.edit.seed for one in bench.session.pictures()] == [20, 21, 22, 23]
    bench.click_on(".job-figure:nth-child(3) .job")
    page.until("deep('.comparing h3').textContent === '3 · inpaint · seed 22' && deep('.comparing .frame img')?.naturalWidth")
    left, top, width, height = page.box(".comparing .frame")
    page.drag((left + width / 2, top + height / 2), (left + width / 4, top + height / 2))
    page.until("Math.round(getComputedStyle(deep('.comparing .boundary')).getPropertyValue('--split')) === 25")
    bench.choose(".comparing .by", "4")
    page.until("getComputedStyle(deep('.comparing .before')).mixBlendMode === 'difference'")
    bench.choose(".making-bar select", "1")
    bench.turn(high_noise_frac=0.6)
    bench.press("Make")
    page.until(f"{DOING}.startsWith('picture 5')", 60)  # the one before is looked at already
    assert page.evaluate(DOING) == "picture 5 · 11 steps from memory"  # six tenths of twenty, less the one that strength 0.99 leaves out


def test_hands_need_no_mouse_and_the_keys_are_the_benchs_own(begin):
    """
    Tab, letters and Ctrl+Enter alone lead from words to a picture; letters that are JupyterLab's shortcuts change no cell, in a field or on a button.
    """
    bench = begin("keys")
    page, lab = bench.page, bench.lab
    bench.turn(**QUICK)
    before = lab.sources()
    page.evaluate(f"{PANEL}.content.activeCellIndex = 2, {PANEL}.content.mode = 'command', {PANEL}.content.node.focus()")
    active = "deep('.bench').getRootNode().activeElement"
    tab_to(bench, f"{active}?.matches('.paint-tool')")
    page.press("b", "d", "d", "x", "a", "j")
    tab_to(bench, f"{active}?.matches('.paint-frame')")
    page.press("Enter", "ArrowRight", "ArrowRight", "ArrowDown", "Enter")
    page.until("deepAll('.paint-tools button[aria-label=Undo]').every(button => !button.disabled)")
    tab_to(bench, f"{active}?.matches('[data-path=prompt] textarea')")
    words = page.evaluate(f"{active}.value")
    page.press("End", *"bdd x")
    page.until(f"{active}.value === {words + 'bdd x'!r}")
    bench.make()
    page.press("s", ctrl=True)
    page.until(f"!{PANEL}.context.model.dirty && Boolean(deep('sdxl-lab-bench > div figure'))")
    assert page.evaluate(f"{active}?.matches('[data-path=prompt] textarea')")
    tab_to(bench, f"{active}?.matches('.pick')")
    page.press("s")
    page.until("deep('li[data-number=\"1\"]').matches('.starred')")
    page.press("d", "d", "b", "x")
    assert lab.sources() == before
    [kept] = bench.session.pictures()
    assert kept.stamp.edit.prompt == words + "bdd x"


def tab_to(bench: BenchLab, condition: str) -> None:
    """Press Tab until a condition holds."""
    for _ in range(120):
        if bench.page.evaluate(f"Boolean({condition})"):
            return
        bench.page.press("Tab")
    raise AssertionError(f"Tab leads nowhere where {condition}")

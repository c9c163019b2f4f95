"""The bench in JupyterLab, as somebody works with it: each test is one story, told with mouse and keys."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import papermill
import pytest
from PIL import Image

from sdxl_lab import Bench, fetch
from sdxl_lab.spec.cautions import CautionWarning
from tests.support.bench_lab import DOING, BenchLab
from tests.support.browser import CHROMIUM
from tests.support.lab import PANEL, STATUS, Lab, jupyterlab

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

QUICK = {"num_inference_steps": 4}
LONG = {"num_inference_steps": 1000}
WORK = {
    "sleeping": "import time\ntime.sleep(0.01)",
    "computing": "import torch\nx = torch.tanh(torch.rand(512, 512) @ torch.rand(512, 512))",
}
NUMBER_OF_CELLS = f"{PANEL}.content.widgets.length"
PICTURES = "deepAll('.history-list li').length"

Places = Sequence[tuple[float, float]]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab in JupyterLab, for all stories."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, jupyterlab(Path(folder)) as lab:
        yield lab


@pytest.fixture
def begin(lab: Lab) -> Iterator[Callable[[str], BenchLab]]:
    """Open a bench of that name; at the end nothing was asked for from outside, and nobody complained."""
    begun: list[BenchLab] = []

    def begin(name: str) -> BenchLab:
        bench = BenchLab(lab, name)
        begun.append(bench)
        bench.open()
        return bench

    yield begin
    page = lab.page
    begun[-1].leave()
    outside = [url for url in page.requests if not url.startswith(("http://127.0.0.1:", "data:", "blob:"))]
    assert (outside, page.complaints) == ([], [])


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> None:
    """What a test makes by itself is kept elsewhere than what the lab makes."""
    monkeypatch.chdir(tmp_path)


def disks_along(size: tuple[int, int], points: Places, diameter: float) -> np.ndarray:
    """The pixels whose middles lie within a brush's disk on its way, as True: in quarters of a pixel, which are whole numbers, and without a division."""
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


def grown(white: np.ndarray, side: int) -> np.ndarray:
    """White wherever a square of so many pixels around a pixel has any white."""
    reach = side // 2
    wide = np.pad(white, reach)
    height, width = white.shape
    return np.any([wide[down : down + height, across : across + width] for down in range(side) for across in range(side)], 0)


def bounds(white: np.ndarray) -> tuple[int, int, int, int]:
    """The same of a mask."""
    rows, columns = np.nonzero(white)
    return columns.min(), rows.min(), columns.max(), rows.max()


def outline_becomes(bench: BenchLab, white: np.ndarray) -> None:
    """Wait until the page draws the outline of a mask."""
    left, top, right, bottom = (int(side) for side in bounds(white))
    sides = "[Math.min, Math.max].map(most => [0, 1].map(side => most(...n.filter((_, i) => i % 2 === side)) - 0.5))"
    path = "deepAll('.paint-outlines .outline.repainted').map(path => path.getAttribute('d')).join('').match(/[\\d.]+/g)"
    bench.page.until(f"JSON.stringify((n => {sides})(({path} ?? []).map(Number))) === '[[{left},{top}],[{right},{bottom}]]'")


def size_of_brush(bench: BenchLab) -> float:
    """As the page says it, in pixels."""
    return float(bench.page.evaluate("deepAll('.paint-tools output')[0].textContent").split()[0])


def grays(file: Path) -> np.ndarray:
    """A picture's gray values; none of one that has colors."""
    with Image.open(file) as image:
        return np.asarray(image) if image.mode == "L" else np.empty(0)


def picture(folder: Path, size: tuple[int, int], name: str = "photo.png") -> Path:
    """A photograph of a slope of colors, as a file."""
    columns, rows = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    Image.fromarray(np.stack([columns, rows, 255 - (columns + rows) / 2], -1).astype(np.uint8)).save(folder / name)
    return folder / name


def test_the_picture_is_of_the_pixels_that_the_mouse_went_over(begin):
    """
    What the mouse paints and erases is, pixel for pixel, what lies within the brush on its way; undo, redo and dilation move the outline by as much,
    and the picture is by name and by pixels the one that the library makes of that mask and these settings.
    """
    bench = begin("painted")
    page, size = bench.page, (128, 128)
    sample = fetch("pocket-scenes").sample("red-circle")
    assert sample.image_path
    before = np.zeros((128, 128), bool)
    bench.press("Close")
    page.until("!deep('.paint-empty').hidden")
    bench.drop(sample.image_path)
    page.until("deep('.paint-status').textContent.startsWith('red-circle')")
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
    with pytest.warns(CautionWarning, match="specks"):
        expected = other.make("a blue star on grass", seed=7, kernel_size=15, **QUICK)
    assert (kept.picture_id, kept.recorded.sha256) == (expected.picture_id, expected.sha256)


@pytest.mark.parametrize("size", [(1024, 1024), (4000, 3000)])
def test_the_mask_is_exact_at_any_size(begin, tmp_path, size):
    """
    Of a large photograph too, the kernel has exactly the pixels that lie within the brush on its way.
    """
    bench = begin(f"painted-{size[0]}")
    bench.drop(picture(tmp_path, size))
    bench.page.until(f"deep('.paint-status').textContent === 'photo · {size[0]}×{size[1]}' && deep('.paint-frame img').naturalWidth")
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
    Four seeds stand beside each other, a click looks at one, its boundary and its difference show what it was before, and another hand-over to the
    refiner is made with the steps that are remembered, which the page says.
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
    bench.made()
    assert page.evaluate(DOING) == "picture 5 · 11 steps from memory"  # six tenths of twenty, less the one that strength 0.99 leaves out


def test_a_picture_is_starred_noted_brought_back_passed_on_and_deleted(begin):
    """
    Star and note are kept on disk; a picture brings its words back; a cell below the bench gets its parameters, a file its sweep, a page the report;
    and a deleted one is gone.
    """
    bench = begin("passed-on")
    page, lab = bench.page, bench.lab
    bench.turn(**QUICK, seed=5)
    for words in ("a blue star on grass", "a red moon on sand"):
        bench.prompt(words)
        bench.make()
    bench.click_on("li[data-number='1'] .pick")
    bench.press("☆ Star", ".history .chosen")
    bench.write(".history .note", "the better one")
    page.press("Enter")
    page.until("deep('li[data-number=\"1\"]').innerText.includes('the better one') && deep('li[data-number=\"1\"]').matches('.starred')")
    assert [(one.is_starred, one.note) for one in bench.session.pictures()] == [(True, "the better one"), (False, "")]
    bench.press("Bring back")
    page.until("deep('[data-path=prompt] textarea').value === 'a blue star on grass'")

    before = lab.sources()
    bench.press("Parameters cell")
    page.until(f"{NUMBER_OF_CELLS} === {len(before) + 1} && {PANEL}.content.activeCell.model.sharedModel.source.includes('blue star')")
    bench_cell = next(place for place, source in enumerate(before) if source.endswith("\nbench"))
    after = lab.sources()
    assert [*after[: bench_cell + 1], *after[bench_cell + 2 :]] == before
    given: dict[str, object] = {}
    exec(after[bench_cell + 1], given)
    assert "a blue star on grass" in repr(given)

    bench.press("Sweep file")
    page.until("deep('.window select')?.options.length && deep('.window').matches(':modal')")
    bench.choose(".window select", "denoising.guidance_scale")
    bench.write(".window .axis input", "3, 5")
    page.press("Enter")
    page.until("deep('.window .told')?.textContent.includes('sdxl-lab sweep')")
    file = page.evaluate("deep('.window .told').textContent").split()[2]
    assert "guidance_scale" in Path(file).read_text() and "blue star" in Path(file).read_text()
    page.press("Escape")
    bench.press("Report of all")
    page.until("Boolean(deep('.window a'))", 60)
    assert "the better one" in Path(page.evaluate("deep('.window .told').textContent")).read_text()
    page.press("Escape")

    bench.click_on("li[data-number='2'] .pick")
    bench.press("Delete…")
    page.until("Boolean(deep('.window .first'))")
    page.press("Enter")
    page.until(f"{PICTURES} === 1")
    assert [one.number for one in bench.session.pictures() if one.is_sound] == [1]


def test_nothing_is_lost_with_the_kernel_and_two_views_are_one_bench(begin):
    """
    A killed kernel is said to be gone; the same cells have all pictures again; and a second view follows what is done in the first.
    """
    bench = begin("killed")
    page, lab = bench.page, bench.lab
    bench.turn(**QUICK)
    for words in ("a blue star on grass", "a red moon on sand"):
        bench.prompt(words)
        bench.make()
    lab.kill()
    page.until("!deep('.bench .gone').hidden", 20)
    assert "Every finished picture is kept" in page.evaluate("deep('.bench .gone').innerText")
    page.until(f"{STATUS} === 'idle'", 60)
    bench.run()
    page.until(f"{PICTURES} === 2 && deepAll('.history-list img').every(image => image.naturalWidth)")
    assert page.evaluate("deep('[data-path=prompt] textarea').value") == "a red moon on sand"

    lab.begin("bench")
    page.until(f"deepAll('.bench [data-path=prompt]').length === 2 && {PICTURES} === 4 && deepAll('.bench img[src]').every(image => image.complete)")
    bench.click_on("li[data-number='1'] .pick")
    bench.press("☆ Star", ".history .chosen")
    page.until("deepAll('li.starred[data-number=\"1\"]').length === 2")
    bench.prompt("a green circle on snow")
    page.until("deepAll('[data-path=prompt] textarea').every(field => field.value === 'a green circle on snow')")
    bench.show("paint")
    bench.paint((0.1, 0.1), (0.2, 0.15))
    page.until("deepAll('.paint-tools button[aria-label=Undo]').every(button => !button.disabled)")
    # JupyterLab's own word of a kernel that ended.
    page.complaints[:] = [said for said in page.complaints if "Connection lost, reconnecting" not in said]


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


def test_pictures_and_masks_come_in_by_drop_paste_and_choice(begin, tmp_path):
    """
    A photograph is dropped, another pasted, its mask chosen in a dialog, each pixel for pixel; and a picture of the lab's brings its settings.
    """
    bench = begin("files")
    page = bench.page
    status = "deep('.paint-status').textContent"
    bench.drop(picture(tmp_path, (160, 96), "dropped.png"))
    page.until(f"{status} === 'dropped · 160×96'")
    pasted = picture(tmp_path, (128, 128), "pasted.png")
    page.evaluate("deep('[data-path=prompt] textarea').focus()")
    bench.paste(pasted)
    bench.press("Picture", ".paint-asking")
    page.until(f"{status} === 'pasted · 128×128'")
    white = np.zeros((128, 128), np.uint8)
    white[30:70, 50:90] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    bench.choose_file("Open mask…", tmp_path / "mask.png")
    bench.turn(**QUICK, seed=9, kernel_size=9)
    outline_becomes(bench, grown(white > 0, 9))
    bench.prompt("a blue star on grass")
    bench.make()
    [kept] = bench.session.pictures()
    other = Bench(tracking="off")
    other.open(pasted, tmp_path / "mask.png")
    expected = other.make("a blue star on grass", seed=9, kernel_size=9, **QUICK)
    assert (kept.picture_id, kept.recorded.sha256) == (expected.picture_id, expected.sha256)

    bench.prompt("something else")
    bench.turn(num_inference_steps=12)
    bench.show("paint")
    bench.press("Close")
    page.until("!deep('.paint-empty').hidden")
    bench.drop(kept.recorded.image)
    page.until("deep('[data-path=prompt] textarea').value === 'a blue star on grass'")
    page.until("deep('[data-path=\"denoising.num_inference_steps\"] .knob-number').value === '4'")


@pytest.mark.parametrize("way", ["by hand", "papermill"])
def test_a_saved_notebook_is_small_and_shows_its_pictures_without_its_kernel(begin, lab, way):
    """
    After fifty pictures a notebook that is saved, by hand or by papermill, stays below 3 MB, and opened with another kernel shows them and no error.
    """
    bench = begin(f"saved-{way.replace(' ', '-')}")
    page = bench.page
    lab.run("for seed in range(50): bench.make('a blue star on grass', seed=seed, num_inference_steps=2)", 180)
    file = lab.folder / "notebooks" / f"{bench.name}.ipynb"
    if way == "by hand":
        page.until(f"{PICTURES} === 50")
        bench.click_on("li[data-number='50'] .pick")
        page.press("s", ctrl=True)
        page.until(f"!{PANEL}.context.model.dirty")
    bench.leave()
    if way == "papermill":
        papermill.execute_notebook(file, file, parameters={"name": bench.name}, cwd=lab.folder, progress_bar=False)
    assert file.stat().st_size < 3 * 2**20
    lab.open(file.name)
    images = f"[...{PANEL}.node.querySelectorAll('.jp-OutputArea figure img')]"
    page.until(f"{images}.length >= 40 && {images}.every(image => image.naturalWidth)")
    text = page.evaluate(f"{PANEL}.node.innerText")
    assert "50 pictures" in text
    assert not any(word in text for word in ("Error displaying widget", "model not found", "Traceback"))

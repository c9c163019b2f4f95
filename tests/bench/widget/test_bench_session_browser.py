"""A bench and what outlives it, in JupyterLab: its session, its files, its notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import papermill
import pytest
from PIL import Image

from sdxl_lab import Bench
from tests.support.bench_lab import begin as begin
from tests.support.bench_lab import grown, outline_becomes, picture
from tests.support.bench_lab import lab as lab
from tests.support.browser import CHROMIUM
from tests.support.lab import PANEL, STATUS

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900), pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]

QUICK = {"num_inference_steps": 4}
NUMBER_OF_CELLS = f"{PANEL}.content.widgets.length"
PICTURES = "deepAll('.history-list li').length"


def test_a_picture_is_starred_noted_brought_back_passed_on_and_deleted(begin):
    """
    Star, note, a picture brought back, its parameters in a cell, its sweep, the report and a deletion come to what code would have them be.
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
    written = Path(file).read_text()
    assert "guidance_scale" in written
    assert "blue star" in written
    page.press("Escape")
    bench.press("Report of all")
    page.until("Boolean(deep('.window a'))", 60)
    assert "the better one" in Path(page.evaluate("deep('.window .told').textContent")).read_text()
    page.press("Escape")

    bench.click_on("li[data-number='2'] .pick")
    bench.press("Delete…")
    page.until("Boolean(deep('.window .first'))")
    bench.press("Delete", ".window")
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
    page.until("document.querySelector('.jp-Dialog')?.innerText.includes('Kernel Restarting')")
    bench.click_on(".jp-Dialog button.jp-mod-accept")
    page.until(f"{STATUS} === 'idle' && !document.querySelector('.jp-Dialog')", 60)
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


def test_pictures_and_masks_come_in_by_drop_paste_and_choice(begin, tmp_path):
    """
    A photograph is dropped, another pasted, its mask chosen in a dialog, each pixel for pixel; and a picture of the lab's brings its settings.
    """
    bench = begin("files")
    page = bench.page
    bench.drop(picture(tmp_path, (160, 96), "dropped.png"))
    bench.lies_open("dropped", (160, 96))
    pasted = picture(tmp_path, (128, 128), "pasted.png")
    page.evaluate("deep('[data-path=prompt] textarea').focus()")
    bench.paste(pasted)
    bench.press("Picture", ".paint-asking")
    bench.lies_open("pasted", (128, 128))
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

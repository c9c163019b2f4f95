"""What a report costs: building it at 128 and at 1024 pixels a side, and opening 500 pictures in a browser.

Use: python benchmarks/report.py [PICTURES_128] [PICTURES_1024]      (500 and 40; needs chromium for the second part)
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from sdxl_lab.records.folder import RunFolder  # noqa: E402
from sdxl_lab.spec.edit import Edit  # noqa: E402
from sdxl_lab.spec.generated import Generated  # noqa: E402
from sdxl_lab.spec.resolved_spec import ResolvedSpec  # noqa: E402
from sdxl_lab.viewing.report import write_report  # noqa: E402
from tests.support.browser import CHROMIUM, chromium  # noqa: E402 - the browser of the tests needs no package
from tests.support.report_runs import planned  # noqa: E402
from tests.support.runs import generated  # noqa: E402

SAMPLES = 10


@cache
def photo(seed: int, side_px: int) -> Image.Image:
    """A picture that is as hard to compress as a photograph: noise at every scale."""
    generator = np.random.RandomState(seed % 2**32)
    total = np.zeros((side_px, side_px, 3), np.float32)
    cells = 4
    while cells <= side_px:
        noise = Image.fromarray(generator.randint(0, 256, (cells, cells, 3)).astype(np.uint8)).resize((side_px, side_px), Image.Resampling.BICUBIC)
        total += (np.asarray(noise, np.float32) - 128) / cells**0.8
        cells *= 2
    return Image.fromarray((128 + 160 * total / np.abs(total).max()).clip(0, 255).astype(np.uint8))


def record(resolved: ResolvedSpec, side_px: int) -> RunFolder:
    """Record a run of such pictures, made without a model."""
    mask = np.zeros((side_px, side_px), np.uint8)
    mask[side_px // 4 : side_px // 2, side_px // 3 : side_px // 2] = 255
    run = RunFolder.of(resolved)

    def made(edit: Edit) -> Generated:
        before = photo(sum(edit.sample.encode()), side_px)
        after = photo(edit.seed + round(edit.settings.denoising.guidance_scale * 1000), side_px)
        return generated(after, before, Image.fromarray(mask), edit)

    with run.open(resolved):
        for edit in run.pending():
            run.add_picture(edit, made(edit), {f"metric_{number}": edit.seed / 7 + number for number in range(12)})
        run.finish()
    return run


def sweep(folder: Path, count: int, side_px: int) -> list[RunFolder]:
    """Runs of ten samples each, over as many guidance scales as that takes."""
    words = tuple((f"sample {number}", "inpaint", "a lighthouse on a cliff, in the evening", number) for number in range(SAMPLES))
    return [record(planned(folder, 1 + number / 4, 30, None, words), side_px) for number in range(-(-count // SAMPLES))]


def build(runs: list[RunFolder], path: Path) -> None:
    """Print what building takes, as in a process that has not read these pictures yet."""
    for picture in (picture for run in runs for picture in run.images_folder.rglob("*.png")):
        picture.touch()  # else its pixels are remembered
    began, used = time.perf_counter(), time.process_time()
    write_report([RunFolder(run.path) for run in runs], path)
    wall, cpu = time.perf_counter() - began, time.process_time() - used
    count = sum(len(run.resolved.edits) for run in runs)
    with Image.open(runs[0].pictures()[0].image) as image:
        side_px = image.width
    beside = path.with_name(f"{path.stem}-pictures")
    where = f"and {sum(1 for _ in beside.iterdir())} files beside it" if beside.is_dir() else "in one file"
    size = path.stat().st_size / 2**20
    print(f"{count} pictures of {side_px} px: {wall / count:.4f} s a picture (CPU {cpu / count:.4f} s); {size:.1f} MiB of HTML {where}")


def open_in_browser(path: Path) -> None:
    """Print how long the page takes to show its first pictures, to turn a page, and to scroll."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as page:
        shown = "document.querySelectorAll('#grid img').length > 0 && [...document.images].every(image => image.complete)"
        page.call("Performance.enable", timeDomain="threadTicks")
        began = time.perf_counter()
        page.open(path.as_uri())
        page.until(shown)
        opened = time.perf_counter() - began
        used = {item["name"]: item["value"] for item in page.call("Performance.getMetrics")["metrics"]}["TaskDuration"]
        began = time.perf_counter()
        page.evaluate("document.querySelector('[data-turn=\"1\"]').click()")
        page.until(shown)
        turned = time.perf_counter() - began
        frames = page.evaluate("""new Promise(done => {
            const times = [];
            const step = now => {
                times.push(now);
                scrollBy(0, 40);
                times.length < 60 ? requestAnimationFrame(step) : done(times.slice(1).map((time, index) => time - times[index]));
            };
            requestAnimationFrame(step);
        })""")
        counts = json.loads(page.evaluate("JSON.stringify([report.pictures.length, document.images.length, pages().length])"))
        print(f"opening {counts[0]} pictures: {opened:.2f} s (CPU of the page's thread {used:.2f} s), {counts[1]} images on one of {counts[2]} pages")
        print(f"turning a page: {turned:.2f} s; scrolling: median {np.median(frames):.1f} ms a frame, slowest {max(frames):.1f} ms")


def main(count_128: str = "500", count_1024: str = "40") -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as folder:
        small = sweep(Path(folder, "small"), int(count_128), 128)
        page = Path(folder, "report.html")
        build(small, page)
        build(sweep(Path(folder, "large"), int(count_1024), 1024), Path(folder, "large.html"))
        if CHROMIUM is None:
            print("no chromium here to open it with")
        else:
            open_in_browser(page)


if __name__ == "__main__":
    main(*sys.argv[1:])

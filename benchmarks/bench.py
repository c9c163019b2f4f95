"""How long somebody waits at the bench's widget in JupyterLab, against what it may be; and what a long session takes of memory.

Use: python benchmarks/bench.py [--only seed fraction cancel outline session] [--repetitions 20] [--early 50] [--pictures 300]

Needs chromium. Times are medians, from what a hand does to what is in view.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
from PIL import Image

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from sdxl_lab.records.session import SessionFolder  # noqa: E402
from tests.support.browser import CHROMIUM  # noqa: E402 - the browser and the JupyterLab of the tests need no package
from tests.support.lab import Lab, jupyterlab  # noqa: E402

SHOW = """
from sdxl_lab import Bench, fetch
bench = Bench.named("waiting", tracking="off")
bench.open(fetch("pocket-scenes").sample("red-circle"))
bench
"""
FRACTION = "denoising.high_noise_frac"
FRACTIONS = (0.97, 0.93, 0.9)
"""Of 30 steps they leave one, two and three to the refiner."""
STEPS = "denoising.num_inference_steps"
LONG, SHORT = 200, 2
SCRIPT = Path(__file__).with_suffix(".js")
PHOTO_PX = (4000, 3000)
BETWEEN_STROKES_S = 0.5
CELLS = {
    "no cell runs": "",
    "a cell sleeps": "time.sleep(0.01)",
    "a cell computes with torch": "torch.mm(square, square)",
    "a cell is pure Python": "sum(number * number for number in range(20_000))",
}


def new_seed(lab: Lab, repetitions: int) -> None:
    """Make with a new seed each time."""
    do(lab, "drawSeeds()")
    do(lab, "make()")  # which loads the models
    waited = [do(lab, "make()") for _ in range(repetitions)]
    all_made = [one.seconds for one in recorded(lab)]
    made = all_made[-repetitions:]
    bound = median(1.15 * seconds + 0.2 for seconds in made)
    tell(f"new seed among {len(all_made)} pictures, click to picture", waited, bound, f"made in {median(made):.3f} s")


def remembered_fraction(lab: Lab, repetitions: int) -> None:
    """Change where the refiner takes over, of pictures whose base trajectory is in memory, while turning makes pictures."""
    do(lab, "drawSeeds()")
    waited: list[float] = []
    while len(waited) < repetitions:
        do(lab, "setLive(false)")
        do(lab, f"turn('{FRACTION}', '')")
        do(lab, "make()")
        do(lab, "setLive(true)")
        waited += [do(lab, f"turned('{FRACTION}', {fraction})") for fraction in FRACTIONS]
    do(lab, "setLive(false)")
    do(lab, f"turn('{FRACTION}', '')")
    made = [one for one in recorded(lab)[-len(waited) :] if one.refiner_steps]
    steps = sorted({one.refiner_steps for one in made})
    tell(
        "remembered fraction, change to picture",
        waited,
        0.3,
        f"refiner's steps {steps[0]} to {steps[-1]}, made in {median(one.seconds for one in made):.3f} s",
    )


def cancel(lab: Lab, repetitions: int) -> None:
    """Cancel a long picture while it is made, beside cells."""
    do(lab, "drawSeeds()")
    do(lab, f"turn('{STEPS}', {LONG})")
    for what, work in CELLS.items():
        with running(lab, work):
            found = [do(lab, "cancelled()") for _ in range(repetitions)]
        steps, waited = zip(*found, strict=True)
        tell(f"cancel while {what}, click to word", list(waited), median(steps) + 0.1, f"a step takes {median(steps):.3f} s")
    do(lab, f"turn('{STEPS}', '')")


def outline(lab: Lab, repetitions: int) -> None:
    """Paint on a large photo with a mask, a stroke as soon as one may follow another."""
    lab.run(f"bench.open(*{photo_and_mask(lab.folder)})")
    lab.page.until(f"deep('.paint-status').textContent.includes('{PHOTO_PX[0]}')")
    lab.page.evaluate("[...deepAll('[role=tab]')].find(tab => tab.textContent === 'Paint').click()")
    lab.page.until("deep('.paint-outlines path') !== null", 60)
    waited = []
    for number in range(repetitions):
        left, top, width, height = lab.page.box(".paint-frame")
        across, down = left + width * (0.1 + 0.6 * (number % 5) / 5), top + height * (0.1 + 0.7 * (number % 7) / 7)
        lab.page.drag((across, down), (across + 0.15 * width, down + 0.1 * height))
        waited.append(do(lab, "outline()"))
        time.sleep(BETWEEN_STROKES_S)
    megapixels = PHOTO_PX[0] * PHOTO_PX[1] / 1e6
    tell(f"outline at {megapixels:g} megapixels, end of a stroke to lines", waited, 0.1, f"{BETWEEN_STROKES_S} s between strokes")
    lab.run('bench.open(fetch("pocket-scenes").sample("red-circle"))')
    lab.page.until(f"!deep('.paint-status').textContent.includes('{PHOTO_PX[0]}')")


def session(lab: Lab, early: int, pictures: int, repetitions: int) -> None:
    """Make many pictures, scroll through them, and go on."""
    do(lab, "drawSeeds()")
    do(lab, f"turn('{STEPS}', {SHORT})")
    memory = {number: memory_at(lab, number) for number in (early, pictures)}
    for index, what in enumerate(("kernel", "page")):
        before, after = (memory[number][index] / 1e6 for number in (early, pictures))
        tell_bound(f"memory of the {what} at picture {early}: {before:.0f} MB, at {pictures}: {after:.0f} MB", after - before, 50, "MB")
    (longest, heights), busy = traced(lab, "scrolled()")
    what = f"longest task while {pictures} pictures scroll, {heights:.0f} heights of the list and back, at most {busy:.1f} ms of a processor"
    tell_bound(f"{what}; by the clock", longest, 50, "ms")
    do(lab, f"turn('{STEPS}', '')")
    new_seed(lab, repetitions)


def memory_at(lab: Lab, number: int) -> tuple[float, float]:
    """Make pictures until there are so many; bytes of the kernel's process, and of the page's heap."""
    while (missing := number - len(recorded(lab))) > 0:
        do(lab, f"makeSeveral({max(many for many in (1, 2, 4, 8) if many <= missing)})")
    lab.run("import gc; gc.collect()")
    time.sleep(1)
    lab.page.call("HeapProfiler.collectGarbage")
    return psutil.Process(lab.kernel_process()).memory_info().rss, lab.page.call("Runtime.getHeapUsage")["usedSize"]


def do(lab: Lab, script: str) -> Any:
    """Do something of bench.js, and what it says."""
    return lab.page.evaluate(f"waiting.{script}")


def traced(lab: Lab, script: str) -> tuple[Any, float]:
    """Do something of bench.js; what it says, and the most milliseconds of a processor that one task of the page took meanwhile."""
    events: list[dict[str, Any]] = []
    is_over: list[str] = []

    def hear(event: str, values: dict[str, Any]) -> None:
        events.extend(values["value"] if event == "Tracing.dataCollected" else [])
        is_over.extend([event] if event == "Tracing.tracingComplete" else [])

    before, lab.page.heard = lab.page.heard, hear
    lab.page.call("Tracing.start", categories="disabled-by-default-devtools.timeline", transferMode="ReportEvents")
    said = do(lab, script)
    lab.page.call("Tracing.end")
    while not is_over:
        lab.page.evaluate("0")  # which reads what has come
    lab.page.heard = before
    return said, max(event.get("tdur", 0) for event in events if event["name"] == "RunTask") / 1000


def recorded(lab: Lab) -> list[Any]:
    """What is recorded of the session's pictures."""
    folders = lab.folder.glob("artifacts/runs/sessions/waiting-*")
    return [kept.recorded for folder in folders for kept in SessionFolder(folder).recorded()]


@contextmanager
def running(lab: Lab, work: str) -> Iterator[None]:
    """Have a cell do something again and again meanwhile."""
    end = lab.folder / "end"
    if work:
        lab.begin(f"while not end.exists():\n    {work}")
        lab.page.evaluate("deep('sdxl-lab-bench').scrollIntoView()")
    try:
        yield
    finally:
        end.touch()
        lab.idle()
        end.unlink()


def tell(what: str, waited: list[float], bound: float, more: str) -> None:
    """Print the median of so many seconds, and the longest."""
    tell_bound(f"{what}: longest of {len(waited)} {max(waited):.3f} s, {more}; median", median(waited), bound, "s", 3)


def tell_bound(what: str, number: float, bound: float, unit: str, digits: int = 1) -> None:
    """Print a number beside what it may be."""
    print(f"{what} {number:.{digits}f} {unit}, at most {bound:.{digits}f} {unit}: {'held' if number <= bound else 'MISSED'}", flush=True)


def main() -> None:
    """Show a bench in JupyterLab, and measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"seed": new_seed, "fraction": remembered_fraction, "cancel": cancel, "outline": outline}
    parser.add_argument("--only", nargs="+", choices=[*parts, "session"], default=[*parts, "session"])
    for name, number in {"repetitions": 20, "early": 50, "pictures": 300}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    asked = parser.parse_args()
    if CHROMIUM is None:
        print("no chromium here to show it in")
        return
    print(f"others keep {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores busy")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, jupyterlab(Path(folder)) as lab:
        show(lab)
        for name in asked.only:
            if name == "session":
                session(lab, asked.early, asked.pictures, asked.repetitions)
            else:
                parts[name](lab, asked.repetitions)


def show(lab: Lab) -> None:
    """Open a notebook whose first cell is a bench, and wait until its page knows what it asks for."""
    lab.write(
        "waiting.ipynb", SHOW, f"import time, torch\nfrom pathlib import Path\nend, square = Path({str(lab.folder / 'end')!r}), torch.ones(400, 400)"
    )
    lab.open("waiting.ipynb")
    for cell in range(2):
        lab.run_cell(cell)
        lab.idle()
    lab.page.until(f"""deep('[data-path="{STEPS}"] input')?.placeholder || deep('[data-path="{STEPS}"] input')?.value""", 60)
    lab.page.evaluate(f"globalThis.waiting = {SCRIPT.read_text()}")


def photo_and_mask(folder: Path) -> tuple[str, str]:
    """Files of a large photo, with detail at every scale, and of a mask with a ragged edge."""
    generator = np.random.RandomState(0)
    octaves = [
        np.asarray(Image.fromarray(generator.rand(cells, cells).astype(np.float32)).resize(PHOTO_PX, Image.Resampling.BICUBIC)) / cells**0.7
        for cells in (4, 16, 64, 256, 1024)
    ]
    noise = np.sum(octaves, axis=0)
    grey = ((noise - noise.min()) / np.ptp(noise) * 255).astype(np.uint8)
    rows, columns = np.mgrid[-1 : 1 : PHOTO_PX[1] * 1j, -1 : 1 : PHOTO_PX[0] * 1j]
    is_object = np.hypot(rows, columns) + 0.3 * grey / 255 < 0.6
    photo, mask = folder / "photo.jpg", folder / "mask.png"
    Image.fromarray(np.stack([grey, grey[::-1], 255 - grey], -1)).save(photo, quality=90)
    Image.fromarray(is_object.astype(np.uint8) * 255).save(mask)
    return str(photo), str(mask)


if __name__ == "__main__":
    main()

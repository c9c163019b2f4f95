"""A short use of the bench, with the real desk in a real browser; recorded, it is the loop that opens README and the page on exploring."""

from __future__ import annotations

import base64
import io
import os
import tempfile
from itertools import pairwise
from pathlib import Path

from PIL import Image

from sdxl_lab import Bench, fetch
from sdxl_lab.bench.widget.desk import Desk
from sdxl_lab.bench.widget.page import script
from tests.support.bench_page import BenchPage, bench_page
from tests.support.browser import IN_A_BROWSER, chromium

pytestmark = IN_A_BROWSER

RECORD_TO = os.environ.get("SDXL_LAB_LOOP")
"""Where the loop is kept: `SDXL_LAB_LOOP=docs/images/bench.webp make browser`. Nowhere if it is not set."""

MOST_BYTES = 1_000_000
SEED = 1
SIZE = (1120, 860)
SHOWN_PX = 900


class Loop:
    """Frames of a page, each with how long it stands."""

    def __init__(self, shown: BenchPage) -> None:
        self._shown = shown
        self.frames: list[Image.Image] = []
        self.times_ms: list[int] = []

    def see(self, time_ms: int = 120) -> None:
        """Take what is in view; what is as before stands longer."""
        self._shown.pump()
        picture = Image.open(io.BytesIO(base64.b64decode(self._shown.page.call("Page.captureScreenshot")["data"]))).convert("RGB")
        picture = picture.resize((SHOWN_PX, round(SHOWN_PX * picture.height / picture.width)), Image.Resampling.LANCZOS)
        if self.frames and picture.tobytes() == self.frames[-1].tobytes():
            self.times_ms[-1] += time_ms
        else:
            self.frames.append(picture)
            self.times_ms.append(time_ms)

    def file(self) -> bytes:
        """An animated WebP that begins again at its end."""
        content = io.BytesIO()
        first, *others = self.frames
        first.save(content, "WEBP", save_all=True, append_images=others, duration=self.times_ms, loop=0, quality=60, method=4)
        return content.getvalue()


def test_a_mask_is_painted_and_a_picture_made_of_it_by_hand(tmp_path: Path, monkeypatch):
    """
    Paint over the object, write a prompt, make a picture, drag the boundary, make three more seeds, look at one and star it.
    """
    monkeypatch.chdir(tmp_path)
    bench = Bench(name="loop", tracking="off")
    bench.open(fetch("pocket-scenes").sample("red-circle").image())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, chromium(Path(profile)) as page:  # noqa: SIM117
        with bench_page(page, script(), values={"bench": "b"}, width=SIZE[0], height=SIZE[1]) as shown:
            shown.connect(Desk(bench, shown.send, lambda: None).receive)
            loop, deep = Loop(shown), "deep('.doing')?.innerText"
            shown.until("deep('.paint-frame img')?.naturalWidth && deep('.knobs textarea') && deepAll('.knobs input').length > 4")
            loop.see(900)

            left, top, width, height = page.box(".paint-frame")
            corners = [(0.37, 0.37), (0.62, 0.37), (0.62, 0.62), (0.38, 0.62), (0.5, 0.5)]
            places = [(left + width * across, top + height * down) for across, down in corners]
            page.evaluate("deep('.paint-frame').focus()")
            page.press(*"]]]]]]")
            page.mouse("mousePressed", *places[0])
            for start, end in pairwise(places):
                for step in range(1, 6):
                    page.mouse("mouseMoved", *(a + (b - a) * step / 5 for a, b in zip(start, end, strict=True)))
                    loop.see(60)
            page.mouse("mouseReleased", *places[-1])
            shown.until("deep('.paint-outlines path')?.getAttribute('d')")
            loop.see(700)

            page.click_on(".knobs textarea")
            page.press("a", ctrl=True)
            for word in ("a ", "blue ", "star ", "on ", "grass"):
                page.type(word)
                loop.see(110)
            page.click_on("[data-path=seed] input")
            page.press("a", ctrl=True)
            page.type(str(SEED))
            loop.see(300)
            page.press("Enter", ctrl=True)
            while not (page.evaluate(deep) or "").startswith("picture"):
                loop.see(90)
            shown.until("deep('.comparing .frame img')?.complete")
            loop.see(500)
            left, top, width, height = page.box(".comparing .frame")
            page.mouse("mousePressed", left + 4, top + height / 2)
            for across in (0.15, 0.3, 0.45, 0.6, 0.75, 0.6, 0.45, 0.3, 0.15, 0.0):
                page.mouse("mouseMoved", left + width * across, top + height / 2)
                loop.see(110)
            page.mouse("mouseReleased", left, top + height / 2)
            loop.see(500)

            page.evaluate("(box => { box.value = '4'; box.dispatchEvent(new Event('change')) })(deep('.making-bar select')); deep('.make').click()")
            shown.until("deepAll('.job-figure').length === 4")
            while page.evaluate("deepAll('.job-figure.done').length") < 4:
                loop.see(90)
            shown.until("deepAll('.job img').every(image => image.complete)")
            loop.see(900)
            page.click_on(".job-figure:nth-child(3) .job")
            shown.until("deep('.comparing h3')?.innerText.startsWith('3')")
            loop.see(300)
            page.evaluate("deepAll('button').find(button => button.innerText === '☆ Star').click()")
            shown.until("deepAll('button').find(button => button.innerText.startsWith('★'))")
            loop.see(1500)
            assert page.complaints == []
    made = bench.pictures
    assert [picture.seed for picture in made] == [SEED + number for number in range(4)]
    assert [picture.number for picture in made if picture.is_starred] == [3]
    content = loop.file()
    assert len(loop.frames) > 20
    assert len(content) < MOST_BYTES
    if RECORD_TO:
        Path(RECORD_TO).write_bytes(content)

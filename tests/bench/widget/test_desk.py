"""What the views of a bench share: what a page asks for is what code would ask for, and every page is told."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab import Bench, fetch
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.bench.widget import asked as asking
from sdxl_lab.bench.widget import desk as desk_room
from sdxl_lab.bench.widget.desk import Desk
from sdxl_lab.bench.widget.uploads import MOST_ON_THEIR_WAY, Uploads
from sdxl_lab.images.masks import dilate
from sdxl_lab.runs import reproduce
from tests.support.sessions import disk, photo

pytestmark = pytest.mark.usefixtures("home")

HELD_S = 0.3
QUICK = {"denoising.num_inference_steps": 4}
BRUSH = {"tool": "brush", "size": 30.0, "points": [[40.25, 40.0], [90.0, 71.5]]}


class Page:
    """A page without a browser: what it was told, and what it asks for."""

    def __init__(self, bench: Bench, view: str = "a") -> None:
        self.view, self.told, self.stills, self._asked = view, [], [], 0
        self.desk = Desk(bench, self._take, lambda: self.stills.append(True))

    def _take(self, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        self.told.append((content, list(buffers)))

    def do(self, action: str, buffers: Sequence[bytes] = (), **fields: Any) -> dict[str, Any]:
        """Ask for something, and wait for the answer."""
        self._asked += 1
        ask = self._asked
        self.desk.receive({"do": action, "ask": ask, "view": self.view, **fields}, buffers)
        return self.until(lambda content: content["event"] == "answer" and content["ask"] == ask)[0]

    def until(self, fits: Callable[[dict[str, Any]], Any], seconds: float = 30) -> tuple[dict[str, Any], list[bytes]]:
        """Wait for something to be told, or take the latest that was."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := next((one for one in reversed(self.told) if fits(one[0])), None):
                return found
            time.sleep(0.005)
        said = [content["value"]["text"] for content, _ in self.told if content["event"] == "said"]
        raise AssertionError(f"never told; told were {[content['event'] for content, _ in self.told]}, said was {said}")

    def state(self, part: str) -> Any:
        """What was told of a part of the state last."""
        return self.until(lambda content: content["event"] == part)[0]["value"]

    def make(self, **fields: Any) -> list[dict[str, Any]]:
        """Make, and wait for the end."""
        self.told = [one for one in self.told if one[0]["event"] != "jobs"]
        answer = self.do("make", **fields)
        assert "error" not in answer, answer
        over = ("done", "failed", "cancelled")
        return self.until(lambda content: content["event"] == "jobs" and all(job["state"] in over for job in content["value"]))[0]["value"]


@pytest.fixture
def page() -> Page:
    """A page that shows a bench with a photo on it."""
    bench = Bench(tracking="off")
    bench.open(photo())
    shown = Page(bench)
    shown.do("hello")
    return shown


@pytest.fixture
def held(monkeypatch) -> tuple[threading.Event, threading.Event]:
    """What is set when the gate is first asked for the sake of a knob, and what lets its answer out; until then for `HELD_S` at the most."""
    at_work, go_on, sizes_of = threading.Event(), threading.Event(), asking.sizes_of

    def slowly(ready: Any) -> Any:
        if "checks" in threading.current_thread().name and not at_work.is_set():
            at_work.set()
            go_on.wait(HELD_S)
        return sizes_of(ready)

    monkeypatch.setattr(asking, "sizes_of", slowly)
    return at_work, go_on


def test_what_a_page_makes_is_what_the_bench_makes_of_the_same(page):
    """
    A mask painted and settings turned in a page give the picture, by name and by pixels, that `make` gives for the mask's pixels and these settings.
    """
    page.do("strokes", keep=0, add=[BRUSH])
    page.do("ask", changes=QUICK | {"prompt": "a blue star", "seed": 7, "mask.feather_px": 3, "denoising.guidance_scale": 5.0})
    [job] = page.make()
    assert (job["state"], job["task"]) == ("done", "inpaint")
    bench = page.desk.bench
    made = next(one for one in bench.pictures if one.number == job["number"])

    rows, columns = np.mgrid[:128, :128] + 0.5
    start, end = np.array(BRUSH["points"])
    along = np.clip(((columns - start[0]) * (end - start)[0] + (rows - start[1]) * (end - start)[1]) / ((end - start) ** 2).sum(), 0, 1)
    distance = np.hypot(columns - start[0] - along * (end - start)[0], rows - start[1] - along * (end - start)[1])
    other = Bench(tracking="off")
    other.open(photo(), Image.fromarray((distance <= 15).astype(np.uint8) * 255))
    expected = other.make("a blue star", seed=7, num_inference_steps=4, feather_px=3, guidance_scale=5.0)
    assert (made.picture_id, made.sha256) == (expected.picture_id, expected.sha256)


def test_several_seeds_are_the_pictures_of_these_seeds(page):
    """
    Four pictures are those of the seed and the three that follow it, and a second Make of the same has them all at once.
    """
    page.do("ask", changes=QUICK | {"prompt": "a star", "seed": 11})
    jobs = page.make(count=4)
    assert [job["seed"] for job in jobs] == [11, 12, 13, 14]
    assert [one.seed for one in page.desk.bench.pictures] == [11, 12, 13, 14]
    assert not any(job["made_before"] for job in jobs)
    again = page.make(count=4)
    assert [job["number"] for job in again] == [job["number"] for job in jobs]
    assert all(job["made_before"] for job in again)


def test_the_gate_answers_each_knob(page):
    """
    A value that is not allowed is answered by its path in the gate's own words, nothing is made, and taking it back is enough.
    """
    page.do("ask", changes={"denoising.guidance_scale": -1, "seed": "x"})
    problems = {
        one["path"]: one["text"] for one in page.until(lambda told: told["event"] == "checked" and told["value"]["problems"])[0]["value"]["problems"]
    }
    assert problems["denoising.guidance_scale"] == "got -1; allowed is a finite number, 0 or more"
    assert [one["path"] for one in page.do("make")["value"]["refused"]] == list(problems)
    page.do("ask", changes={"denoising.guidance_scale": None, "seed": None})
    checked = page.until(lambda told: told["event"] == "checked" and not told["value"]["problems"])[0]["value"]
    assert checked["values"]["denoising.guidance_scale"] == 7.5


def test_marks_are_told_as_they_are_typed_and_weighed_once_the_knob_says_so(page):
    """
    A weight in a plain prompt is said to be text; with the knob turned it is one, and the picture is the one that `make` gives.
    """
    page.do("strokes", keep=0, add=[BRUSH])
    page.do("ask", changes=QUICK | {"prompt": "a (blue:1.4) star", "seed": 7})
    told = page.until(lambda told: told["event"] == "checked" and told["value"]["cautions"])[0]["value"]
    assert any("“(blue:1.4)” is text: prompt_syntax is plain; set it to a1111 or comfy" in line for line in told["cautions"])
    page.do("ask", changes={"prompt_syntax": "comfy"})
    page.until(lambda told: told["event"] == "checked" and told["value"]["values"]["prompt_syntax"] == "comfy" and not told["value"]["cautions"])
    [job] = page.make()
    bench = page.desk.bench
    made = next(one for one in bench.pictures if one.number == job["number"])
    other = Bench(tracking="off")
    other.open(photo(), bench.opened.mask_image)
    expected = other.make("a (blue:1.4) star", seed=7, num_inference_steps=4, prompt_syntax="comfy")
    assert (made.picture_id, made.sha256) == (expected.picture_id, expected.sha256)


def test_the_outline_is_around_what_is_repainted(page):
    """
    The line that a page draws lies on the border of the dilated mask that makes the picture.
    """
    page.do("strokes", keep=0, add=[BRUSH])
    page.do("ask", changes={"mask.kernel_size": 9})
    page.until(lambda told: told["event"] == "checked" and told["value"]["values"].get("mask.kernel_size") == 9)
    page.told.clear()
    page.do("hello")
    _, buffers = page.until(lambda told: told["event"] == "outline")
    points = np.frombuffer(buffers[0], "<u2").reshape(-1, 2)
    grown = np.asarray(dilate(page.desk.bench.opened.mask_image, 9)) > 0
    rows, columns = np.nonzero(grown)
    assert (points[:, 0].min(), points[:, 1].min()) == (columns.min(), rows.min())
    assert (points[:, 0].max(), points[:, 1].max()) == (columns.max(), rows.max())
    assert grown[points[:, 1], points[:, 0]].all()


def test_a_click_brings_picture_and_settings_back(page):
    """
    An earlier picture brings its input, its mask and what was asked for it, and the next Make has it from memory.
    """
    page.do("strokes", keep=0, add=[BRUSH])
    page.do("ask", changes=QUICK | {"prompt": "a blue star", "seed": 7})
    [first] = page.make()
    page.do("strokes", keep=1, add=[{"tool": "invert"}])
    page.do("ask", changes={"prompt": "a moon", "denoising.guidance_scale": 2.0})
    page.make()
    page.do("recall", number=first["number"])
    asked = page.state("asked")["asked"]
    assert (asked["prompt"], asked["seed"], asked["denoising.num_inference_steps"]) == ("a blue star", 7, 4)
    assert asked.get("denoising.guidance_scale") in (None, 7.5)
    value, (_, mask) = page.until(lambda told: told["event"] == "opened")
    assert value["value"]["has_mask"]
    with Image.open(io.BytesIO(mask)) as given:
        assert np.array_equal(np.asarray(given) > 127, np.asarray(page.desk.bench.opened.mask()) > 127)
    [again] = page.make()
    assert (again["number"], again["made_before"]) == (first["number"], True)


def test_looking_what_the_gate_says_asks_for_no_picture(page):
    """
    Settings of an earlier picture are known as its own before anybody makes it again, and the picture that was asked for last stays that.
    """
    page.do("ask", changes=QUICK | {"prompt": "a star", "seed": 5})
    page.make()
    page.do("ask", changes={"seed": 6})
    page.make()
    page.do("ask", changes={"seed": 5})
    page.until(lambda told: told["event"] == "checked" and told["value"]["remembered"] == 1)
    latest = page.desk.bench.session.latest()
    assert (latest and latest.number) == 2
    page.make()
    latest = page.desk.bench.session.latest()
    assert (latest and latest.number) == 1


def test_what_is_told_last_is_of_what_lies_there_last(page, held):
    """
    A check that takes long tells nothing of a picture that was closed meanwhile, once it has told of words alone.
    """
    at_work, go_on = held
    page.do("ask", changes={"denoising.guidance_scale": 5.0})
    assert at_work.wait(30)
    page.do("close")
    go_on.set()
    page.until(lambda told: told["event"] == "checked" and told["value"]["values"].get("denoising.guidance_scale") == 5.0)
    time.sleep(0.1)
    assert page.state("checked")["task"] == "text_to_image"


def test_a_knob_turned_just_before_a_stroke_is_outlined(page, monkeypatch, held):
    """
    The line around a mask follows the dilation that was asked last, also where a stroke came before the gate had answered.
    """
    monkeypatch.setattr(desk_room, "HAND_RESTS_S", 0.05)
    page.do("strokes", keep=0, add=[BRUSH])
    at_work, go_on = held
    page.do("ask", changes={"prompt": "a star"})
    assert at_work.wait(30)
    page.do("ask", changes={"mask.kernel_size": 41})
    page.do("strokes", keep=1, add=[{"tool": "eraser", "size": 2.0, "points": [[1.0, 1.0]]}])
    go_on.set()
    page.until(lambda told: told["event"] == "checked" and told["value"]["values"].get("mask.kernel_size") == 41)
    grown = dilate(page.desk.bench.opened.mask_image, 41).getbbox()
    assert grown

    def is_there(told: dict[str, Any], buffers: Sequence[bytes]) -> bool:
        points = np.frombuffer(buffers[0], "<u2").reshape(-1, 2) if told["event"] == "outline" else np.zeros((0, 2))
        return len(points) > 0 and (*points.min(axis=0), *(points.max(axis=0) + 1)) == grown

    deadline = time.monotonic() + 10
    while not any(is_there(*one) for one in page.told):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stroke_takes_nothing_from_a_cell(page):
    """
    What a cell has laid on the bench stays there though somebody goes on painting what lay there before, and the page is shown it.
    """
    token, bench = page.state("opened")["token"], page.desk.bench
    bench.open(disk())
    laid = bench.opened
    page.do("strokes", keep=0, add=[BRUSH], token=token)
    assert bench.opened is laid
    assert page.state("opened")["token"] != token
    assert page.state("strokes")["count"] == 0


def test_a_cancel_is_answered(page):
    """
    Whoever cancels hears that it was done, as of everything that a page asks for.
    """
    assert "error" not in page.do("cancel")


def test_what_only_pastes_anew_is_not_said_to_have_been_made_before(page, monkeypatch):
    """
    Another feather makes a new picture of steps that are all remembered; the same once more was made before. Both are compared in plain text.
    """
    monkeypatch.setenv("FORCE_COLOR", "1")
    page.do("strokes", keep=0, add=[BRUSH])
    page.do("ask", changes=QUICK | {"prompt": "a star"})
    page.make()
    page.do("ask", changes={"mask.feather_px": 5})
    told = [(job["made_before"], job["all_remembered"]) for job in (*page.make(), *page.make())]
    assert told == [(False, True), (True, False)]
    table = page.do("compare")["value"]["text"]
    assert "feather_px" in table
    assert "\x1b" not in table


def test_a_deleted_picture_can_be_made_again(page):
    """
    Of a picture that was deleted it is known how it was made: brought back and made, it has its pixels and its number again.
    """
    page.do("ask", changes=QUICK | {"prompt": "a star", "seed": 5})
    [job] = page.make()
    [made] = page.desk.bench.pictures
    page.do("delete", number=job["number"])
    assert page.desk.bench.pictures == ()
    assert "error" not in page.do("recall", number=job["number"])
    [again] = page.make()
    [picture] = page.desk.bench.pictures
    assert (again["number"], picture.sha256) == (job["number"], made.sha256)


def test_every_view_hears_of_what_one_does_and_of_what_cells_do(page):
    """
    A star from a page, a picture from a cell and something else laid on the bench by one are told to all, and strokes name the view that drew them.
    """
    bench = page.desk.bench
    page.do("strokes", keep=0, add=[BRUSH])
    told = page.until(lambda content: content["event"] == "strokes" and content["value"]["count"] == 1)[0]["value"]
    assert (told["by"], told["keep"], told["add"]) == (page.view, 0, [BRUSH])
    made = bench.make("a star", seed=3, num_inference_steps=4)
    page.desk.receive({"do": "ping", "view": "b"})
    [entry] = page.until(lambda content: content["event"] == "pictures" and content["value"]["changed"])[0]["value"]["changed"]
    assert (entry["number"], entry["sha256"], entry["starred"]) == (made.number, made.sha256, False)
    page.do("star", number=made.number)
    assert bench.pictures[0].is_starred
    page.until(lambda content: content["event"] == "pictures" and content["value"]["changed"][0]["starred"])
    bench.open(disk())
    page.desk.receive({"do": "ping", "view": "b"})
    page.until(lambda content: content["event"] == "opened" and content["value"]["token"] != told.get("token") and not content["value"]["has_mask"])
    page.until(lambda content: content["event"] == "strokes" and content["value"]["count"] == 0)


def test_a_file_comes_in_parts_and_a_picture_of_the_lab_brings_its_settings(page, home):
    """
    A photograph sent in parts lies on the bench pixel for pixel; a PNG that the lab made brings what it was made from and what was asked for it.
    """
    sample = fetch("pocket-scenes").sample("red-circle")
    assert sample.image_path
    content = sample.image_path.read_bytes()
    middle = len(content) // 2
    for part, piece in enumerate((content[:middle], content[middle:])):
        page.do("open", [piece], upload="u", part=part, parts=2, name="../red.png", role="image")
    assert page.state("opened")["name"] == "red"
    with Image.open(sample.image_path) as image:
        assert np.array_equal(np.asarray(page.desk.bench.opened.image.convert("RGB")), np.asarray(image.convert("RGB")))
    page.do("ask", changes=QUICK | {"prompt": "a star", "seed": 5, "denoising.strength": 0.5})
    [job] = page.make()
    made = page.desk.bench.pictures[job["number"] - 1]
    page.do("close")
    assert not page.state("opened")["has_image"]
    page.do("open", [made.path.read_bytes()], upload="v", part=0, parts=1, name="made.png", role="image")
    asked = page.state("asked")["asked"]
    assert (asked["prompt"], asked["seed"], asked["denoising.strength"]) == ("a star", 5, 0.5)
    assert "task" not in asked
    assert page.state("checked")["task"] == "image_to_image"


def test_what_was_never_sent_whole_is_given_up():
    """
    Of files whose rest never comes only the latest few are held, and one that goes on after that is told to begin again.
    """
    uploads = Uploads()

    def sent(upload: str, part: int) -> Path | None:
        return uploads.take({"upload": upload, "part": part, "parts": 2, "name": "a.png"}, [b"x"])

    for number in range(MOST_ON_THEIR_WAY + 1):
        assert sent(str(number), 0) is None
    with pytest.raises(BenchError, match="open it again"):
        sent("0", 1)
    whole = sent(str(MOST_ON_THEIR_WAY), 1)
    assert whole is not None
    assert whole.read_bytes() == b"xx"


def test_no_picture_waits_to_be_shown_while_one_is_reproduced(page, monkeypatch):
    """
    While a picture is made again to be compared, which may take minutes, files of pictures are read and drawn.
    """
    go_on = threading.Event()
    monkeypatch.setattr(reproduce, "reproduce", lambda _: go_on.wait(30))
    page.do("ask", changes=QUICK | {"prompt": "a star", "seed": 5})
    [job] = page.make()
    page.desk.receive({"do": "reproduce", "ask": "long", "view": page.view, "number": job["number"]})
    [picture] = page.desk.bench.pictures
    assert "error" not in page.do("bytes", path=str(picture.path))
    assert "error" not in page.do("thumbnails", numbers=[job["number"]])
    assert not any(content.get("ask") == "long" for content, _ in page.told)
    go_on.set()
    page.until(lambda content: content.get("ask") == "long")


def test_a_picture_of_the_lab_whose_inputs_are_not_here_brings_its_words_and_settings(page, home, monkeypatch):
    """
    Dropped where what it was made from is not found, a PNG of the lab lies there as it looks, with its words and settings, and that is said.
    """
    page.do("strokes", keep=0, add=[BRUSH])
    page.do("ask", changes=QUICK | {"prompt": "a star", "seed": 5, "denoising.guidance_scale": 3.0})
    page.make()
    [made] = page.desk.bench.pictures
    content = made.path.read_bytes()
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    other = Page(Bench(tracking="off"))
    other.do("hello")
    assert "error" not in other.do("open", [content], upload="u", part=0, parts=1, name="made.png", role="image")
    said = other.until(lambda told: told["event"] == "said")[0]["value"]
    assert said["kind"] == "warning"
    assert "is not here" in said["text"]
    asked = other.state("asked")["asked"]
    assert (asked["prompt"], asked["seed"], asked["denoising.guidance_scale"]) == ("a star", 5, 3.0)
    assert np.array_equal(np.asarray(other.desk.bench.opened.image.convert("RGB")), np.asarray(made.image))


def test_a_mask_of_another_size_changes_nothing(page):
    """
    A mask that does not fit is refused with both sizes, and what was painted is what it was.
    """
    page.do("strokes", keep=0, add=[BRUSH])
    before = page.desk.bench.opened
    file = io.BytesIO()
    disk(64).save(file, "PNG")
    answer = page.do("open", [file.getvalue()], upload="u", part=0, parts=1, name="mask.png", role="mask")
    assert "got 64x64, and the image is 128x128" in answer["error"]
    assert page.desk.bench.opened is before


def test_files_outside_the_session_are_not_given_away(page, home):
    """
    A page gets files of its session alone.
    """
    (home / "secret.txt").write_text("x")
    answer = page.do("bytes", path=str(home / "artifacts" / ".." / "secret.txt"))
    assert "allowed are files of the session" in answer["error"]

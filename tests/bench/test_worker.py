"""The bench's thread: what it makes, in which order, how it is stopped, and what it leaves behind."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
from typing import Any

import psutil
import pytest
import torch

from sdxl_lab import Bench, fetch, inpaint
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.bench.worker import IDLE_S, Making
from sdxl_lab.checkpoints.loading import load
from sdxl_lab.errors import LabError
from sdxl_lab.process import arithmetic, endings
from tests.support.edits import calls
from tests.support.warm_notebooks import execute, printed

pytestmark = pytest.mark.usefixtures("home")

PROMPT = "a blue star on grass"
THREAD = "sdxl_lab bench"


@pytest.fixture
def bench(home):
    """A bench with a picture and its mask, whose thread has ended when the test has."""
    bench = Bench(tracking="off")
    bench.open(fetch("pocket-scenes").sample("red-circle"))
    yield bench
    bench.close()


def threads() -> int:
    """How many threads of benches there are."""
    return sum(thread.name == THREAD for thread in threading.enumerate())


class Held:
    """
    A listener that lets a picture go on step by step.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self._reached, self._go_on = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, making: Making) -> None:
        """Hear a step, and hold the picture there."""
        assert making.step is not None
        self.steps.append(making.step.done)
        self._reached.release()
        self._go_on.acquire()

    def until_next(self) -> None:
        """Wait for the step after those that were let go."""
        assert self._reached.acquire(timeout=60)

    def go_on(self, steps: int = 1) -> None:
        """Let so many steps go."""
        self._go_on.release(steps)


# --- in which order ------------------------------------------------------------------------------------------------------------------------------


def test_pictures_are_made_one_after_the_other(bench):
    """
    What is asked for while a picture is made waits, and comes in the order in which it was asked for.
    """
    held = Held()
    first = bench.start(PROMPT, seed=1, num_inference_steps=4, on_step=held)
    held.until_next()
    others = [bench.start(PROMPT, seed=seed, num_inference_steps=3) for seed in (2, 3)]
    assert [one.state for one in (first, *others)] == ["making", "queued", "queued"]
    held.go_on(99)
    assert [one.result(60).seed for one in (first, *others)] == [1, 2, 3]
    assert [picture.number for picture in bench.pictures] == [1, 2, 3]


def test_the_latest_takes_the_place_of_those_before_it(bench):
    """
    With `latest`, the picture that is being made and those that wait are cancelled.
    """
    held = Held()
    first = bench.start(PROMPT, seed=1, num_inference_steps=6, on_step=held)
    held.until_next()
    second = bench.start(PROMPT, seed=2, num_inference_steps=3)
    last = bench.start(PROMPT, seed=3, num_inference_steps=3, latest=True)
    assert second.wait(0)
    held.go_on(99)
    assert last.result(60).seed == 3
    assert (first.state, second.state) == ("cancelled", "cancelled")
    assert [picture.seed for picture in bench.pictures] == [3]


def test_a_listener_that_fails_at_the_end_stops_no_other_picture(bench, monkeypatch):
    """
    What a listener raises when a picture has ended is said, and the picture after it is made.
    """
    said: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda *of: said.append(of[1]))
    ready = bench.plan(bench.opened, None, {"prompt": PROMPT, "negative_prompt": None, "seed": 1}, {"num_inference_steps": 3})
    fault = RuntimeError("nobody is there")

    def fails(_: Making) -> None:
        raise fault

    first = bench.begin(ready, on_end=fails)
    assert bench.start(PROMPT, seed=2, num_inference_steps=3).result(60).seed == 2
    assert (first.state, said) == ("done", [fault])


def test_the_latest_takes_their_place_also_where_it_was_made_before(bench):
    """
    With `latest`, a picture that is there already stops the one that is being made.
    """
    known = bench.make(PROMPT, seed=3, num_inference_steps=3)
    held = Held()
    first = bench.start(PROMPT, seed=1, num_inference_steps=6, on_step=held)
    held.until_next()
    assert bench.start(PROMPT, seed=3, num_inference_steps=3, latest=True).result(0).number == known.number
    held.go_on(99)
    assert first.wait(60)
    assert first.state == "cancelled"
    assert len(bench.pictures) == 1


def test_steps_are_told_as_they_come(bench):
    """
    Each evaluation of a UNet is heard once, with what is left and a picture of what it comes to; a picture that is there already takes none.
    """
    heard: list[Any] = []

    def listen(making: Making) -> None:
        preview = making.preview()
        heard.append((making.step and (making.step.role, making.step.done, making.step.total), making.left_s, preview and preview.size))

    made = bench.start(PROMPT, seed=1, num_inference_steps=10, high_noise_frac=0.8, on_step=listen).result(120)
    steps, left, sizes = zip(*heard, strict=True)
    base, refiner = made.kept.recorded.base_steps, made.kept.recorded.refiner_steps
    assert [done for _, done, _ in steps] == list(range(1, base + refiner + 1))
    assert [role for role, _, _ in steps] == ["base"] * base + ["refiner"] * refiner
    assert left[0] is None
    assert left[-1] == 0
    assert set(sizes) == {(16, 16)}
    heard.clear()
    assert bench.start(PROMPT, seed=1, num_inference_steps=10, high_noise_frac=0.8, on_step=listen).result(1).number == made.number
    assert not heard


# --- stopped -------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 3, 6])
def test_the_step_after_a_cancel_is_never_computed(bench, home, at):
    """
    Cancelled in its first step, in the middle or in the refiner, a picture costs no more evaluations, leaves nothing, and is made right later.
    """
    asked: dict[str, Any] = {"seed": 5, "num_inference_steps": 8, "high_noise_frac": 0.7}
    models = load("pocket")
    held = Held()
    with calls(models.base.unet, models.refiner.unet) as counts:
        making = bench.start(PROMPT, on_step=held, **asked)
        for _ in range(at):
            held.until_next()
            if making.step and making.step.done == at:
                making.cancel()
            held.go_on()
        assert making.wait(60)
        assert making.state == "cancelled"
        assert sum(counts) == at
        with pytest.raises(BenchError, match="was cancelled"):
            making.result()
    assert not bench.session.path.exists()
    sample = fetch("pocket-scenes").sample("red-circle")
    expected = inpaint(sample.image_path, sample.mask_path, PROMPT, **asked)
    assert bench.make(PROMPT, **asked).sha256 == expected.sha256


def test_an_interrupt_cancels(bench):
    """
    Ctrl-C while a picture is waited for stops it, and the bench goes on.
    """
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        bench.make(PROMPT, num_inference_steps=500)
    assert not bench.pictures
    assert bench.make(PROMPT, num_inference_steps=3).number == 1


def test_an_error_is_raised_where_the_picture_is_waited_for(bench, monkeypatch):
    """
    What goes wrong in the thread is the error of that picture alone.
    """
    from sdxl_lab.records.session import SessionFolder

    def full(*_: Any, **__: Any) -> None:
        raise LabError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SessionFolder, "add", full)
        making = bench.start(PROMPT, num_inference_steps=3)
        with pytest.raises(LabError, match="the disk is full"):
            making.result(60)
    assert making.state == "failed"
    assert bench.make(PROMPT, num_inference_steps=3).number == 1


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_cancels_leave_nothing_behind(bench, count):
    """
    After many cancels in a row, memory, threads and open files are what they were after a few.
    """
    process = psutil.Process()

    def cancelled(seed: int) -> None:
        making = bench.start(PROMPT, seed=seed, num_inference_steps=20, on_step=Making.cancel)
        assert making.wait(60)
        assert making.state == "cancelled"

    def held() -> tuple[int, int, int]:
        bench.close()
        gc.collect()
        return process.memory_info().rss, threading.active_count(), process.num_fds()

    for seed in range(10):
        cancelled(seed)
    before = held()
    for seed in range(10, 10 + count):
        cancelled(seed)
    after = held()
    assert after[1:] == before[1:]
    assert after[0] - before[0] < 30e6
    assert not bench.session.path.exists()


# --- the same bits -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [4, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_what_the_main_thread_computes_changes_no_bit(bench, count):
    """
    Pictures made while the main thread computes, with other thread counts, default dtypes and grad modes, equal those made alone.
    """
    sample = fetch("pocket-scenes").sample("red-circle")
    asked = [{"seed": seed, "num_inference_steps": 5, "scheduler": ("euler_a", "dpmpp_2m_sde", "heun")[seed % 3]} for seed in range(count)]
    switches, own_threads = arithmetic.arithmetic(), torch.get_num_threads()
    making = [bench.start(PROMPT, **each) for each in asked]
    turn = 0
    try:
        while not making[-1].wait(0):
            turn += 1
            torch.set_default_dtype((torch.float64, torch.float32, torch.bfloat16)[turn % 3])
            torch.set_num_threads(1 + turn % 2)
            with torch.set_grad_enabled(turn % 2 == 0):
                matrix = torch.rand(256, 256, requires_grad=True)
                (matrix @ matrix).sum()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(own_threads)
    assert turn > count
    assert arithmetic.arithmetic() == switches
    for each, one in zip(asked, making, strict=True):
        assert one.result().sha256 == inpaint(sample.image_path, sample.mask_path, PROMPT, keep=False, **each).sha256


def test_the_threads_own_settings_are_its_own(bench):
    """
    Thread count and grad mode of whoever asks are what they were after a picture was made.
    """
    own = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            bench.make(PROMPT, num_inference_steps=3, threads=1)
            assert torch.is_inference_mode_enabled()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(own)


# --- its end -------------------------------------------------------------------------------------------------------------------------------------


def test_the_thread_ends_when_there_is_nothing_to_do(bench):
    """
    A bench without work has no thread, and starts one for the next picture.
    """
    bench.make(PROMPT, num_inference_steps=3)
    deadline = time.monotonic() + IDLE_S + 5
    while threads() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threads() == 0
    assert bench.make(PROMPT, seed=1, num_inference_steps=3).number == 2


def test_threads_hurry_only_while_they_work(home):
    """
    However the work of two benches overlaps, Python switches threads as often as before once both have ended.
    """
    before = sys.getswitchinterval()
    first, second = Bench(tracking="off"), Bench(tracking="off")
    held = Held()
    making = first.start(PROMPT, num_inference_steps=3, on_step=lambda _: None), second.start(PROMPT, seed=1, num_inference_steps=3, on_step=held)
    making[0].wait(60)
    first.close()
    assert sys.getswitchinterval() < before
    held.go_on(99)
    making[1].result(60)
    second.close()
    assert sys.getswitchinterval() == before


def test_the_thread_ends_with_the_notebook(bench):
    """
    At the end of a notebook what is being made is cancelled, and the thread is gone; pictures that are made are kept.
    """
    bench.make(PROMPT, num_inference_steps=3)
    making = bench.start(PROMPT, num_inference_steps=900)
    endings.end_all()
    assert threads() == 0
    assert making.state == "cancelled"
    assert len(Bench.resume().pictures) == 1


LEFT_MAKING = """
import os
import threading

from sdxl_lab import Bench

bench = Bench(tracking="off")
begun = threading.Event()
making = bench.start("a blue star on grass", num_inference_steps=900, on_step=lambda _: begun.set())
assert begun.wait(120)
print(os.getpid(), sum(thread.name == "sdxl_lab bench" for thread in threading.enumerate()))
"""
LEFT = """
import os
import threading

print(os.getpid(), sum(thread.name == "sdxl_lab bench" for thread in threading.enumerate()))
"""


@pytest.mark.slow
def test_a_warm_kernel_ends_what_a_notebook_left_making(home):
    """
    The next notebook in a warm kernel finds the same process without the bench's thread, and what was being made left nothing.
    """
    first, second = (printed(execute(code, cwd=home)).split() for code in (LEFT_MAKING, LEFT))
    assert first[0] == second[0]
    assert (first[1], second[1]) == ("1", "0")
    assert not (home / "artifacts").exists()


LEFT_OPEN = """
from pathlib import Path

from sdxl_lab.process.endings import ends_with_the_notebook


class Thing:
    def close(self):
        Path("closed").touch()


thing = Thing()
ends_with_the_notebook(thing)
"""


def test_a_warm_kernel_ends_what_says_that_it_has_to_end(home):
    """
    Whatever has said so is ended after the notebook that began it, in the same kernel.
    """
    first = execute(LEFT_OPEN, "import os", "print(os.getpid())", cwd=home)
    assert (home / "closed").exists()
    assert printed(execute("import os", "print(os.getpid())", cwd=home)) == printed(first)

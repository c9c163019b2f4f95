"""Running sweeps: every point once, faults of the machine tried again, errors reported, whoever else is at work."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab.kernels import notebooks
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import Attempts
from sdxl_lab.sweeps.board import Board, status_of
from sdxl_lab.sweeps.sweep import Inline, Summary, SweepError, run_group, sweep
from tests.support.quick_sweeps import FRAC, SEED, tries
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global TrajectoryCache
    from sdxl_lab.generation.trajectory import TrajectoryCache


def pixels(folder: Path) -> np.ndarray:
    """The one picture of a run."""
    with Image.open(folder / "images" / "scene-1" / "inpaint.png") as image:
        return np.asarray(image)


def test_a_sweep_makes_every_point_and_the_pictures_of_runs_apart(planned, notebook):
    """
    Each point is recorded once, sharing changes no bit of it, and planning again finds all of it done.
    """
    made = planned(notebook(), grid={SEED: [1, -2], FRAC: [None, 0.6]})
    assert sweep(made, Inline()) == Summary(before=0, made=4, failed=())
    assert tries(made) == [["done"]] * 4
    assert all((item.folder / "record.json").is_file() and notebooks.is_whole(item.folder / "executed.ipynb") for item in made.runs)
    for item in made.runs:
        alone = dict(item.parameters) | {"runs_folder": str(item.folder.parent.parent / "alone")}
        apart = resolve(RunSpec.from_parameters(**alone))
        run(apart, trajectories=TrajectoryCache())
        assert np.array_equal(pixels(item.folder), pixels(apart.folder.path))
    again = planned(notebook(), grid={FRAC: [None, 0.6], SEED: [-2, 1]})
    assert not again.pending
    assert sweep(again, Inline()) == Summary(before=4, made=0, failed=())


def test_an_error_of_the_notebook_stops_its_point_alone(planned, notebook):
    """
    A point whose notebook fails is tried once and reported with why and where; the others are made.
    """
    made = planned(notebook(before="if hyperparameters['seed'] == 2: raise ValueError('two is bad')"), grid={SEED: [1, 2, 3]})
    ended = sweep(made, Inline())
    assert (ended.before, ended.made) == (0, 2)
    [failure] = ended.failed
    assert failure.label == "seed=2"
    assert "ValueError: two is bad" in failure.message
    assert failure.notebook == made.runs[1].folder / "failed.ipynb"
    assert tries(made) == [["done"], ["failed"], ["done"]]
    with pytest.raises(SweepError, match=r"1 run failed; .* tries these again") as caught:
        ended.check()
    assert str(failure.notebook) in str(caught.value)
    mended = planned(notebook(), grid={SEED: [1, 2, 3]})
    assert [item.label for item in mended.pending] == ["seed=2"]
    assert sweep(mended, Inline()) == Summary(before=2, made=1, failed=())


class Losing(Inline):
    """An executor whose worker is lost in the midst of its first groups, as an executor of processes says it."""

    def __init__(self, *losses: int) -> None:
        self.losses = list(losses)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run so many of the group's points, begin one more, and be lost."""
        if not self.losses:
            return super().submit(fn, *args, **kwargs)
        notebook, tasks, name, folder = args
        count, future = self.losses.pop(0), Future()
        super().submit(run_group, notebook, tasks[: max(count, 0)], name, folder).result()
        if count >= 0:
            Attempts(tasks[count].runs_folder, tasks[count].run_id).begin(name)
        future.set_exception(RuntimeError("the worker is gone"))
        return future


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ((1,), [["done"], [None, "done"], ["done"]]),
        ((-1,), [["done"]] * 3),
        ((2, 0), [["done"], ["done"], [None, None, "done"]]),
    ],
)
def test_a_lost_worker_costs_nothing_but_time(planned, notebook, losses, expected):
    """
    What a lost worker recorded counts, what it was at is tried again, and what it had not begun is made by the next.
    """
    made = planned(notebook(), grid={FRAC: [None, 0.8, 0.6]})
    assert sweep(made, Losing(*losses)) == Summary(before=0, made=3, failed=())
    assert tries(made) == expected


def test_a_point_that_loses_every_worker_is_given_up(planned, notebook):
    """
    After three lost workers the point they were at is to blame, and those after it are made.
    """
    made = planned(notebook(), grid={FRAC: [None, 0.8, 0.6]})
    ended = sweep(made, Losing(1, 0, 0))
    assert [failure.label for failure in ended.failed] == ["high_noise_frac=0.8"]
    assert "its worker was lost 3 times: the worker is gone" in ended.failed[0].message
    assert tries(made) == [["done"], [None] * 3, ["done"]]


def test_workers_that_never_begin_are_not_asked_for_ever(planned, notebook):
    """
    An executor whose workers are lost before they do anything ends the sweep with its own words.
    """
    ended = sweep(planned(notebook(), grid={FRAC: [None, 0.8]}), Losing(*[-1] * 9))
    assert [failure.message for failure in ended.failed] == ["no worker could begin it: the worker is gone"] * 2


def test_an_executor_that_is_closed_is_an_error(planned, notebook):
    """
    Work that no executor takes ends the sweep with one message.
    """

    class Closed(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise RuntimeError("cannot schedule new futures after shutdown")

    with pytest.raises(SweepError, match=r"take no more work .*cannot schedule new futures"):
        sweep(planned(notebook()), Closed())


def test_a_point_that_somebody_else_makes_is_waited_for(planned, notebook):
    """
    A point that another process holds is passed over, looked at again at the end, and made if the other one left without it.
    """
    made = planned(notebook(), grid={SEED: [1, 2]})
    held = Attempts(made.runs[0].folder.parent, made.runs[0].run_id)
    taken, released = threading.Event(), threading.Event()

    def hold() -> None:
        with held.alone():
            taken.set()
            while not (made.runs[1].folder / "executed.ipynb").exists():
                time.sleep(0.1)
        released.set()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    assert sweep(made, Inline()) == Summary(before=0, made=2, failed=())
    assert released.is_set()
    thread.join()
    assert tries(made) == [["done"], ["done"]]


def test_ctrl_c_takes_back_what_has_not_started(planned, notebook):
    """
    An interruption ends the sweep, cancels what waits, and keeps what is recorded.
    """
    futures: list[Future[Any]] = []

    class Interrupted(Inline):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            if not futures:
                futures.append(super().submit(fn, *args, **kwargs))
            elif len(futures) == 1:
                futures.append(Future())
            else:
                raise KeyboardInterrupt
            return futures[-1]

    made = planned(notebook(), grid={SEED: [1, 2, 3]})
    with pytest.raises(KeyboardInterrupt):
        sweep(made, Interrupted())
    assert futures[1].cancelled()
    assert [item.status for item in planned(notebook(), grid={SEED: [1, 2, 3]}).runs] == ["done", "new", "new"]


def test_the_board_tells_from_the_disk(planned, notebook):
    """
    What runs, is done and failed, and the time left, are read from attempts and pictures, and attempts of other commands don't count.
    """
    made = planned(notebook(), grid={SEED: [1, 2, 3, 4]})
    done, running, failed, waiting = made.runs
    folder = done.folder.parent
    for item, end in ((done, "done"), (running, None), (failed, "failed")):
        Attempts(folder, item.run_id).begin("mine")
        if end:
            Attempts(folder, item.run_id).end("mine", end, "because [/b] of [red]" if end == "failed" else "")
    Attempts(folder, waiting.run_id).begin("another's")
    assert [status_of(item, "mine").state for item in made.runs] == ["done", "runs", "failed", "waits"]
    board = Board(made, "mine")
    assert board.line(board.statuses()).startswith("1 of 4 done, 1 running, 1 to go, 1 failed, about 0:0")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(board)
    shown = console.export_text()
    assert "seed=2" in shown
    assert "because [/b] of [red]" in shown
    assert "seed=4" not in shown

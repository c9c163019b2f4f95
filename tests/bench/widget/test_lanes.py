"""A lane's work: in the order in which it came, one thing after the other."""

from __future__ import annotations

import queue
import sys
import time

from sdxl_lab.bench.widget.lanes import Lane


def test_what_waits_lets_later_work_pass():
    """
    Work that is to wait is done when its time has come, after what came later, and work of its kind takes its place.
    """
    done: queue.Queue[tuple[str, float]] = queue.Queue()
    lane = Lane("tried", lambda error: done.put((repr(error), 0.0)))
    began = time.monotonic()
    for name, kind, after_s in (("early", "check", 0.3), ("late", "check", 0.3), ("now", None, 0.0), ("soon", None, 0.1)):
        lane.put(lambda name=name: done.put((name, time.monotonic() - began)), instead=kind, after_s=after_s)
    found = [done.get(timeout=10) for _ in range(3)]
    assert [name for name, _ in found] == ["now", "soon", "late"]
    assert found[1][1] >= 0.1
    assert found[2][1] >= 0.3
    assert done.empty()


def test_work_that_need_not_wait_is_not_kept_by_what_does():
    """
    The same kind of work, put again without a wait, is done at once, and a lane whose work failed goes on.
    """
    done: queue.Queue[str] = queue.Queue()
    lane = Lane("tried", lambda error: done.put(type(error).__name__))
    lane.put(lambda: done.put("waits"), instead="check", after_s=60)
    lane.put(lambda: 1 / 0)
    lane.put(lambda: done.put("checked"), instead="check")
    assert [done.get(timeout=10) for _ in range(2)] == ["ZeroDivisionError", "checked"]


def test_a_lane_goes_on_where_nobody_can_be_told(monkeypatch):
    """
    Where it cannot be told that work failed, that is said in the kernel's own log, and the work after it is done.
    """
    done: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(sys, "excepthook", lambda *of: done.put(of[0].__name__))

    def fails(_: BaseException) -> None:
        raise ConnectionError

    lane = Lane("tried", fails)
    lane.put(lambda: 1 / 0)
    lane.put(lambda: done.put("after"))
    assert [done.get(timeout=10) for _ in range(2)] == ["ConnectionError", "after"]

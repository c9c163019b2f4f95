"""What imports large libraries looks for no garbage meanwhile, and leaves the collector as it was."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import pytest

from sdxl_lab.process.imports import MANY, importing


@pytest.fixture(params=[True, False], ids=["on", "off"])
def collects(request):
    """
    The collector, on or off as a user may have it.
    """
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_the_collector_rests_while_libraries_are_imported(collects):
    """
    It rests until the outermost of several holders is through, by an error too; then it is as it was, with its thresholds.
    """
    thresholds = gc.get_threshold()

    def failing() -> None:
        with importing:
            with importing:
                assert not gc.isenabled()
            assert not gc.isenabled()
            raise ImportError

    with pytest.raises(ImportError):
        failing()
    assert (gc.isenabled(), gc.get_threshold()) == (collects, thresholds)


OLD = """
import gc, weakref
from sdxl_lab.process.imports import MANY, importing

class Loop:
    def __init__(self):
        self.itself = self

with importing:
    made = [[number] for number in range(2 * MANY)]
    garbage = weakref.ref(Loop())
print([any(found is made for found in gc.get_objects(generation=generation)) for generation in range(3)], gc.get_freeze_count(), garbage() is None)
gc.collect()
print(garbage() is None)
"""


def test_what_was_imported_is_not_walked_through_at_once():
    """
    In a process that froze nothing, what was made while libraries were imported is old afterwards; garbage in it is found when all is looked at.
    """
    done = subprocess.run([sys.executable, "-c", OLD], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[False, False, True] 0 False", "True"], done.stderr


def test_what_somebody_froze_stays_frozen():
    """
    Libraries that are imported after a `gc.freeze()` take nothing out of it.
    """
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        with importing:
            made = [[number] for number in range(2 * MANY)]
        assert gc.get_freeze_count() > 0.9 * count
        del made
    finally:
        gc.unfreeze()


def test_of_two_threads_that_import_one_waits_for_the_other(collects):
    """
    A second thread gets in after the first has left, and finds the collector at rest; after both it is as it was.
    """
    seen: list[tuple[str, bool]] = []
    asked = threading.Event()

    def second() -> None:
        asked.set()
        with importing:
            seen.append(("second", gc.isenabled()))

    thread = threading.Thread(target=second)
    with importing:
        thread.start()
        assert asked.wait(60)
        thread.join(0.05)
        seen.append(("first", gc.isenabled()))
    thread.join()
    assert seen == [("first", False), ("second", False)]
    assert gc.isenabled() == collects

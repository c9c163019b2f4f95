"""Startup files of IPython and a warm kernel: what they did is there for each notebook, and is nobody's leftover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sdxl_lab.kernels import engine
from tests.support.warm_notebooks import execute, printed

STARTUP = """
import collections, threading, time, types
import numpy as np
import matplotlib

matplotlib.rcParams["figure.dpi"] = 77
np.set_printoptions(precision=3)
COLOURS = ["red", {"name": "blue", "parts": [1, 2]}]
SETTINGS = types.SimpleNamespace(size=3)
CHOSEN = {1, 2}
__author__ = "startup"

def helper(x, seen=[]):
    seen.append(x)
    return (x, len(seen), COLOURS[0], open is not None)
helper.unit = "px"

class Tool:
    size = 1
    def use(self):
        return self.size
tool = Tool()
tool.own = 5

def _wrap_library():
    original, calls = collections.Counter.most_common, []
    def counted(self, *args):
        calls.append(1)
        return original(self, *args)
    counted.calls = calls
    collections.Counter.most_common = counted
_wrap_library()

def beat():
    while True:
        time.sleep(0.01)
threading.Thread(target=beat, daemon=True, name="beat").start()
get_ipython().run_line_magic("alias", "greet echo hello")

from IPython.core.magic import register_line_magic
@register_line_magic
def double(line):
    return 2 * int(line)
"""

USE = """
import collections, threading
print(helper(1), helper.unit, helper.__defaults__, helper.__name__)
print(Tool.size, sorted(name for name in vars(Tool) if name[0] != "_"), tool.use(), vars(tool))
print(COLOURS, SETTINGS, CHOSEN, __author__, __name__, __doc__, __spec__, sorted(name for name in globals() if not name.startswith("_")))
print(matplotlib.rcParams["figure.dpi"], np.float64(1) / 3, np.array([1 / 3]), get_ipython().run_line_magic("double", "4"))
print(collections.Counter("aab").most_common(1), collections.Counter.most_common.__name__)
print("beat" in {thread.name for thread in threading.enumerate()})
%greet
"""

SPOILED = {
    "names": "helper = Tool = tool = COLOURS = SETTINGS = np = __author__ = __name__ = __doc__ = 1; del CHOSEN, matplotlib, __spec__",
    "a function": "def fake(x): return x\nhelper.__code__ = fake.__code__; helper.__defaults__ = (1,); helper.unit = helper.other = 'cm'",
    "a default": "helper(3); helper.__defaults__[0].append('more')",
    "a class": "Tool.use = lambda self: 0; Tool.more = 1; Tool.size = 2; tool.own = tool.use = 6; tool.more = 7",
    "lists and dictionaries": "COLOURS[1]['parts'].append(9); COLOURS[1]['more'] = 1; COLOURS.insert(0, 'green'); CHOSEN.add(3); SETTINGS.size = 4",
    "settings": "import matplotlib.pyplot as plt; plt.rcParams['figure.dpi'] = 33; np.set_printoptions(precision=1)",
    "a magic": "from IPython.core.magic import register_line_magic\ndef triple(line): return 3\nregister_line_magic('double')(triple)",
    "an alias": "get_ipython().run_line_magic('unalias', 'greet')",
    "a collection, as before a checkpoint is loaded": "import gc; gc.unfreeze(); gc.collect()",
    "an error in a cell": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    helper.unit = 'cm'",
}


@pytest.fixture(scope="module", autouse=True)
def profile(tmp_path_factory) -> Iterator[None]:
    """A user with a startup file; one kernel for all tests."""
    engine.close()
    folder = tmp_path_factory.mktemp("ipython")
    (folder / "profile_default" / "startup").mkdir(parents=True)
    (folder / "profile_default" / "startup" / "mine.py").write_text(STARTUP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(folder))
        yield
        engine.close()


def run(*sources: str, **options: Any) -> str:
    """What a notebook prints."""
    return printed(execute(*sources, **options))


def pid() -> int:
    """The kernel's process id."""
    return int(run("import os; print(os.getpid())"))


@pytest.fixture(scope="module")
def alone() -> str:
    """What the use of a startup file prints in a kernel of its own."""
    return run(USE, isolated=True)


@pytest.mark.parametrize("what", SPOILED)
def test_a_startup_file_is_there_for_each_notebook_as_for_the_first(what, alone):
    """
    Whatever a notebook does to the names, objects and settings that a startup file made, the next one finds what a new kernel has; it is kept.
    """
    told: list[str] = []
    before = pid()
    assert run(USE) == alone
    run(SPOILED[what], tell=told.append)
    assert run(USE, tell=told.append) == alone
    assert pid() == before
    assert told == []


def test_a_startup_file_runs_once():
    """
    What it wraps is wrapped once, and goes on counting.
    """
    count = (
        "import collections\nc = collections.Counter.most_common.__globals__\ncounted = collections.Counter.most_common\nprint(len(counted.calls))"
    )
    before = int(run(count))
    run("import collections; collections.Counter('a').most_common()")
    assert int(run(count)) == before + 1


LEFT = {
    "a function": ("import wave\ndef own(*_): pass\nwave.open = own", "left function own in wave.open"),
    "a function made by a startup file's own": ("import wave\nTool.make = lambda self: (lambda: 1)\nwave.open = tool.make()", "in wave.open"),
    "a thread on a startup file's function": ("threading.Thread(target=beat, daemon=True, name='mine').start()", "left thread mine running"),
}


@pytest.mark.parametrize("what", LEFT)
def test_a_notebooks_own_is_told_from_a_startup_files(what):
    """
    In such a kernel too, what a notebook leaves is seen, also where it works with a startup file's functions.
    """
    source, cause = LEFT[what]
    told: list[str] = []
    before, own = pid(), run(USE)
    execute(source, tell=told.append)
    assert len(told) == 1
    assert cause in told[0]
    assert run(USE) == own
    assert pid() != before

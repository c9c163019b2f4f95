"""The warm engine: what a notebook sees of those before it, and which kernel it gets."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pytest
from papermill.exceptions import PapermillExecutionError

from sdxl_lab.kernels import engine
from sdxl_lab.kernels.process import Kernel
from tests.support.edits import crossed
from tests.support.warm_notebooks import execute, printed

LOOK = """
import asyncio, builtins, gc, logging, os, random, signal, sys, threading, warnings
print(sorted(name for name in globals() if not name.startswith('_')))
print(sorted(item for item in os.environ.items() if not item[0].startswith('JPY_')))
print(os.getcwd(), sys.path, len(sys.argv), sys.argv[:2], sys.getrecursionlimit(), os.umask(18))
print([name for name in ('stdout', 'stderr', 'excepthook', 'displayhook') if getattr(sys, name) is None], len(vars(builtins)), print, type(copyright))
print(hasattr(sys, 'last_value'), gc.isenabled())
print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGUSR1), signal.getitimer(signal.ITIMER_REAL))
print(warnings.filters, warnings.showwarning.__module__)
print(logging.root.level, logging.root.handlers, logging.root.manager.disable, logging.getLogger('asyncio').level)
print(__name__, __spec__, __doc__, random.random() == 0.13436424411240122)
"""

AT_TORCH = """
import torch
import numpy as np
from sdxl_lab.process.threads import machine_threads
print(torch.initial_seed() == 1, np.random.rand() == 0.417022004702574)
print(torch.tensor(1.5).dtype, torch.tensor(1.5).device, torch.is_grad_enabled(), torch.get_num_threads(), machine_threads())
print(torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(), torch.is_autocast_enabled('cpu'))
print(torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.is_anomaly_enabled(), torch.tensor([1e-310], dtype=torch.float64) * 1)
print(np.geterr(), np.float64(1) / 3, torch.tensor(1 / 3, dtype=torch.float64), get_ipython().execution_count, get_ipython().custom_exceptions)
"""

MESS = {
    "variables": "x = 1; print = len; _leftover = 2; In.append('x')",
    "the environment": "import os; os.environ['ANY'] = '1'; os.environ.pop('PATH'); os.environ['HOME'] = '/nowhere'",
    "the working folder": "import os; os.chdir('/')",
    "the import path": "import sys; sys.path.insert(0, '/nowhere'); sys.path = ['/']; sys.argv[:] = ['x']; sys.setrecursionlimit(5000)",
    "standard streams": "import io, sys; sys.stderr = io.StringIO(); sys.displayhook = sys.excepthook = repr",
    "builtins": "import builtins; builtins.copyright = 1; builtins.anything = 1",
    "signals": "import os, signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN); signal.setitimer(signal.ITIMER_REAL, 500); os.umask(0)",
    "warnings": "import warnings; warnings.simplefilter('error'); warnings.filters = []; warnings.showwarning = repr",
    "logging": "import logging; logging.basicConfig(level=1, force=True); logging.disable(50); logging.getLogger('asyncio').setLevel(50)",
    "random numbers": "import random, torch, numpy as np; random.seed(1); torch.manual_seed(1); np.random.seed(1)",
    "types and devices": "import torch; torch.set_default_dtype(torch.float64); torch.set_default_device('meta')",
    "threads": "import torch; torch.set_num_threads(3)",
    "threads of the lab": "import torch; from sdxl_lab.process.threads import use_threads; torch.set_num_threads(3); use_threads(2)",
    "gradients": "import torch; torch.set_grad_enabled(False); torch.autograd.set_detect_anomaly(True)",
    "determinism": "import torch; torch.use_deterministic_algorithms(True); torch.set_float32_matmul_precision('medium')",
    "switches": "import torch; torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = True; torch.set_flush_denormal(True)",
    "inference mode": "import torch; mode = torch.inference_mode(); mode.__enter__()",
    "autocast": "import torch; torch.autocast('cpu', dtype=torch.bfloat16).__enter__()",
    "printing": "import torch, numpy as np; torch.set_printoptions(precision=1); np.set_printoptions(precision=1); np.seterr(all='ignore')",
    "a garbage collector": "import gc; gc.disable()",
    "an error": "def deep(n):\n    y = object()\n    deep(n - 1) if n else 1 / 0\ndeep(9)",
    "exit": "exit()",
    "a class that typing remembers": "from typing import Optional\nclass A:\n    def f(self): return 1\nx: Optional[A] = None",
    "names of its own module": "__name__ = __spec__ = 'x'",
    "a handled thread": "import threading; thread = threading.Thread(target=lambda: 1); thread.start(); thread.join()",
    "functions": "class A:\n    def f(self): return self.f\na = A(); a.a = a; g = lambda: a",
}

STAINS = {
    "a class in a library": "import wave\nclass own: pass\nwave.open = own",
    "a thread": "import threading, time\ndef work():\n    while True: time.sleep(0.01)\nthreading.Thread(target=work, daemon=True).start()",
    "a task": "import asyncio\nasync def work():\n    await asyncio.sleep(600)\ntask = asyncio.create_task(work())\nawait asyncio.sleep(0)",
    "what a CUDA error leaves": "raise RuntimeError('CUDA error: device-side assert triggered')",
}
TORCH_HOOK = "torch.nn.modules.module.register_module_forward_hook"
STAINS_OF_TORCH = {
    "a patched library": "import torch; torch.rand = lambda *_: 'patched'",
    "a patch before a checkpoint is loaded": "import gc, torch; torch.rand = lambda *_: 1; gc.unfreeze(); gc.collect()",
    "a hook on all of torch's modules": f"import torch, operator; {TORCH_HOOK}(operator.is_)",
    "a mode of torch": "import torch\nclass Mode(torch.overrides.TorchFunctionMode): pass\nMode().__enter__()",
}

PID = "import os; print(os.getpid())"


@pytest.fixture(scope="module", autouse=True)
def cold() -> Iterator[None]:
    """Leave no kernel behind."""
    engine.close()
    yield
    engine.close()


def seen_first(path: Path) -> str:
    """What a notebook on disk saw that looked before it did anything else."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.source in (LOOK, AT_TORCH)]
    assert len(cells) == 2
    return printed(nbformat.v4.new_notebook(cells=cells))


def look(**options: Any) -> str:
    """What a notebook sees, less what is different in every process."""
    return printed(execute(LOOK, *([AT_TORCH] if options else []), **options))


def mess_up(*sources: str, **options: Any) -> None:
    """Run a notebook that leaves something behind."""
    with suppress(PapermillExecutionError):
        execute(*sources, **options)


def kernel(**options: Any) -> int:
    """The process id of the kernel that serves the next notebook."""
    return int(printed(execute(PID, **options)))


WITH_TORCH: dict[str, Any] = {"preload": ("torch",)}


def test_a_notebook_sees_nothing_of_those_before_it(capfd, tmp_path):
    """
    Whatever a notebook changes of the process, the next one in the same kernel sees what the first one saw; each of these looks before it changes.
    """
    first, own = kernel(**WITH_TORCH), look(**WITH_TORCH)
    before = "none"
    for mess, source in MESS.items():
        mess_up(LOOK, AT_TORCH, source, output=str(tmp_path / "mess.ipynb"), **WITH_TORCH)
        assert own == seen_first(tmp_path / "mess.ipynb"), before
        before = mess
    assert look(**WITH_TORCH) == own, before
    assert kernel(**WITH_TORCH) == first


def costs_a_kernel(source: str, **options: Any) -> bool:
    """Whether the next notebook runs in another kernel, and sees there what the first one saw."""
    before, own = kernel(**options), look(**options)
    mess_up(source, **options)
    return look(**options) == own and kernel(**options) != before


@pytest.mark.parametrize("stain", crossed(STAINS_OF_TORCH, quick=lambda stain: stain not in ("a patched library", "a mode of torch")))
def test_what_cannot_be_undone_of_torch_costs_a_kernel(stain):
    """
    When something of a notebook lives on in torch, the next notebook runs in a new kernel.
    """
    assert costs_a_kernel(STAINS_OF_TORCH[stain], **WITH_TORCH)


@pytest.mark.parametrize("stain", crossed(STAINS, quick=lambda stain: stain not in ("a thread", "a task")))  # in the sweeps' tests, with the reason
def test_what_cannot_be_undone_costs_a_kernel(stain):
    """
    When something of a notebook lives on in the process, or its GPU may be in disorder, the next notebook runs in a new kernel.
    """
    assert costs_a_kernel(STAINS[stain])


def test_an_isolated_notebook_has_a_kernel_of_its_own():
    """
    A notebook whose metadata says so gets a new kernel that no other notebook gets, and leaves the warm one as it is.
    """
    before = kernel()
    alone = [kernel(metadata={"isolated": True}) for _ in range(2)]
    assert len({before, *alone}) == 3
    assert kernel() == before


def test_a_notebook_starts_in_the_folder_and_environment_of_its_caller(tmp_path, monkeypatch):
    """
    Relative paths begin where the caller stands, a module beside the notebook is the one of that folder, and a changed environment is seen.
    """
    seen = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text(f"here = {name!r}")
        monkeypatch.chdir(tmp_path / name)
        seen.append(printed(execute("import os, beside; print(os.path.basename(os.getcwd()), beside.here)")))
    assert seen == ["one one\n", "two two\n"]
    before = kernel()
    monkeypatch.setenv("ANY_NAME", "any value")
    assert printed(execute("import os; print(os.environ['ANY_NAME'])")) == "any value\n"
    assert kernel() != before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # jupyter_core leaves the event loop of a thread open
def test_each_thread_has_a_kernel_that_ends_with_it():
    """
    Two threads run notebooks at once in two kernels; a thread's kernel ends when the thread does.
    """
    own, others = kernel(), []
    thread = threading.Thread(target=lambda: others.append(kernel()))
    thread.start()
    thread.join()
    [other] = others
    assert other != own
    assert not Path("/proc", str(other)).exists()
    assert kernel() == own
    gc.collect()


def test_closing_ends_the_kernel_and_removes_its_sockets():
    """
    After `close` there is neither a process nor a folder; closing twice is harmless.
    """
    pid = kernel()
    [folder] = [Path(argument).parent for argument in Path(f"/proc/{pid}/cmdline").read_text().split("\0") if argument.endswith("kernel.json")]
    assert folder.stat().st_mode & 0o077 == 0
    engine.close()
    engine.close()
    assert not folder.exists()
    assert not Path("/proc", str(pid)).exists()


def test_a_running_experiment_ends_with_its_notebook(tmp_path):
    """
    An experiment of Comet that a notebook leaves open is ended: its archive is there, and the next notebook runs without one.
    """
    options = f"offline_directory={str(tmp_path)!r}, display_summary_level=0, log_code=False, auto_output_logging=False"
    start = f"import comet_ml; comet_ml.OfflineExperiment(project_name='x', {options})"
    environment = {"HOME": str(tmp_path), "COMET_LOGGING_CONSOLE": "ERROR"}
    setup = f"import os; os.environ.update({environment!r})"
    before = int(printed(execute(setup, start, PID)).split()[-1])
    assert list(tmp_path.glob("*.zip"))
    assert printed(execute("import comet_ml; print(comet_ml.get_running_experiment())", PID)) == f"None\n{before}\n"


@pytest.mark.parametrize("first", ["papermill", "sdxl_lab.kernels.engine"])
def test_papermill_finds_the_engine_by_its_name(first):
    """
    The installed package offers the engine to papermill under the name `warm`, whichever of the two is imported first.
    """
    code = f"import {first}, papermill.engines, sdxl_lab.kernels.engine\n"
    code += "found = papermill.engines.papermill_engines.get_engine('warm').execute_notebook\n"
    code += "assert found == sdxl_lab.kernels.engine.WarmEngine.execute_notebook"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unlikely_kernel_serves_one_notebook(monkeypatch):
    """
    A kernel that cannot import this package runs its notebook, and is not kept.
    """
    monkeypatch.setattr(Kernel, "ask", lambda *_: "ModuleNotFoundError")
    assert kernel() != kernel()

"""What importing the package does to a process: nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

IMPORT_ALL = '''
import atexit, importlib, locale, os, pkgutil, signal, sys, warnings

OTHERS = """{others}"""
for name in OTHERS.split():
    importlib.import_module(name)
import torch


def process():
    """All that a room could change of it."""
    return {{
        "filters": list(warnings.filters),
        "environment": dict(os.environ),
        "callbacks at the end": atexit._ncallbacks(),
        "signals": {{number: signal.getsignal(number) for number in signal.valid_signals()}},
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads(), __import__("cv2").getNumThreads()),
        "switches": (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_float32_matmul_precision()),
        "path": list(sys.path),
        "arguments": list(sys.argv),
        "hooks": (sys.excepthook, sys.displayhook, sys.stdout, sys.stderr),
        "encoding": (sys.getdefaultencoding(), locale.getlocale()),
        "folder": os.getcwd(),
    }}


import sdxl_lab
before = process()
for module in pkgutil.walk_packages(sdxl_lab.__path__, "sdxl_lab."):
    importlib.import_module(module.name)
after = process()
print([name for name in before if before[name] != after[name]], len([name for name in sys.modules if name.startswith("sdxl_lab.")]))
'''

OTHERS = """
torch diffusers transformers accelerate safetensors huggingface_hub comet_ml cv2 papermill papermill.engines nbclient jupyter_client zmq IPython
matplotlib pandas scipy.ndimage scipy.stats skimage.color skimage.metrics PIL.Image pydantic yaml rich.console rich.progress tqdm.auto typer
"""


@pytest.mark.slow
def test_importing_a_room_changes_nothing_in_the_process():
    """
    In a process that has imported the libraries, all modules of the package leave filters, environment, callbacks, handlers and threads as they are.
    """
    code = IMPORT_ALL.format(others=OTHERS)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    changed, count = done.stdout.rsplit(maxsplit=1)
    assert changed == "[]", done.stderr
    assert int(count) > 150

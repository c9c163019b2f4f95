"""What made a picture: library versions and machine facts. Nothing here imports the libraries it names."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = {
    "sdxl_lab": "sdxl-lab",
    "torch": "torch",
    "diffusers": "diffusers",
    "transformers": "transformers",
    "numpy": "numpy",
    "pillow": "pillow",
    "opencv": "opencv-python",
}
"""The libraries whose code decides pixels, by the name records give them, and the distribution that holds each."""


@cache
def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Look up the versions that decide pixels.

    Returns:
        Python's version and those of the installed libraries, such as `{"python": "3.11.9", "torch": "2.6.0+cpu"}`.
    """
    found = {name: _version(distribution) for name, distribution in LIBRARIES.items()}
    return {"python": platform.python_version()} | {name: version for name, version in found.items() if version}


@cache
def commit() -> str | None:
    """Name the commit of sdxl_lab's own checkout, where it runs from one.

    Returns:
        40 hexadecimal digits, `+changes` behind them where its files are not those of the commit; None where it is installed, or git is not.
    """
    if _git("ls-files", "--error-unmatch", "__init__.py") is None or (head := _git("rev-parse", "HEAD")) is None:
        return None
    return head.strip() + ("" if _git("diff", "--quiet", "HEAD", "--", ".") is not None else "+changes")


def _git(*words: str) -> str | None:
    """What git says of the package's folder; None if it fails."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # of another repository, as in its hooks
    package = Path(__file__).resolve().parent.parent
    try:
        done = subprocess.run(["git", *words], cwd=package, env=others, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout


def instruction_set() -> str | None:
    """Name the CPU instructions torch computes with, which change the last bits of pictures made on the CPU.

    Returns:
        Such as `AVX2` or `AVX512`; None as long as torch is not imported.
    """
    torch = sys.modules.get("torch")
    return torch.backends.cpu.get_cpu_capability() if torch else None


def threads() -> int | None:
    """Count the CPU threads torch computes with; None as long as torch is not imported."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else None


def hardware(device: str) -> str:
    """Name the model of what computes on a device, which may change the last bits of a picture.

    Args:
        device: As torch writes it, such as `cpu` or `cuda:0`.

    Returns:
        The GPU's name for `cuda`, as far as torch is imported; else the processor's.
    """
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return _processor()


def forget_gpu_peak() -> None:
    """Begin anew to measure the GPU's peak memory, if torch is imported and there is a GPU."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, float]:
    """Measure how much memory was needed at most.

    Returns:
        `peak_memory_bytes`: resident memory of this process since it began, where the system tells. `gpu_peak_memory_bytes`: what torch
        held on the GPU since `forget_gpu_peak`, if there is one.
    """
    peaks: dict[str, float] = {}
    if sys.platform != "win32":
        import resource

        unit_bytes = 1 if sys.platform == "darwin" else 1024
        peaks["peak_memory_bytes"] = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes)
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        peaks["gpu_peak_memory_bytes"] = float(torch.cuda.max_memory_allocated())
    return peaks


def facts() -> dict[str, Any]:
    """Describe this machine, for its owner: the description is written to `local.json` and sent nowhere.

    Returns:
        Processor, cores, operating system, versions, and, once torch is imported, its instruction set, threads and GPUs.
    """
    torch = sys.modules.get("torch")
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if torch and torch.cuda.is_available() else []
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": sys.executable,
        "instruction_set": instruction_set(),
        "threads": threads(),
        "gpus": gpus,
        "versions": versions(),
    }


@cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()

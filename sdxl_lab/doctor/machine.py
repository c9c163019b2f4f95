"""The machine without any library: system, processor, main memory, and whether it has an NVIDIA GPU at all."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sdxl_lab.doctor.findings import Finding, attention, broken, ok

LEAST_FREE_BYTES = 2 * 10**9
"""Python, torch and diffusers take one when they are imported; the rest is for pocket's pictures."""

OLDEST = (3, 11)


def system(_: str | None) -> Iterator[Finding]:
    """Which system, processor and Python."""
    from sdxl_lab.records.machine import facts

    where = f"{platform.system()} {platform.release().partition('-')[0]}, {platform.machine()}"
    own = " of a virtual environment" if sys.prefix != sys.base_prefix else ""
    bits = 64 if sys.maxsize > 2**32 else 32
    line = f"{where}; {facts()['processor']}, {cores()} cores; {platform.python_implementation()} {platform.python_version()}{own}"
    if sys.version_info < OLDEST or bits != 64:
        yield broken("system", f"{line}, {bits} bits", f"take a 64-bit Python {'.'.join(map(str, OLDEST))} or newer")
    else:
        yield ok("system", line)


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory(_: str | None) -> Iterator[Finding]:
    """Main memory: all of it, or as much as a container may use, and what of it is free."""
    import psutil

    main = psutil.virtual_memory()
    total_bytes, free_bytes, within = main.total, main.available, ""
    if (limit := _limit()) is not None and limit[0] < total_bytes:
        total_bytes, free_bytes, within = limit[0], min(free_bytes, limit[0] - limit[1]), " that this container may use"
    line = f"{free_bytes / 1e9:.1f} of {total_bytes / 1e9:.1f} GB of main memory{within} are free"
    if free_bytes < LEAST_FREE_BYTES:
        yield attention("memory", line, "end what else takes memory; SDXL with its refiner is loaded through about 14 GB")
    else:
        yield ok("memory", line)


def _limit() -> tuple[int, int] | None:
    """The bytes a container may use, and those in use, where the system sets a limit."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()), int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def nvidia_driver() -> str | None:
    """The version of the NVIDIA driver that the system runs, whatever torch makes of it; empty where it tells none, None without one."""
    try:
        words = Path("/proc/driver/nvidia/version").read_text().split()
        return next((word for word in words if word.count(".") in (1, 2) and word.replace(".", "").isdigit()), "")
    except OSError:
        pass
    if (tool := shutil.which("nvidia-smi")) is None:
        return None
    try:
        asked = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        return None

"""What runs a sweep: worker processes here, or Parsl wherever a site file says."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdxl_lab.errors import LabError
from sdxl_lab.kernels import notebooks
from sdxl_lab.process.quiet import quiet_libraries
from sdxl_lab.runs.early import PRELOAD, asked_before
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.sweeps.workers import Workers, available_cores, visible_gpus

EXAMPLE = "config = parsl.Config(executors=[parsl.HighThroughputExecutor(...)])"


class ExecutorError(LabError):
    """A sweep cannot be run where it was asked to."""


@contextmanager
def opened(workers: int, site: Path | None = None) -> Iterator[Executor]:
    """Start what runs a sweep, and end it with the block; at once, if the block ends with an error.

    Args:
        workers: Processes on this machine, 1 or more, each with a warm kernel, and with a GPU of its own where there are several.
        site: A Python file that assigns a `parsl.Config` to `config`: Slurm, PBS, Kubernetes or local blocks. It decides on the workers.

    Yields:
        The executor.

    Raises:
        ExecutorError: Parsl is not installed, or the site file assigns no configuration.
    """
    with _on_site(site) if site else Workers(workers) as executor:
        try:
            yield executor
        except BaseException:
            if site:
                executor.shutdown(wait=False)  # Parsl's own end of a block would wait for all that was submitted
            raise


def prepare(executor: Executor, file: SweepFile, workers: int) -> None:
    """Start workers and their kernels, which import what makes pictures while the sweep is planned; none for runs that seem to be done.

    Args:
        executor: From `opened`. Parsl decides itself when its workers start.
        file: The sweep.
        workers: As for `opened`.
    """
    if not isinstance(executor, Workers):
        return
    quiet_libraries()  # in their environment too
    new = sum(not asked_before(point.spec) for point in file.points)
    for _ in range(min(workers, new)):
        executor.submit(notebooks.start_warm, str(file.notebook), PRELOAD, str(Path.cwd()))


def remarks(workers: int, groups: int, site: Path | None = None) -> tuple[str, ...]:
    """Say what is odd about a number of workers, one line each, before they start.

    Args:
        workers: As for `opened`.
        groups: How many groups of points there are to run, each by one worker.
        site: As for `opened`.
    """
    if site:
        return (f"--workers {workers} has no effect: {site} says how many there are",) if workers > 1 else ()
    found, gpus = [], len(visible_gpus()) if workers > 1 else 0
    if gpus and workers > gpus:
        one = f"{gpus} GPU{'s' if gpus > 1 else ''}"
        found.append(f"{workers} workers share {one}: each loads the models anew, which may not fit; --workers {gpus} gives each a GPU of its own")
    elif not gpus and workers > (cores := available_cores()):
        found.append(f"{workers} workers share {cores} cores: that is no faster than --workers {cores}, and each loads the models anew")
    if workers > groups:
        found.append(f"of {workers} workers {workers - groups} will have nothing to do: there are {groups} groups of points, which share work within")
    return tuple(found)


def _on_site(site: Path) -> Executor:
    if importlib.util.find_spec("parsl") is None:
        raise ExecutorError("--parsl needs Parsl, which is not installed; run: pip install 'sdxl-lab[parsl]'")
    if not site.is_file():
        raise ExecutorError(f"got the site file {site}, and there is no such file; give a Python file that says\n{EXAMPLE}")
    import parsl
    from parsl.concurrent import ParslPoolExecutor

    try:
        assigned: dict[str, Any] = runpy.run_path(str(site))
    except Exception as error:
        raise ExecutorError(f"{site} failed with {type(error).__name__}: {error}; run it with Python to see where") from error
    config = assigned.get("config")
    if not isinstance(config, parsl.Config):
        raise ExecutorError(f"{site} assigns {config!r} to config; allowed is a parsl.Config:\n{EXAMPLE}")
    # Parsl starts its own scripts by name; they lie beside Python, which need not be on the path.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return ParslPoolExecutor(config)

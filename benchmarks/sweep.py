"""What a sweep costs: our command against a loop of stock papermill over the same notebook, and two workers against one.

Use: python benchmarks/sweep.py [loop | workers | both] [STEPS] [SEEDS]      (both parts, the built-in pocket checkpoint, 30 steps)

The first part makes 12 points (2 seeds x {no refiner, .5 .6 .7 .8 .9}) on two samples, both tasks. The loop has a kernel for each point and no
trajectory cache. The second part makes sixteen seeds of them, 96 points, with one worker and with two, and wants two free cores. SEEDS sets
another number of seeds for either part. UNet forwards are counted in every kernel by a startup script, which appends a byte to a file for each.
Tracking is off.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import papermill
from PIL import Image

from sdxl_lab.runs.experiment import CACHE_BYTES
from sdxl_lab.settings.arguments import written
from sdxl_lab.sweeps.plan import Plan
from sdxl_lab.sweeps.planner import plan
from sdxl_lab.sweeps.sweep_file import SweepFile

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))

COUNTING = """
def _count():
    import os
    from diffusers import UNet2DConditionModel
    forward = UNet2DConditionModel.forward
    file = os.open(os.environ["FORWARDS_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    def counted(*args, **kwargs):
        os.write(file, b".")
        return forward(*args, **kwargs)
    UNet2DConditionModel.forward = counted
_count()
"""


def sweep_file(folder: Path, name: str, seeds: int, steps: int) -> Path:
    """Write a sweep over seeds and hand-overs."""
    parameters = {
        "samples": ["red-circle", "yellow-star"],
        "tracking": "off",
        "runs_folder": str(folder / name),
        "hyperparameters": {"denoising": {"num_inference_steps": steps}},
    }
    grid = {"hyperparameters.seed": f"random({seeds})", "hyperparameters.denoising.high_noise_frac": [None, "0.5-0.9 (0.1)"]}
    path = folder / f"{name}.yaml"
    path.write_text(written({"name": name, "parameters": parameters, "grid": grid}))
    return path


def environment(folder: Path, name: str) -> dict[str, str]:
    """An environment in which every kernel counts forwards into a file."""
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "counting.py").write_text(COUNTING)
    (folder / f"{name}.forwards").touch()
    return {"IPYTHONDIR": str(folder / "ipython"), "FORWARDS_FILE": str(folder / f"{name}.forwards")}


def swept(folder: Path, name: str, *, seeds: int, steps: int, workers: int) -> tuple[Plan, float, int]:
    """Run a sweep by our command: what it planned, its wall time and the forwards it took."""
    file = sweep_file(folder, name, seeds, steps)
    planned = plan(SweepFile.read(file))
    began = time.perf_counter()
    subprocess.run([COMMAND, "sweep", str(file), "--workers", str(workers)], env=os.environ | environment(folder, name), check=True)
    return planned, time.perf_counter() - began, (folder / f"{name}.forwards").stat().st_size


def looped(folder: Path, name: str, planned: Plan) -> tuple[float, int]:
    """Run the same points in a loop of stock papermill: its wall time and the forwards it took."""
    os.environ.update(environment(folder, name) | {CACHE_BYTES: "0"})
    began = time.perf_counter()
    for run in planned.runs:
        parameters = dict(run.parameters) | {"runs_folder": str(folder / name)}
        papermill.execute_notebook(str(planned.notebook), str(folder / f"{run.run_id}.ipynb"), parameters, progress_bar=False)
    seconds = time.perf_counter() - began
    for variable in ("IPYTHONDIR", "FORWARDS_FILE", CACHE_BYTES):
        del os.environ[variable]
    return seconds, (folder / f"{name}.forwards").stat().st_size


def pictures(runs_folder: Path) -> Mapping[str, np.ndarray]:
    """Every result below a folder, by run, sample and task."""
    paths = sorted(runs_folder.glob("*/images/*/*paint.png"))
    return {"/".join([path.parts[-4][-10:], *path.parts[-2:]]): np.asarray(Image.open(path)) for path in paths}


def against(planned: int, counted: int) -> str:
    """Forwards that were counted, and whether they are those planned."""
    return f"{counted} UNet forwards, {'as planned' if counted == planned else f'NOT the {planned} planned'}"


def compare_with_a_loop(folder: Path, steps: int, seeds: int) -> None:
    """The first part."""
    planned, ours_s, ours = swept(folder, "ours", seeds=seeds, steps=steps, workers=1)
    loop_s, loop = looped(folder, "loop", planned)
    left, right = pictures(folder / "ours"), pictures(folder / "loop")
    equal = left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)
    print(f"{len(planned.runs)} points, {len(left)} pictures, {'equal bit for bit' if equal else 'DIFFERENT'}")
    print(f"loop of stock papermill, cache off: {loop_s:7.1f} s, {against(planned.forwards_alone, loop)} without sharing")
    print(f"sdxl-lab sweep --workers 1:         {ours_s:7.1f} s, {against(planned.forwards_shared, ours)}")
    print(f"ratio: wall time {loop_s / ours_s:.2f}, UNet forwards {loop / ours:.2f}")


def compare_workers(folder: Path, steps: int, seeds: int) -> None:
    """The second part."""
    cores = len(os.sched_getaffinity(0))
    planned, one_s, one = swept(folder, "one", seeds=seeds, steps=steps, workers=1)
    _, two_s, two = swept(folder, "two", seeds=seeds, steps=steps, workers=2)
    print(f"{len(planned.runs)} points in {len(planned.groups)} groups on {cores} cores")
    print(f"--workers 1: {one_s:7.1f} s, {against(planned.forwards_shared, one)}")
    print(f"--workers 2: {two_s:7.1f} s, {against(planned.forwards_shared, two)}: {one_s / two_s:.2f} times the throughput")


def main(part: str = "both", steps: str = "30", seeds: str = "") -> None:
    """Print both parts."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if part in ("both", "loop"):
        with tempfile.TemporaryDirectory() as folder:
            compare_with_a_loop(Path(folder), int(steps), int(seeds or 2))
    if part in ("both", "workers"):
        with tempfile.TemporaryDirectory() as folder:
            compare_workers(Path(folder), int(steps), int(seeds or 16))


if __name__ == "__main__":
    main(*sys.argv[1:])

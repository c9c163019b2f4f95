"""What a notebook costs: stock papermill's engine against the warm one, over a notebook that imports the libraries and loads a checkpoint.

Use: python benchmarks/warm.py [CHECKPOINT] [COLD] [WARM]      (the built-in pocket checkpoint, 5 cold notebooks, 50 warm ones)
     python benchmarks/warm.py --soak [COUNT]                  (200 notebooks in a row: memory, descriptors and threads of both processes)
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill

from sdxl_lab.kernels import engine
from sdxl_lab.runs.early import PRELOAD

PAGES_OF_A_MEGABYTE = 256

SOURCES = (
    'checkpoint = "pocket"',
    "import os\nimport comet_ml, diffusers, torch",
    "from sdxl_lab.checkpoints import loading\nloaded = loading.load(checkpoint)",
    "print(os.getpid(), type(loaded.base).__name__)",
)


def trivial(checkpoint: str) -> Any:
    """A notebook that imports torch, diffusers and comet_ml and loads a checkpoint."""
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    cells[0].metadata["tags"] = ["parameters"]
    cells[0].source = f"checkpoint = {checkpoint!r}"
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "Python"}})


def run(given: Path, output: Path, engine_name: str | None) -> tuple[float, int]:
    """Seconds that a notebook takes, and its kernel's process id."""
    options = {"preload": PRELOAD} if engine_name else {}
    began = time.perf_counter()
    executed = papermill.execute_notebook(str(given), str(output), engine_name=engine_name, progress_bar=False, **options)
    seconds = time.perf_counter() - began
    return seconds, int(executed.cells[-1].outputs[0].text.split()[0])


def compare(given: Path, output: Path, cold: int, warm: int) -> None:
    """Print the medians of both engines, alternating as far as that goes, and their ratio."""
    times: dict[str, list[float]] = {"stock": [], "warm": []}
    first_s, kernel = run(given, output, "warm")
    for number in range(cold):
        times["stock"].append(run(given, output, None)[0])
        for _ in range(warm * (number + 1) // cold - warm * number // cold):
            seconds, pid = run(given, output, "warm")
            times["warm"].append(seconds)
            assert pid == kernel, "the kernel was replaced"
    stock_s, warm_s = statistics.median(times["stock"]), statistics.median(times["warm"])
    print(f"stock papermill: median {stock_s:.3f} s of {cold} (from {min(times['stock']):.3f} to {max(times['stock']):.3f} s)")
    print(f"warm engine: median {warm_s:.4f} s of {warm} (from {min(times['warm']):.4f} to {max(times['warm']):.4f} s); the first {first_s:.3f} s")
    print(f"ratio of the medians: {stock_s / warm_s:.0f}")


def soak(given: Path, output: Path, count: int) -> None:
    """Print what both processes hold, every tenth of the way."""
    _, kernel = run(given, output, "warm")
    print("notebooks  kernel: memory  descriptors  threads   this process: memory  descriptors  threads")
    for number in range(1, count + 1):
        pid = run(given, output, "warm")[1]
        assert pid == kernel, "the kernel was replaced"
        if number == 1 or number % max(count // 10, 1) == 0:
            (memory, descriptors, threads), (own_memory, own_descriptors, own_threads) = held(str(kernel)), held("self")
            print(f"{number:9}  {memory:11.1f} MB  {descriptors:11}  {threads:7}   {own_memory:17.1f} MB  {own_descriptors:11}  {own_threads:7}")


def held(process: str) -> tuple[float, int, int]:
    """Resident memory in megabytes, open descriptors, and threads."""
    folder = Path("/proc", process)
    pages = int((folder / "statm").read_text().split()[1])
    return pages / PAGES_OF_A_MEGABYTE, len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))


def main(*arguments: str) -> None:
    """Compare, or soak."""
    with tempfile.TemporaryDirectory() as folder:
        given, output = Path(folder, "given.ipynb"), Path(folder, "executed.ipynb")
        if arguments[:1] == ("--soak",):
            nbformat.write(trivial("pocket"), given)
            soak(given, output, int(arguments[1]) if arguments[1:] else 200)
        else:
            checkpoint, cold, warm = (*arguments, *("pocket", "5", "50")[len(arguments) :])
            nbformat.write(trivial(checkpoint), given)
            compare(given, output, int(cold), int(warm))
        engine.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

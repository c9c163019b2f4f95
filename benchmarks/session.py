"""Does a session grow slow? Seconds of a picture and memory of the process, at picture 50 and at picture 300; and the report of all."""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from sdxl_lab import Bench, fetch, report

WINDOW = 40
"""Pictures of which the median is taken, up to the one that is named."""


def main() -> None:
    """Make a session of so many pictures in a temporary folder, each of them another one, and print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--early", type=int, default=50)
    parser.add_argument("--steps", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("artifacts").mkdir()
        Path("artifacts/README.md").touch()
        grown(asked.pictures, asked.early, asked.steps)


def grown(pictures: int, early: int, steps: int) -> None:
    """Make the session and print what it took."""
    bench, process = Bench(tracking="off"), psutil.Process()
    bench.open(fetch("pocket-scenes").sample("red-circle"))
    seconds: list[float] = []
    memory: dict[int, int] = {}
    for number in range(1, pictures + 1):
        began = time.perf_counter()
        bench.make("a blue star on grass", seed=number, guidance_scale=1 + number % 9, num_inference_steps=steps)
        seconds.append(time.perf_counter() - began)
        if number in (early, pictures):
            gc.collect()
            memory[number] = process.memory_info().rss
    at = {number: median(seconds[max(0, number - WINDOW) : number]) for number in (early, pictures)}
    print(f"seconds of a picture, median of {WINDOW} up to number {early}: {at[early]:.3f}, up to {pictures}: {at[pictures]:.3f}")
    print(f"  ratio {at[pictures] / at[early]:.3f}")
    print(f"memory at {early}: {memory[early] / 2**20:.0f} MiB, at {pictures}: {memory[pictures] / 2**20:.0f} MiB")
    print(f"  ratio {memory[pictures] / memory[early]:.3f}")
    began = time.perf_counter()
    resumed = Bench.resume()
    count = len(resumed.pictures)
    print(f"resumed with {count} pictures in {time.perf_counter() - began:.2f} s")
    began = time.perf_counter()
    page = report([bench.session.path], Path("report.html"))
    print(f"report in {time.perf_counter() - began:.2f} s, {page.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()

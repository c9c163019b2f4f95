"""Benchmarks still run, and what they compare is still alike: a quick run of each, judged by its facts, never by its times."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import write_checkpoint

FOLDER = Path(__file__).parents[1] / "benchmarks"
SECONDS, RATIO, BYTES = r"\d+\.\d+ s", r"\d+\.\d+", r"\d+\.\d+ [MG]i?B"
SHARES = r"( \d+\.\d \(\d+\.\d to \d+\.\d\) \|)"

RUNS: dict[str, tuple[str, list[str]]] = {
    "bench.py": (
        "--repetitions 2 --early 6 --pictures 9",
        [
            r"no chromium here to show it in|new seed among \d+ pictures, .*",
            r"no chromium here to show it in|remembered fraction, .* refiner's steps 1 to 3, .*",
            r"no chromium here to show it in|cancel while a cell is pure Python, .*",
            r"no chromium here to show it in|outline at 12 megapixels, .*",
            r"no chromium here to show it in|memory of the page at picture 6: .*",
            r"no chromium here to show it in|longest task while 9 pictures scroll, .*",
        ],
    ),
    "checkpoints.py": (
        "--pairs 1 --steps 3",
        [
            "15 pictures, equal bit for bit",
            rf"from the shell to all pictures: lab {SECONDS}, script {SECONDS}, median of 1 ratios {RATIO}",
            rf"processor time of that: lab {SECONDS}, script {SECONDS}, median of 1 ratios {RATIO}",
            rf"the pictures alone: lab {SECONDS}, script {SECONDS}, median of 1 ratios {RATIO}",
        ],
    ),
    "distance_intervals.py": (
        "--repeats 2 --count 60",
        [rf"{shift} +{name} .*" for shift in ("0.0", "0.15", "0.5") for name in ("fid", "kid", "mmd", "cmmd", "is", "precision", "recall")],
    ),
    "memory.py": (
        "{half} 128",
        [
            rf"reckoned in {SECONDS}",
            *(rf"{name}: weights equal to the byte" for name in ("unet", "vae", "refiner")),
            *(rf"{name} at 128 px: reckoned {RATIO} MB, at its peak {RATIO} MB, ratio {RATIO}" for name in ("unet", "vae", "refiner")),
        ],
    ),
    "overhead.py": (
        "{pair} 1 10",
        [
            r"base alone: .* pictures equal\)",
            r"base and refiner, stock: .* pictures equal\)",
            r"base and refiner, consistent: .* pictures different: called twice, diffusers hands over as stock does\)",
            *(rf"{task}, {way}: .* pictures equal\)" for task in ("text_to_image", "image_to_image") for way in ("base alone", "stock")),
        ],
    ),
    "pocket.py": (
        "--runs 1 --steps 5",
        [
            rf"load base and refiner: {SECONDS} .*",
            rf"inpaint, 5 steps: {SECONDS} .*",
            rf"inpaint, 5 steps, the last fifth by the refiner: {SECONDS} .*",
        ],
    ),
    "preference.py": (
        "--studies 2 --resamples 99 --into {folder}/studies.jsonl",
        [
            *(
                rf"\| {judges} \| {system} \| \d+\.\d\d \| \d+\.\d\d \| [+-]\d+\.\d\d ± \d+\.\d\d \| \d+\.\d% \| \d+\.\d \|"
                for judges in ("all judges attentive", "5% careless", r"5% careless, without judges below 0\.7")
                for system in ("SDXL with refiner", "SDXL base", r"SD 1\.5", r"SD 2\.1")
            ),
            r"2 studies, 99 resamples each\. Of \d+ careless judges .*",
            rf"counted now: 2 studies in {SECONDS}",
        ],
    ),
    "real_size.py": (
        "{half} 5",
        [
            rf"lab  : run {SECONDS} .* peak memory {BYTES}",
            rf"plain: run {SECONDS} .* peak memory {BYTES}",
            "4 steps by the base and 1 by the refiner; .*",
            "memory is within 13 GB",
            "in the mask the pictures are equal",
        ],
    ),
    "report.py": (
        "10 10",
        [
            rf"10 pictures of 128 px: {SECONDS} a picture .*",
            rf"10 pictures of 1024 px: {SECONDS} a picture .*",
            r"no chromium here to open it with|opening 10 pictures: .* 1 pages",
        ],
    ),
    "session.py": (
        "--pictures 6 --early 3 --steps 2",
        [
            rf"seconds of a picture, median of 40 up to number 3: {RATIO}, up to 6: {RATIO}",
            r"memory at 3: \d+ MiB, at 6: \d+ MiB",
            rf"  ratio {RATIO}",
            rf"resumed with 6 pictures in {SECONDS}",
            rf"report in {SECONDS}, .* MiB",
        ],
    ),
    "start.py": (
        "--only run typo --pairs 1",
        [
            *(rf"{name}: {SECONDS} .*" for name in ("ours", "script", "papermill")),
            *(rf"ours over {name}: {RATIO} .* the same picture" for name in ("script", "papermill")),
            *(rf"a typo, told by {command}: {SECONDS} .*" for command in ("plan", "sweep")),
        ],
    ),
    "sweep.py loop": (
        "10 1",
        [
            "6 points, 24 pictures, equal bit for bit",
            rf"loop of stock papermill, cache off: +{SECONDS}, 216 UNet forwards, as planned without sharing",
            rf"sdxl-lab sweep --workers 1: +{SECONDS}, 96 UNet forwards, as planned",
            rf"ratio: wall time {RATIO}, UNet forwards 2\.25",
        ],
    ),
    "sweep.py workers": (
        "10 2",
        [
            r"12 points in 2 groups on \d+ cores",
            rf"--workers 1: +{SECONDS}, 192 UNet forwards, as planned",
            rf"--workers 2: +{SECONDS}, 192 UNet forwards, as planned: {RATIO} times the throughput",
        ],
    ),
    "trajectory.py": (
        "{pair} 10",
        [
            "high_noise_frac None, 0.5, 0.6, 0.7, 0.8, 0.9 at 10 steps; the pictures are equal bit for bit",
            rf"separate {SECONDS}, 54 UNet evaluations",
            rf"shared   {SECONDS}, 24 UNet evaluations: .*",
            rf"again    {SECONDS}, 0 UNet evaluations",
        ],
    ),
    "warm.py": (
        "{pair} 1 2",
        [
            rf"stock papermill: median {SECONDS} of 1 .*",
            rf"warm engine: median {SECONDS} of 2 .*",
            r"ratio of the medians: \d+",
        ],
    ),
    "whole_pictures.py": (
        "--pictures 10 --steps 5 --folder {folder}",
        [
            rf"\| guidance_scale=5\.0 \| 5 \|{SHARES}{{4}}",
            rf"\| handover=sdedit \| 10 \|{SHARES}{{4}}",
            rf"\| strength=0\.6 \| 2 \|{SHARES}{{6}} (\d+\.\d|inf) \|",
            rf"\| .*192x128 \| 1 \|{SHARES}{{4}}",
        ],
    ),
    "warm.py --soak": ("2", [r"notebooks  kernel: memory .*", r" +1 .*", r" +2 .*"]),
}


@pytest.fixture(scope="module")
def half(tmp_path_factory) -> Path:
    """A pair like SDXL's as it is published, but small: weights of half precision, and a VAE that needs float32."""
    import torch
    from safetensors.torch import load_file, save_file

    folder = write_checkpoint(tmp_path_factory.mktemp("half"), force_upcast=True)
    for path in folder.rglob("*.safetensors"):
        weights = {name: weight.bfloat16() if weight.is_floating_point() else weight for name, weight in load_file(path).items()}
        assert any(weight.dtype == torch.bfloat16 for weight in weights.values())
        save_file(weights, path, metadata={"format": "pt"})
    return folder


@pytest.fixture
def styles(tmp_path, monkeypatch) -> None:
    """
    Fine-tunes of the pocket checkpoint that were hardly trained.
    """
    from sdxl_lab.pocket import styles

    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path))
    for look in styles.LOOKS:
        styles.make(look, tmp_path, steps=1, count=4)


def test_each_benchmark_has_a_quick_run():
    """
    No file of the folder is left out.
    """
    assert {name.split()[0] for name in RUNS} == {path.name for path in FOLDER.glob("*.py")}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", RUNS)
def test_a_benchmark_runs_and_finds_what_it_did(name, random_pair, half, tmp_path, request):
    """
    A quick run leaves with 0 and says each of its facts: equal pictures, and forwards as they were planned.
    """
    if name == "checkpoints.py":
        request.getfixturevalue("styles")
    given, facts = RUNS[name]
    script, *part = name.split()
    command = [sys.executable, str(FOLDER / script), *part, *given.format(pair=random_pair, half=half, folder=tmp_path).split()]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    said = [line for line in ended.stdout.splitlines() if not line.startswith(("to look at them: ", "6 of 6 runs", "12 of 12 runs"))]
    for fact in facts:
        assert any(re.fullmatch(fact, line) for line in said), (fact, said)

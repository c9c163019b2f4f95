"""Pictures made again by the command, in a process that knows nothing but the PNG."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.records import machine
from tests.support.lone_pictures import make

FRESH = """
import json, sys, torch
forwards = []
def count(module, *_):
    if type(module).__name__ == "UNet2DConditionModel":
        forwards.append(1)
torch.nn.modules.module.register_module_forward_hook(count)
from sdxl_lab.cli import main
for picture in sys.argv[1:]:
    forwards.clear()
    sys.argv = ["sdxl-lab", "reproduce", picture]
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    print(json.dumps([picture, code or 0, len(forwards)]))
"""


def in_fresh_process(folder: Path, *pictures: Path, **environment: str) -> tuple[list[list[Any]], str]:
    """`sdxl-lab reproduce` for each picture in one process: [picture, exit code, calls of a UNet], and everything it said."""
    command = [sys.executable, "-c", FRESH, *map(str, pictures)]
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")], done.stdout + done.stderr


@pytest.fixture(scope="module")
def pocket_pictures(tmp_path_factory) -> list[Path]:
    """Two pictures by the built-in checkpoint from the built-in dataset: by the base alone, and on a larger canvas by both."""
    builtin: dict[str, Any] = {"dataset": "pocket-scenes", "checkpoint": "pocket", "sample": "red-circle"}
    larger = {"mode": "canvas", "canvas": {"left_px": 16}}
    folder = tmp_path_factory.mktemp("pocket")
    steps = {"num_inference_steps": 4}
    return [
        make(folder, **builtin, denoising=steps),
        make(folder, **builtin, task="outpaint", outpaint=larger, denoising=steps | {"high_noise_frac": 0.7}),
    ]


def test_a_fresh_process_makes_identical_pictures(pocket_pictures, tmp_path):
    """
    With nothing but the PNGs, `sdxl-lab reproduce` says identical, leaves with 0, writes nothing, and the UNets were really called.
    """
    results, said = in_fresh_process(tmp_path, *pocket_pictures)
    assert [code for _, code, _ in results] == [0, 0], said
    assert said.count("identical\n") == 2
    assert [forwards for _, _, forwards in results] == [3, 3]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_every_picture_of_the_demo_is_identical(tmp_path):
    """
    All 30 pictures of the demo are identical in a fresh process, after the runs folder was moved away.
    """
    from sdxl_lab.demo import make_runs

    make_runs(tmp_path / "runs")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    (tmp_path / "pictures").mkdir()
    found = sorted((tmp_path / "elsewhere").glob("*/images/*/*paint.png"))
    pictures = [path.rename(tmp_path / "pictures" / f"{number}.png") for number, path in enumerate(found)]
    shutil.rmtree(tmp_path / "elsewhere")
    results, said = in_fresh_process(tmp_path, *pictures)
    assert len(results) == 30
    assert {code for _, code, _ in results} == {0}, said
    assert said.count("identical\n") == 30
    assert all(forwards > 0 for _, _, forwards in results)


@pytest.mark.slow
def test_another_instruction_set_is_named(pocket_pictures, tmp_path):
    """
    Where torch computes with other instructions, both are named, also when the picture comes out the same.
    """
    here = machine.instruction_set()
    _, said = in_fresh_process(tmp_path, pocket_pictures[0], ATEN_CPU_CAPABILITY="default")
    if here == "DEFAULT":
        pytest.skip("this processor has no others")
    assert f"instruction set  was {here}, is now DEFAULT" in said

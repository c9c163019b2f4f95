"""What a shell completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdxl_lab.kernels import examples, notebooks
from sdxl_lab.tasks import TASKS
from tests.support.run_folders import environment

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))


def completed(line: str, shell: str = "bash") -> list[str]:
    """What the command answers a shell that asks how its last word may go on."""
    words = line.split(" ")
    asked = {"_SDXL_LAB_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    ended = subprocess.run([COMMAND], env=environment() | asked, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sdxl-lab re", ["report", "reproduce"]),
        ("sdxl-lab sweep x.yaml --l", ["--limit"]),
        ("sdxl-lab run in", ["inpaint_outpaint"]),
        ("sdxl-lab notebook fr", ["fractions"]),
        ("sdxl-lab run x -p hyperparameters.inpaint.mask.k", ["hyperparameters.inpaint.mask.kernel_size"]),
        ("sdxl-lab run x -p name y -p chec", ["checkpoint"]),
        ("sdxl-lab paint -p guid", ["guidance_scale"]),
    ],
)
def test_a_word_is_completed(line, expected):
    """
    Commands, options, names of notebooks and examples, and settings are completed in bash.
    """
    assert completed(line) == expected


def test_all_names_are_offered():
    """
    Where nothing is written yet, every notebook that makes runs, every example and every task is offered.
    """
    assert completed("sdxl-lab run ") == [name for name in notebooks.built_in() if name not in notebooks.OF_NO_RUN]
    assert completed("sdxl-lab notebook ") == list(examples.examples())
    assert completed("sdxl-lab paint --task ") == completed("sdxl-lab compare x --task ") == list(TASKS)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_own_way(shell):
    """
    Both zsh and fish are told the same word, with what it does.
    """
    [line] = completed("sdxl-lab noteb", shell)
    assert "notebook" in line
    assert "Copy a notebook" in line


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_takes_the_script_that_the_command_shows(tmp_path):
    """
    The script that `--show-completion` prints, read by bash, has the command's words completed by the command.
    """
    shown = subprocess.run(["bash", "-c", f"{COMMAND} --show-completion; true"], env=environment(), capture_output=True, text=True, check=True).stdout
    (tmp_path / "script").write_text(shown)
    asking = "source ./script; COMP_WORDS=(sdxl-lab stat); COMP_CWORD=1; _sdxl_lab_completion sdxl-lab; echo ${COMPREPLY[@]}"
    path = {"PATH": os.pathsep.join([str(Path(COMMAND).parent), os.environ["PATH"]])}
    answered = subprocess.run(["bash", "-c", asking], cwd=tmp_path, env=environment() | path, capture_output=True, text=True, check=True)
    assert answered.stdout == "status\n"

"""The page that is sent to others: its form, and that nothing personal is in it."""

from __future__ import annotations

import getpass
import importlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sdxl_lab.doctor import examination
from sdxl_lab.doctor.checks import CHECKS
from sdxl_lab.doctor.findings import attention, broken, ok
from sdxl_lab.doctor.page import WIDTH, is_broken, page
from sdxl_lab.doctor.private import Discretion
from tests.support.commands import said

PYTHON = [sys.executable, "-c", "from sdxl_lab.cli import main; main()"]


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    env = os.environ | {"PYTHONPATH": str(Path.cwd())} | environment
    return subprocess.run([*PYTHON, "doctor", *arguments], env=env, capture_output=True, text=True, timeout=170, check=False)


def test_a_machine_and_the_pocket_checkpoint_on_one_page(tmp_path):
    """
    Where the tests run nothing is broken, and each task has its picture, as plain diffusers makes it. No name, path or key is there.
    """
    key, home = "Zy9xWv8uTs7rQp6oNm5lKj4iH", tmp_path / "of-somebody"
    home.mkdir()
    secrets = {"COMET_API_KEY": key, "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz", "MY_SECRET": "correct-horse-battery"}
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "COMET_URL_OVERRIDE": "http://127.0.0.1:9/clientlib/", "HOME": str(home), "USER": "janedoe"}
    done = doctor("pocket", **secrets, **nowhere)
    text = done.stdout
    assert done.returncode == 0, text
    for part in ("inpaint", "outpaint", "image_to_image", "text_to_image", "numbers", "opencv", "kernel", "torch", "device", "diffusers", "cost"):
        assert re.search(rf"(?m)^ok +{part} ", text), text
    assert re.search(r"(?m)^attention +comet .*\n +names cannot be reached: the connection is\s+refused", text), text
    for part in ("equality", "hand-over"):
        assert re.search(rf"(?m)^ok +{part} .*\n?.*bit\s+for\s+bit", text), text
    _, body, _ = text.rstrip("\n").split("\n\n")
    assert all(re.match(r"(ok|attention|broken) +[a-z]| {25,28}\S", line) for line in body.splitlines())
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\x1b" not in text
    hidden = [
        *secrets.values(),
        "janedoe",
        "of-somebody",
        str(Path.cwd()),
        str(tmp_path),
        sys.prefix,
        "127.0.0.1",
        getpass.getuser(),
        platform.node(),
    ]
    assert [word for word in hidden if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)] == []
    assert re.findall(r"(?<![\w.])/\w+", text) == []


def test_one_broken_part_ends_the_command_with_1(tmp_path, monkeypatch):
    """
    A checkpoint that is not there is one broken part, so that a script can tell; what was given is not repeated.
    """
    monkeypatch.setattr(examination, "CHECKS", {part: CHECKS[part] for part in ("system", "checkpoint")})
    done = said("doctor", tmp_path / "jane doe" / "nothing")
    assert done.code == 1
    assert re.search(r"(?m)^broken +checkpoint +there is no checkpoint 'CHECKPOINT'", done.out), done.out
    assert "jane" not in done.out
    assert re.search(r"(?m)^ok +system ", done.out)
    assert said("doctor").code == 0


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("ImportError: {home}/lab/lib/libtorch.so: no such file", "ImportError: .../libtorch.so: no such file"),
        ("cannot open '/mnt/my disk/a b.json'", "cannot open '.../a b.json'"),
        ("in /opt/conda/envs/jane and C:\\Users\\jane\\x.py", "in (path) and .../x.py"),
        ("{given}/base/unet/x.safetensors is cut", "CHECKPOINT/base/unet/x.safetensors is cut"),
        ("GET https://jane:pw@mirror.example:8443/api?token=1 gave 403", "GET (address) gave 403"),
        ("ask jane.doe@lab.example", "ask (address)"),
        ("{user}'s cache on {host}", "(user)'s cache on (machine)"),
        ("token hf_abcdefghijklmnopqrst and {key}", "token (key) and (key)"),
        ("opencv 5.0.0.93, torch 2.13.0+cpu, 1024x1024 and/or 3/4", "opencv 5.0.0.93, torch 2.13.0+cpu, 1024x1024 and/or 3/4"),
    ],
)
def test_nothing_personal_is_left(tmp_path, monkeypatch, text, left):
    """
    Paths lose their folders; addresses, names and keys are replaced by words of their kind; versions and sizes stay as they are.
    """
    given = tmp_path / "jane doe's models"
    given.mkdir()
    monkeypatch.setenv("HOME", "/home/Jané Doe")
    monkeypatch.setenv("USER", "janedoe")
    monkeypatch.setenv("SOME_API_KEY", "correct-horse")
    monkeypatch.setattr(platform, "node", lambda: "workstation-7.lab")
    told = text.format(home="/home/Jané Doe", given=given, user="JaneDoe", host="workstation-7", key="correct-horse")
    assert Discretion(str(given)).without(told) == left


def test_each_verdict_has_its_place():
    """
    Beginning and end of the page name what is broken and what asks for attention; a path longer than a line keeps its last name whole.
    """
    findings = [ok("torch", "2.13"), attention("hub", "away", "connect"), broken("checkpoint", f"{'CHECKPOINT/a' * 3}/{'x' * 30}.safetensors is cut")]
    text = page(findings)
    said = "Broken: checkpoint. 1 part asks for attention: hub."
    assert text.splitlines()[1] == said
    assert text.splitlines()[-2].startswith(said)
    assert f"{'x' * 30}.saf" in text
    assert "-> connect" in text
    assert is_broken(findings)
    assert not is_broken(findings[:2])


def test_each_check_is_there_and_comes_after_what_it_needs():
    """
    Each line of the table leads to a function, and what it needs was looked at before it, in its own process or before that.
    """
    order = list(CHECKS)
    for part, check in CHECKS.items():
        module, _, function = check.look.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
        assert all(order.index(need) < order.index(part) for need in check.needs)


def test_the_help_is_light():
    """
    Asking what the command does imports no library that could be broken.
    """
    heavy = ["torch", "numpy", "PIL", "cv2", "diffusers", "comet_ml", "papermill", "huggingface_hub"]
    code = f"import atexit, sys; atexit.register(lambda: print([name for name in {heavy} if name in sys.modules])); {PYTHON[-1]}"
    done = subprocess.run([sys.executable, "-c", code, "doctor", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "CHECKPOINT" in done.stdout

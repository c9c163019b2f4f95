"""What light commands ask of a checkpoint is answered without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from sdxl_lab.checkpoints.configurations import SHARED
from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.weight_files import CheckpointError
from tests.support.run_folders import environment

PROGRAM = """
import sys
from sdxl_lab.checkpoints.locating import identify
identity = identify(sys.argv[1])
heavy = {"torch", "diffusers", "transformers"} & set(sys.modules)
assert not heavy, heavy
print(identity.digest)
"""


def test_a_checkpoint_is_identified_without_torch(random_pair):
    """
    Finding, checking and hashing a checkpoint imports no library of models, and gives the digest that loading it requires.
    """
    from sdxl_lab.checkpoints.locating import identify

    done = subprocess.run([sys.executable, "-c", PROGRAM, str(random_pair)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == identify(str(random_pair)).digest


def test_each_file_of_a_checkpoint_that_changes_changes_what_is_remembered(random_pair, tmp_path, monkeypatch):
    """
    A checkpoint that stays is looked through once; whichever file changes, its digest does, to that of a copy, and comes back with the file.
    """
    from sdxl_lab.checkpoints.files import PipelineFolder
    from sdxl_lab.checkpoints.locating import identify
    from sdxl_lab.checkpoints.weight_files import CheckpointError
    from sdxl_lab.files import digests

    monkeypatch.setattr(digests, "_SETTLED_S", -1)
    looked, check = [], PipelineFolder.check
    monkeypatch.setattr(PipelineFolder, "check", lambda part: looked.append(part.path) or check(part))
    pair = shutil.copytree(random_pair, tmp_path / "pair")
    known = identify(str(pair))
    assert identify(str(pair)) == known == identify(str(random_pair)).model_copy(update={"name": str(pair)})
    assert [path for path in looked if path.parent == pair] == [pair / "base", pair / "refiner"]
    texts = [path for path in sorted(pair.glob("*/**/*.json")) if path.parent.name not in SHARED or path.parent.parent.name == "base"]
    assert {path.relative_to(pair).parts[:2] for path in texts} >= {("base", "unet"), ("base", "tokenizer"), ("refiner", "scheduler")}
    for number, path in enumerate(texts):
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        changed = identify(str(pair)).digest
        assert changed != known.digest, path
        if number == 0:
            assert changed == identify(str(shutil.copytree(pair, tmp_path / "copy"))).digest
        path.write_bytes(content)
        assert identify(str(pair)) == known
    texts[-1].unlink()
    with pytest.raises(CheckpointError, match=texts[-1].name):
        identify(str(pair))


def test_a_file_that_is_not_there_is_no_repository(tmp_path, monkeypatch):
    """
    What is called as a single file is one: near matches in its folder are named, else what is there, and the hub is not asked.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"there is no file models/one\.safetensors, nor its folder models;"):
        locate("models/one.safetensors")
    (tmp_path / "models").mkdir()
    with pytest.raises(CheckpointError, match=r"there is no file models/one\.safetensors; models has no \.safetensors file"):
        locate("models/one.safetensors")
    (tmp_path / "models" / "One-v2.safetensors").touch()
    with pytest.raises(CheckpointError, match=r"did you mean models/One-v2\.safetensors\?"):
        locate("models/one.safetensors")
    with pytest.raises(CheckpointError, match=r"models has One-v2\.safetensors"):
        locate("models/juggernautXL.safetensors.index.json")


SLIP = """
import sys
from sdxl_lab.cli import main
sys.argv = ["sdxl-lab", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    print("ended", ended.code, "torch" in sys.modules)
"""


@pytest.mark.parametrize("asked", [["paint", "a red star", "-p", "checkpoint", "sd1.5"], ["run", "text_to_image", "-p", "checkpoint", "sd1.5"]])
def test_a_name_that_stands_for_nothing_is_told_without_torch(tmp_path, asked):
    """
    Commands that make pictures refuse it, with what may have been meant, before they import what takes seconds.
    """
    done = subprocess.run([sys.executable, "-c", SLIP, *asked], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert "ended 1 False" in done.stdout, done.stderr
    assert "there is no checkpoint 'sd1.5'" in done.stderr
    assert "Did you mean sd15?" in done.stderr

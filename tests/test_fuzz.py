"""Random inputs of eight kinds, half of them valid: the command never ends in a traceback, and what is valid succeeds."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image, PngImagePlugin

from sdxl_lab import cli
from sdxl_lab.settings.arguments import written
from tests.support.commands import Said, said
from tests.support.datasets import write_dataset
from tests.support.run_folders import complete
from tests.support.runs import resolved_run

TRIALS = 200
CODES = {0, 1, 2}
LETTERS = "abcXYZ019 .,:;-_#&*!|>'\"%@`[]{}()?~$\\/<>=+\té→漢🐙\u200b"
ELSEWHERE = ["s3://bucket/x", "C:\\x", "$HOME/x", "~nobody/x", "", " ", "/dev/null", "/proc/self/mem", "x" * 300, "\udcff", "loop", "a\nb", "-"]
SETTINGS: dict[str, list[Any]] = {
    "denoising.num_inference_steps": [10, 30],
    "denoising.guidance_scale": [0, 1.0, 7.5],
    "denoising.high_noise_frac": [None, 0.5, 0.8],
    "mask.kernel_size": [1, 9],
    "mask.feather_px": [0, 4],
    "seed": [-(2**63), 0, 2**64 - 1, "random(2)", "1-3"],
    "prompt": ["a cat", "[/b] (x:1.2)", "漢字 🐙", "no", "1e3", "a: b"],
}


@dataclass(frozen=True)
class Trial:
    """A command line; whether it must succeed; and what is set around it."""

    arguments: list[Any]
    is_valid: bool
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What the trials draw from: a folder of their own, a dataset, a run and a checkpoint."""

    here: Path
    dataset: Path
    run: Path
    checkpoint: Path


def words(rng: random.Random, longest: int = 20) -> str:
    """Any text that can be written in UTF-8."""
    return "".join(rng.choices(LETTERS, k=rng.randint(1, longest)))


def torn(rng: random.Random, content: bytes) -> bytes:
    """A file of which a few bytes were changed, lost, repeated or cut off."""
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice([0, 1, 1, 8, 200]))
        junk = rng.choice(
            [b"", rng.randbytes(rng.randint(1, 4)), content[start:end] * rng.choice([2, 50]), b"[" * 3000, b"null", b"1e999", b"\\ud800"]
        )
        content = content[:start] + junk + (b"" if rng.random() < 0.1 else content[end:])
    return content


def sweep(rng: random.Random, bench: Bench) -> dict[str, Any]:
    """A valid sweep file's content."""
    grid = {f"hyperparameters.{key}": [rng.choice(SETTINGS[key])] for key in rng.sample(sorted(SETTINGS), rng.randint(1, 3))}
    parameters = {"dataset": str(bench.dataset), "tracking": "off", "tasks": rng.choice([["inpaint"], ["inpaint", "outpaint"]])}
    return {"name": "fuzz", "parameters": parameters, "grid": grid}


def options(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """Any options to any command; `run` is never given a dataset that is there."""
    if valid:
        return Trial([*rng.choice([["fetch"], ["fetch", "--"]]), rng.choice([bench.dataset, f"{bench.dataset}/", "pocket-scenes"])], True)
    names = [
        "-p",
        "-r",
        "-f",
        "-y",
        "-b",
        "-o",
        "--csv",
        "--metric",
        "--task",
        "--reference",
        "--as-parameters",
        "--threads",
        "--dataset",
        "--",
        "-h",
    ]
    command = rng.choice(["plan", "fetch", "show", "status", "report", "compare", "reproduce", "run", words(rng)])
    start = ["run", "inpaint_outpaint", "-p", "dataset", "nowhere"] if command == "run" else [command]
    return Trial(
        [*start, *(rng.choice([*names, words(rng), "nowhere", bench.run, *ELSEWHERE, "-1", "9" * 5000]) for _ in range(rng.randint(0, 4)))], False
    )


EXPONENT = re.compile(r'"[-+]?[0-9.]+[eE][-+]?[0-9]+"')
"""A text to PyYAML, which writes it without quotes, and a number to YAML 1.2, so that it is refused with the advice to quote it."""


def yaml_files(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """Sweep files in any of YAML's styles."""
    content = sweep(rng, bench)
    styles = [json.dumps(content), json.dumps(content, indent=2), written(content), written(content, is_ascii=True)]
    if not EXPONENT.search(styles[0]):
        styles += [yaml.safe_dump(content, default_flow_style=True), "# said\n---\n" + yaml.safe_dump(content, sort_keys=False)]
    text = rng.choice(styles)
    file = bench.here / "sweep.yaml"
    file.write_bytes(text.encode() if valid else torn(rng, text.encode()))
    return Trial(["plan", file], valid)


def metadata(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """metadata.json with any words, seeds and further fields."""
    told = {"prompt": words(rng, 200) + "x", "seed": rng.choice([-(2**63), 0, 2**63 - 1]), "note": [words(rng)]}
    folder = write_dataset(bench.here / "data", 1, inpaint=told, outpaint=told, **{"my own": {words(rng): None}})
    if not valid:
        (folder / "metadata.json").write_bytes(torn(rng, (folder / "metadata.json").read_bytes()))
    return Trial(["fetch", folder], valid)


def pictures(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """Pictures of many modes and formats."""
    folder = write_dataset(bench.here / "data", 1)
    mode, kind = rng.choice(
        [("RGB", "PNG"), ("L", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGB", "JPEG"), ("L", "JPEG"), ("RGB", "WEBP"), ("RGB", "BMP")]
    )
    file = io.BytesIO()
    Image.open(folder / "0.png").convert(mode).save(file, kind)
    (folder / "0.png").write_bytes(file.getvalue() if valid else torn(rng, file.getvalue()))
    return Trial(["fetch", folder], valid)


def chunks(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """PNGs with any texts, shown where they were torn."""
    if not valid:
        picture = next(bench.run.glob("images/*/inpaint.png"))
        (bench.here / "torn.png").write_bytes(torn(rng, picture.read_bytes()))
        return Trial([rng.choice(["show", "reproduce"]), bench.here / "torn.png"], False)
    folder, info = write_dataset(bench.here / "data", 1), PngImagePlugin.PngInfo()
    for _ in range(rng.randint(1, 5)):
        add = rng.choice([info.add_itxt, info.add_text])
        add(rng.choice(["parameters", "sdxl_lab", "Comment", "XML:com.adobe.xmp"]), words(rng, 500), zip=rng.random() < 0.5)
    Image.open(folder / "0.png").save(folder / "0.png", pnginfo=info)
    return Trial(["fetch", folder], True)


def checkpoints(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """A checkpoint's files, with others beside them or one of them torn."""
    folder = shutil.copytree(bench.checkpoint, bench.here / "model", copy_function=os.link)
    file = rng.choice(sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".safetensors", ".txt")))
    content = file.read_bytes()
    file.unlink()
    if not valid and rng.random() < 0.9:
        file.write_bytes(torn(rng, content[:4000]) + content[4000:])
    if valid:
        file.write_bytes(content)
        (folder / f"{rng.randint(0, 9)}.md").write_text(words(rng))
    given = sweep(rng, bench)
    given["parameters"] |= {"checkpoint": str(folder), "hyperparameters.compute.device": "cpu"}
    (bench.here / "sweep.yaml").write_text(json.dumps(given))
    return Trial(["plan", bench.here / "sweep.yaml"], valid)


def paths(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """Folders of any name; places elsewhere, loops and devices."""
    (bench.here / "loop").symlink_to("loop")
    if valid:
        name = os.fsdecode(rng.choice([b"\xff\xfe", b""])) + words(rng).replace("/", "").replace("\\", "") + "x"
        return Trial(["fetch", shutil.copytree(bench.dataset, bench.here / "d" / name)], True)
    place = rng.choice(ELSEWHERE)
    commands = [["fetch", place], ["plan", place], ["show", place], ["report", place], ["report", bench.run, "-o", place], ["status", place]]
    commands += [
        ["compare", bench.run, "--csv", place],
        ["reproduce", place],
        ["run", place],
        ["run", "inpaint_outpaint", "-f", place, "-p", "dataset", "-"],
    ]
    return Trial(rng.choice([command for command in commands if place or "-o" not in command]), False)


def environments(rng: random.Random, bench: Bench, *, valid: bool) -> Trial:
    """Locales, terminals, homes and caches."""
    gone = str(bench.here / "gone")
    usual = {
        "LC_ALL": ["C", "C.UTF-8", "de_DE.ISO-8859-1"],
        "PYTHONIOENCODING": ["ascii", "latin-1"],
        "COLUMNS": ["1", "20", "500"],
        "TERM": ["dumb", "xterm"],
    }
    usual |= {
        "NO_COLOR": ["1"],
        "FORCE_COLOR": ["1"],
        "HOME": [gone],
        "TMPDIR": [gone],
        "PYTHONUTF8": ["0"],
        "SDXL_LAB_CACHE": [str(bench.here / "cache")],
    }
    odd = {
        "COLUMNS": ["-5", "x", "0"],
        "HOME": ["", "/dev/null"],
        "SDXL_LAB_CACHE": ["/dev/null/x", "\udcff"],
        "XDG_CACHE_HOME": ["/proc/x"],
        "TERM": ["\udcff"],
    }
    odd |= {
        "LC_ALL": ["x" * 9000],
        "SDXL_LAB_TRAJECTORY_BYTES": ["x", "-1"],
        "COMET_API_KEY": ["x", ""],
        "COMET_URL_OVERRIDE": ["x"],
        "TZ": ["\udcff"],
    }
    drawn = usual if valid else odd
    chosen = {name: rng.choice(drawn[name]) for name in rng.sample(sorted(drawn), rng.randint(1, 4))}
    return Trial(["fetch", bench.dataset], valid, chosen)


KINDS: list[Callable[..., Trial]] = [options, yaml_files, metadata, pictures, chunks, checkpoints, paths, environments]


@pytest.fixture
def bench(tmp_path, random_pair, monkeypatch) -> Bench:
    """Everything the trials may read; whatever is written elsewhere than asked shows in `here` or in `temporary`."""
    words = {"prompt": "a cat", "seed": 1}
    dataset = write_dataset(tmp_path / "dataset", 1, inpaint=words, outpaint=words)
    made = complete(resolved_run(tmp_path / "runs")).path
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "cache"))
    return Bench(tmp_path / "here", dataset, made, random_pair)


def ended(trial: Trial) -> Said:
    """How a trial ended: in this process, or in one of its own where the environment is another."""
    if not trial.environment:
        return said(*trial.arguments)
    command = [sys.executable, "-c", f"from {cli.__name__} import main; main()", *map(str, trial.arguments)]
    done = subprocess.run(command, env={**os.environ, **trial.environment}, capture_output=True, check=False, timeout=120)
    return Said(done.returncode, *(text.decode("utf-8", "replace") for text in (done.stdout, done.stderr)))


def files_below(folder: Path) -> set[Path]:
    """Every file and folder there is, links not followed."""
    return {Path(above) / name for above, folders, files in os.walk(folder) for name in (*folders, *files)}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_input_ends_in_a_traceback(kind, bench, monkeypatch):
    """
    Whatever is given, the command leaves with 0, 1 or 2, says why in words, and leaves nothing behind; half of it is valid and succeeds.
    """
    for number in range(TRIALS):
        rng, valid = random.Random(f"{kind.__name__} {number}"), number % 2 == 0
        bench.here.mkdir()
        monkeypatch.chdir(bench.here)
        trial = kind(rng, bench, valid=valid)
        before = files_below(bench.here)
        try:
            said = ended(trial)
        except BaseException as error:
            raise AssertionError(f"trial {number}: {trial}") from error
        assert said.code in ({0} if trial.is_valid else CODES), (number, trial, said)
        assert "Traceback" not in said.err, (number, trial, said)
        assert said.code == 0 or said.err.strip(), (number, trial)
        asked = {bench.here / str(argument) for argument in trial.arguments}
        asked |= {path for path in files_below(bench.here) if path.is_relative_to(bench.here / "cache")}
        assert files_below(bench.here) - before - asked == set(), (number, trial)
        assert files_below(Path(tempfile.gettempdir())) == set(), (number, trial)
        shutil.rmtree(bench.here)

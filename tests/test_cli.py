"""The `sdxl-lab` command, as people use it."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from sdxl_lab.kernels import notebooks
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.settings.arguments import laid_over
from sdxl_lab.spec.parameters import takes_text
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.commands import said
from tests.support.datasets import write_dataset
from tests.support.run_folders import ROOT, pixels
from tests.support.runs import made_for
from tests.support.words import HOSTILE

UNSLASHED = HOSTILE.replace("\\", "/")
"""What a folder may be called: a backslash is refused by itself."""

COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own to its end."""
    return subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False)


@pytest.fixture(scope="module")
def quick(tmp_path_factory, random_pair) -> list[str]:
    """Arguments of a run of four quick pictures, in hostile words."""
    dataset = write_dataset(tmp_path_factory.mktemp("data") / "scenes #1 {x}")
    given = {"dataset": dataset, "checkpoint": random_pair, "tracking": "off", "name": "007"}
    given |= {"hyperparameters.prompt": HOSTILE, "hyperparameters.inpaint.negative_prompt": "-p", "hyperparameters.outpaint.negative_prompt": ""}
    given |= {"hyperparameters.denoising.num_inference_steps": 4, "hyperparameters.compute.threads": 1, "hyperparameters.outpaint.seed": -77}
    return ["run", "inpaint_outpaint", *(text for name, value in given.items() for text in ("-p", name, str(value)))]


def interrupted(arguments: Sequence[str], runs: Path, how: signal.Signals) -> tuple[int, str]:
    """Run the command until one picture is there, then send a signal; exit code and what it said."""
    with subprocess.Popen([COMMAND, *arguments], stderr=subprocess.PIPE, text=True) as process:
        while not any(path.read_bytes() for path in runs.glob("*/images.jsonl")):
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, how)
        _, message = process.communicate()
    return process.returncode, message


@pytest.fixture(scope="module")
def made(tmp_path_factory, quick) -> Path:
    """A runs folder with that run."""
    runs = tmp_path_factory.mktemp("made") / "runs {name} {} #1"
    ended = said(*quick, "-p", "runs_folder", runs)
    assert (ended.code, ended.out.count("4 pictures in")) == (0, 1), ended.err
    [report] = runs.glob("*/report.html")
    assert ended.out.splitlines()[1:] == [
        f"to look at: contact-sheet.png there, or in a browser {report}",
        "Comet was told nothing: tracking is off",
    ]
    return runs


@pytest.fixture
def copied(made, tmp_path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(made, tmp_path / "runs")


def pixels_of(runs: Path) -> dict[str, np.ndarray]:
    """Every result below a folder, by sample and task."""
    return {"/".join(path.parts[-2:]): np.asarray(Image.open(path)) for path in sorted(runs.glob("*/images/*/*paint.png"))}


def test_the_light_rooms_stay_light():
    """
    Importing the package, its settings, its records and its command brings in no heavy library.
    """
    rooms = "sdxl_lab, sdxl_lab.spec.resolved_spec, sdxl_lab.records.folder, sdxl_lab.datasets.sources, sdxl_lab.runs.experiment, sdxl_lab.cli"
    heavy = "{'torch', 'diffusers', 'transformers', 'comet_ml', 'cv2', 'papermill'}"
    code = f"import sys\nimport {rooms}\nprint(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_is_there_at_once():
    """
    `sdxl-lab --help` names every command, with its whole sentence, in under half a second of the processor; `--version` is the package's.
    """
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        helped = call("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert helped.returncode == 0
        assert all(command in helped.stdout for command in ("demo", "run", "fetch", "publish", "show"))
        assert not re.search(r"\w\.\.\.", helped.stdout)
    assert call("--version").stdout == f"sdxl-lab {version('sdxl-lab')}\n"
    assert min(times) < 0.5


@pytest.mark.parametrize(
    "arguments",
    [
        *(["paint"], ["run"], ["run", "--fast"], ["fetch"], ["show"]),
        *(["run", "inpaint_outpaint", *given] for given in (["-p", "name"], ["-r", "name"], ["-p", "name=x"], ["-p", "name=x", "-p", "a", "b"])),
    ],
)
def test_wrong_usage_leaves_with_2(arguments):
    """
    A command line that cannot be understood leaves with 2 and points to the help.
    """
    ended = said(*arguments)
    assert ended.code == 2
    assert "Usage: sdxl-lab" in ended.err
    assert "Traceback" not in ended.err


def test_usage_is_marked_once():
    """
    The help of each command says in one way what may be left out and what may be given several times.
    """
    commands = re.findall(r"(?m)^  (\w+)  ", said("--help").out.partition("Commands:")[2])
    given = [[name] for name in commands if name != "study"] + [["study", "new"], ["study", "result"]]
    assert len(given) > 20
    usages = {" ".join(name): " ".join(said(*name, "--help").out.partition("\n\n")[0].split()) for name in given}
    assert {name: usage for name, usage in usages.items() if re.search(r"\[\[|\{\{| \.\.\.", usage)} == {}


def test_a_process_leaves_with_what_the_command_says():
    """
    Of a process of its own too: 2 for wrong usage and 1 for an error, on stderr alone.
    """
    for arguments, code in ((("paint",), 2), (("show", "nowhere"), 1)):
        ended = call(*arguments)
        assert (ended.returncode, ended.stdout) == (code, "")
        assert ended.stderr == said(*arguments).err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "absent.ipynb"], "got the notebook 'absent.ipynb', and there is no such file"),
        (["run", "inpaint_outpaint", "-p", "hyperparameters.denoising.guidance", "5"], "Did you mean hyperparameters.denoising.guidance_scale?"),
        (["run", "inpaint_outpaint", "-p", "hyperparameters.mask.kernel_size", "4"], "hyperparameters.mask.kernel_size: got 4"),
        (["run", "inpaint_outpaint", "-p", "hyperparameters.mask.kernel_size", "[4"], "the value is not YAML"),
        (["run", "inpaint_outpaint", "-p", "hyperparameters.inpaint.promt", "[4: #"], "unknown key; valid here are denoising"),
        (["run", "inpaint_outpaint", "-p", "hyperparameters.prompt", "null"], "got the text 'null', which is not None"),
        (["run", "inpaint_outpaint", "-r", "hyperparameters.seed", "5"], "Write 5, without quotes, and not by -r"),
        (["run", "inpaint_outpaint", "-r", "dataset", "--"], "the dataset '--' is not there"),
        (["run", "inpaint_outpaint", "-p", "dataset", UNSLASHED], f"the dataset {UNSLASHED!r} is not there"),
        (["run", "inpaint_outpaint", "-p", "dataset", "\udcff"], "no Unicode text"),
        (["run", "inpaint_outpaint", "-p", "colour", "red"], "colour: unknown key; valid here are name, dataset, checkpoint"),
        (["run", "inpaint_outpaint", "-p", "a..b", "red"], "got the path 'a..b'"),
        (["run", "inpaint_outpaint", "-p", "dataset", "nowhere"], "the dataset 'nowhere' is not there"),
        (["run", "inpaint_outpaint", "-p", "tracking", "online"], "tracking: got online"),
        (["run", "inpaint_outpaint", "-f", "absent.yaml"], "absent.yaml cannot be read"),
        (["run", "inpaint_outpaint", "-f", "list.yaml"], "list.yaml holds a list"),
        (["run", "inpaint_outpaint", "-f", "torn.yaml"], "torn.yaml is not YAML"),
        (["run", "inpaint_outpaint", "-y", "list.yaml"], "did you mean -f list.yaml?"),
        (["run", "inpaint_outpaint", "--yaml", "absent.yaml"], "did you mean -f FILE?"),
        (["run", "inpaint_outpaint", "-y", "[1, 2]"], "the text of -y holds a list"),
        (["run", "inpaint_outpaint", "-y", "1: 2"], "the text of -y holds the name 1"),
        (["run", "inpaint_outpaint", "-b", "not base64"], "the text of -b is not base64"),
        (["fetch", "nowhere"], "the dataset 'nowhere' is not there"),
        (["show", "nowhere"], "nowhere is not there"),
        (["show", "."], "is not a run folder, nor a session's; give one of those, or a picture that sdxl_lab made, such as sdxl-lab show sweep/b"),
        (["show", ".", "list.yaml"], "is not a run folder"),
        (["show", "list.yaml"], "is not a PNG"),
        (["show", "sweep"], "sweep holds 2 runs and is none; sdxl-lab report sweep and sdxl-lab compare sweep look at all of them"),
        (["show", "sweep", "--as-parameters"], "and show at one: sdxl-lab show sweep/a"),
    ],
)
def test_an_error_is_one_message(arguments, message, tmp_path, monkeypatch):
    """
    What the user can put right is said in one message on stderr, with exit code 1, nothing on stdout and no traceback.
    """
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    (tmp_path / "torn.yaml").write_text("a: [1\n")
    for run in ("a", "b"):
        (tmp_path / "sweep" / run).mkdir(parents=True)
        (tmp_path / "sweep" / run / "spec.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    ended = said(*arguments)
    assert ended.code == 1
    assert ended.out == ""
    assert message in ended.err
    assert ended.err.startswith("sdxl-lab: ")
    assert "Traceback" not in ended.err


def test_a_dataset_is_listed(tmp_path):
    """
    `fetch` lists every sample of a dataset, with its size, and the dataset's digest.
    """
    listed = said("fetch", write_dataset(tmp_path / "scenes", count=3))
    assert listed.code == 0
    assert all(f"scene-{number}" in listed.out for number in range(3))
    assert "128x128" in listed.out


@pytest.mark.slow
def test_a_picture_is_made_again_from_its_parameters(made, tmp_path, monkeypatch):
    """
    The parameters that `show --as-parameters` prints of a picture make that one picture again, bit for bit, in a folder outside the repository.
    """
    [run] = made.iterdir()
    assert said("show", run).out.count("scene-") >= 4
    picture = run / "images" / "scene-1" / "outpaint.png"
    assert "-77" in said("show", picture).out
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(said("show", picture, "--as-parameters").out)
    again = said("run", "inpaint_outpaint", "-f", "good.yaml", "-p", "runs_folder", "again")
    assert again.code == 0, again.err
    [(name, pixels)] = pixels_of(tmp_path / "again").items()
    assert name == "scene-1/outpaint.png"
    assert np.array_equal(pixels, np.asarray(Image.open(picture)))


def test_the_words_of_a_command_stand_in_the_record(made):
    """
    A prompt of hostile characters, an empty one and one like an option are in spec.json, in the pictures' lines, the table of prompts and the PNGs.
    """
    [run] = made.iterdir()
    assert run.name.startswith("007-")
    spec = json.loads((run / "spec.json").read_text("utf-8"))
    lines = [json.loads(line) for line in (run / "images.jsonl").read_bytes().splitlines()]
    with (run / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    stamps = [read_stamp(path).edit.model_dump() for path in run.glob("images/*/*paint.png")]
    for listed in (spec["edits"], lines, rows, stamps):
        found = {(entry["task"], entry["prompt"], entry["negative_prompt"]) for entry in listed}
        assert (len(listed), found) == (4, {("inpaint", HOSTILE, "-p"), ("outpaint", HOSTILE, "")})


def test_a_done_run_is_seen_at_once(quick, copied):
    """
    The same command again starts no kernel and changes no file.
    """
    before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
    assert said(*quick, "-p", "runs_folder", copied).code == 0
    assert {path: path.stat().st_mtime_ns for path in copied.rglob("*")} == before


WITHOUT_A_MODEL = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from tests.support.runs import made_for
resolved = ResolvedSpec.from_json(Path({spec!r}).read_text("utf-8"))
run = RunFolder.of(resolved)
with run.open(resolved):
    for edit in run.pending():
        run.add_picture(edit, made_for(edit))
        if len(run.pictures()) == 1:
            time.sleep(600)
    run.finish()
"""
"""Records one picture and waits to be ended; started again, it makes the rest."""


@pytest.fixture
def endless(quick, tmp_path) -> tuple[list[str], Resolved]:
    """Arguments of that run by a notebook that needs no model, and does not get beyond its first picture when it begins with it; and the run."""
    notebook = nbformat.read(notebooks.find("inpaint_outpaint"), as_version=4)
    [parameters] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    arguments = ["run", str(tmp_path / "endless.ipynb"), *quick[2:], "-p", "runs_folder", str(tmp_path / "runs {name} {} #1")]
    values = list(zip(arguments[3::3], arguments[4::3], strict=True))
    given = laid_over(notebooks.parameters_of(notebooks.find("inpaint_outpaint")), values=values, takes_text=lambda path: takes_text(path, RunSpec))
    resolved = resolve(RunSpec.from_parameters(**given))
    (tmp_path / "planned.json").write_text(resolved.spec.to_json(), "utf-8")
    code = WITHOUT_A_MODEL.format(root=str(ROOT), spec=str(tmp_path / "planned.json"))
    notebook.cells = [parameters, nbformat.v4.new_code_cell(code)]
    nbformat.write(notebook, tmp_path / "endless.ipynb")
    return arguments, resolved


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_run_that_was_ended_goes_on(endless, how, code):
    """
    Ctrl-C ends a run with one message, kill -9 without; its whole picture is kept, no notebook is, and the same command makes the rest.
    """
    arguments, resolved = endless
    run = resolved.folder
    ended = interrupted(arguments, run.path.parent, how)
    assert ended[0] == code
    if how == signal.SIGINT:
        assert "interrupted" in ended[1]
        assert "pictures made so far are kept" in ended[1]
        assert "Traceback" not in ended[1]
    assert not run.executed_notebook.exists()
    [kept] = [picture.image for picture in run.pictures()]
    before = kept.stat()
    again = said(*arguments)
    assert (again.code, again.out.count("4 pictures in")) == (0, 1), again.err
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [pixels(picture.image) for picture in run.pictures()] == [made_for(edit).image.tobytes() for edit in resolved.spec.edits]
    assert len(run.pictures()) == 4
    assert not list(run.path.glob(".executed*"))


@pytest.mark.slow
def test_a_killed_run_makes_the_pictures_of_an_undisturbed_one(quick, made, tmp_path):
    """
    After kill -9 in the middle of a run with models, the same command makes the rest, and all pictures are those of the run that nothing disturbed.
    """
    arguments = [*quick, "-p", "runs_folder", str(tmp_path)]
    assert interrupted(arguments, tmp_path, signal.SIGKILL)[0] == -signal.SIGKILL
    assert said(*arguments).code == 0
    one, other = pixels_of(tmp_path), pixels_of(made)
    assert len(one) == 4
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in other)

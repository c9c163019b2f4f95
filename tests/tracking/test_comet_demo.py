"""The demo's three runs, live in Comet; and the search for secrets in all that a live and an offline run leave behind."""

from __future__ import annotations

import base64
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdxl_lab import demo
from sdxl_lab.kernels import engine, notebooks
from sdxl_lab.records.finding import find_runs
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import confirmed, sender
from sdxl_lab.tracking.key import experiment_key
from tests.support.comet_runs import ROOT, live_run
from tests.support.comet_server import Backend, serving
from tests.support.commands import said
from tests.support.datasets import write_dataset

pytestmark = pytest.mark.timeout(1800)
COMMAND = str(Path(sys.executable).with_name("sdxl-lab"))
KEY = "Xq7Lm2Vb9Rt4Zk8Wp3Nc6Yd1F"
FEW = {"denoising": {"num_inference_steps": 4}}
IN_BODIES = re.compile(rb'"apiKey": ?"[^"]*"')


@dataclass(frozen=True, kw_only=True)
class Left:
    """What somebody's runs leave behind.

    Attributes:
        folder: Home, working folder and temporary folder of that person.
        backend: What Comet received.
        said: All that was printed.
        runs: The run folders.
    """

    folder: Path
    backend: Backend
    said: str
    runs: tuple[RunFolder, ...]


def of_a_person(folder: Path, backend: Backend) -> dict[str, str]:
    """The environment of somebody with an account, whose every file lies below a folder."""
    for name in ("home", "work", "tmp"):
        (folder / name).mkdir(parents=True)
    (folder / "home" / ".comet.config").write_text(f"[comet]\napi_key={KEY}\n")
    mine = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
    places = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "SDXL_LAB_CACHE": str(folder / "home" / "cache")}
    server = {name: value for name, value in backend.environment().items() if name != "COMET_API_KEY"}
    return mine | places | server | {"MY_SECRET": "tell-nobody"}


def left_by(command: list[str], folder: Path, backend: Backend, words: str = "", **others: str) -> Left:
    """Run a command as that person, who types these words; it must succeed."""
    environment = of_a_person(folder, backend) | others
    done = subprocess.run(command, env=environment, cwd=folder / "work", input=words, capture_output=True, text=True, timeout=1700, check=False)
    assert done.returncode == 0, done.stderr
    return Left(folder=folder, backend=backend, said=done.stdout + done.stderr, runs=find_runs(folder))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, random_pair: Path) -> Iterator[Left]:
    """The demo with five small scenes and random weights, live; made by this process as that person."""
    dataset, folder = write_dataset(tmp_path_factory.mktemp("data") / "scenes", count=5), tmp_path_factory.mktemp("quick") / "person"
    printed = io.StringIO()
    with serving(Backend(api_key=KEY)) as backend:
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(printed):
            environment = of_a_person(folder, backend)
            for name in os.environ.keys() - environment.keys():
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.setattr(tempfile, "tempdir", None)
            patch.chdir(folder / "work")
            demo.make_runs(Path("artifacts/runs/demo"), str(dataset), str(random_pair), FEW, tracking="auto")
            engine.close()
        yield Left(folder=folder, backend=backend, said=printed.getvalue(), runs=find_runs(folder))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """The demo as it is, live."""
    code = "from pathlib import Path; from sdxl_lab import demo; demo.make_runs(Path('artifacts/runs/demo'), tracking='auto')"
    with serving(Backend(api_key=KEY)) as backend:
        yield left_by([sys.executable, "-c", code], tmp_path_factory.mktemp("real") / "person", backend)


@pytest.fixture(scope="module")
def modelless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    """A run of the same person whose pictures no model made, offline too."""
    with serving(Backend(api_key=KEY)) as backend:
        steps = "".join(f"{step}\n" for step in ("begin", "picture", "picture", "picture", "end"))
        yield left_by(live_run("runs", "offline"), tmp_path_factory.mktemp("modelless") / "person", backend, steps, PYTHONPATH=str(ROOT))


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory, random_pair: Path) -> Iterator[Left]:
    """One run of somebody with an account who keeps it offline."""
    with serving(Backend(api_key=KEY)) as backend:
        dataset = write_dataset(tmp_path_factory.mktemp("data") / "scenes", count=1)
        given: Mapping[str, object] = {"dataset": dataset, "checkpoint": random_pair, "tracking": "offline", "runs_folder": "runs"}
        arguments = [str(word) for name, value in given.items() for word in ("-p", name, value)]
        steps = ["-p", "hyperparameters.denoising.num_inference_steps", "3"]
        yield left_by([COMMAND, "run", "inpaint_outpaint", *arguments, *steps], tmp_path_factory.mktemp("offline") / "person", backend)


@pytest.mark.parametrize("kind", ["quick", pytest.param("real", marks=pytest.mark.slow)])
def test_the_demo_is_three_experiments_with_thirty_results(kind, request, monkeypatch):
    """
    Live against the stand-in, the demo is 3 experiments with 30 results, at the right steps and with their metadata, and no unknown request.
    """
    left: Left = request.getfixturevalue(kind)
    monkeypatch.setenv("COMET_API_KEY", KEY)
    for name, value in left.backend.environment().items():
        monkeypatch.setenv(name, value)
    for run in left.runs:
        if not confirmed.standing(run).is_whole:  # a machine with much else to do is too slow to be live
            sender.push(run)
    assert left.backend.unknown == []
    assert sorted(experiment.name for experiment in left.backend.experiments.values()) == sorted(demo.RUNS)
    results = 0
    for run in left.runs:
        experiment = left.backend.experiments[experiment_key(run)]
        assert experiment.tags == {"inpaint", "outpaint", "demo"}
        assert {asset.name for asset in experiment.assets} == {"prompts.csv", "report.html", "executed.ipynb"}
        assert {image.step for image in experiment.images} == {*range(5), None}
        found = {(image.name, image.step): image for image in experiment.images}
        assert len(found) == len(experiment.images)
        for picture in run.pictures():
            image = found[picture.task, picture.step]
            assert image.content == picture.image.read_bytes()
            assert image.metadata is not None
            told = {name: image.metadata[name] for name in ("sample", "task", "prompt", "seed", "sha256", "steps")}
            assert told == {
                "sample": picture.sample,
                "task": picture.task,
                "prompt": picture.prompt,
                "seed": picture.seed,
                "sha256": picture.sha256,
                "steps": picture.base_steps + picture.refiner_steps,
            }
            assert (f"{picture.task}/peak_memory_bytes", picture.step) in {(name, step) for name, _, step in experiment.metrics}
            results += 1
    assert results == 30
    assert sum(image.name in ("inpaint", "outpaint") for experiment in left.backend.experiments.values() for image in experiment.images) == 30


@pytest.mark.parametrize("kind", ["quick", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("offline", "real"))])
def test_no_secret_is_left_anywhere(kind, request):
    """
    The API key is in no file, no archive, no output and no request but where requests carry it; nor is the rest of the environment.
    """
    left: Left = request.getfixturevalue(kind)
    secrets = [KEY.encode(), base64.b64encode(KEY.encode()), b"tell-nobody"]
    searched = 0
    for name, content in everything(left):
        searched += 1
        for secret in secrets:
            assert secret not in content, name
    assert searched > 30


@pytest.mark.parametrize("kind", ["quick", pytest.param("real", marks=pytest.mark.slow)])
def test_nothing_personal_is_sent(kind, request):
    """
    No request names the machine, a folder of this machine, its packages, or another variable of the environment.
    """
    left: Left = request.getfixturevalue(kind)
    host = platform.node() if len(platform.node()) > 3 else "hostname"  # shorter names are parts of other words
    forbidden = [host, str(left.folder), str(Path.home()), sys.prefix, sys.executable, "site-packages", "hostname", "ipykernel_launcher"]
    for _, path, body in left.backend.received:
        for text in forbidden:
            assert text.encode() not in path.encode() + body, (path, text)


@pytest.mark.parametrize("kind", ["modelless", pytest.param("offline", marks=pytest.mark.slow)])
def test_an_offline_run_sends_nothing(kind, request):
    """
    With a key at hand and tracking offline there is not one request, and the archive is there.
    """
    left: Left = request.getfixturevalue(kind)
    assert left.backend.requests == []
    [run] = left.runs
    assert len(list(run.comet_folder.glob("*.zip"))) == 1


@pytest.mark.parametrize("kind", ["quick", "modelless", pytest.param("offline", marks=pytest.mark.slow)])
def test_no_worker_leaves_a_folder(kind, request):
    """
    Temporary folders of workers are gone when they are.
    """
    left: Left = request.getfixturevalue(kind)
    assert [path.name for path in (left.folder / "tmp").iterdir() if "comet" in path.name] == []


def everything(left: Left) -> Iterator[tuple[str, bytes]]:
    """All that could hold a secret, by name, archives opened."""
    yield "output", left.said.encode()
    for path in sorted(left.folder.rglob("*")):
        if path.is_file() and path != left.folder / "home" / ".comet.config":
            yield str(path), path.read_bytes()
            if path.suffix == ".zip":
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        yield f"{path}/{name}", archive.read(name)
    for method, path, body in left.backend.received:
        yield f"{method} {path}", path.encode() + IN_BODIES.sub(b"", body)
    for experiment in left.backend.experiments.values():
        yield experiment.key, json.dumps([experiment.parameters, experiment.others, experiment.output, experiment.system]).encode()


def test_a_key_as_a_parameter_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    """
    `run` refuses a key among its parameters with one error that does not repeat it, and leaves no file.
    """
    monkeypatch.chdir(tmp_path)
    for given in (["comet_api_key", KEY], ["hyperparameters.prompt", f"a {KEY}"], ["name", KEY]):
        refused = said("run", "inpaint_outpaint", "-p", *given)
        assert refused.code == 1
        assert "looks like an API key" in refused.err
        assert KEY not in refused.out + refused.err
    assert list(tmp_path.iterdir()) == []


def test_under_plain_papermill_the_gate_names_the_file_to_delete(tmp_path):
    """
    Plain papermill writes parameters into its output before anything can refuse them; the refusal says which file that is.
    """
    notebook = str(notebooks.find(notebooks.BUILT_IN))
    papermill = str(Path(sys.executable).with_name("papermill"))
    words = [papermill, notebook, "out.ipynb", "-k", "python3", "--no-progress-bar", "-y", f"hyperparameters: {{prompt: {KEY}}}"]
    refused = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=600, check=False)
    assert refused.returncode != 0
    assert "papermill has saved it in out.ipynb: delete that file" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out.ipynb"]

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.comet_server import Backend, serving

ONLINE, OFFLINE = "1" * 40, "2" * 40

SENT: dict[str, Any] = {
    "parameters": {
        "denoising": {"num_inference_steps": 30, "guidance_scale": 7.5, "nested": {"high_noise_frac": None}},
        "tasks": ["inpaint", "outpaint"],
        "refined": True,
        "name": "Ünïcode, “quoted”",
    },
    "metrics": [["seconds", 0.25 * step, step] for step in range(5)] + [["loss", 1e-9, 3], ["count", 7, None]],
    "others": {"dataset": "lab/scenes:1.0.0", "long": "x" * 900, "number": 12},
    "tags": ["inpaint", "a tag, with a comma", "größe"],
    "images": [["inpaint", 0, {"prompt": "p" * 3000, "seed": -732}], ["inpaint", 1, {"prompt": "é", "nested": {"a": [1, None]}}], ["input", 0, None]],
    "assets": [["prompts.csv", {"sha256": "0" * 64}], ["a folder/with spaces & ümläuts.txt", None]],
    "html": "<b>bold</b>",
}
FLAT = {
    "denoising|num_inference_steps": "30",
    "denoising|guidance_scale": "7.5",
    "denoising|nested|high_noise_frac": "null",
    "tasks": '["inpaint", "outpaint"]',
    "refined": "true",
    "name": "Ünïcode, “quoted”",
}
FILES = {"metadata.json": b"{}", "images/a b.png": bytes(range(256)) * 20, "images/deep/ü.bin": b"\x00\r\n--edge\r\n", "empty": b""}

WRITE = """
import json, sys
from pathlib import Path
import comet_ml

sent, folder, online_key, offline_key = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
settings = comet_ml.ExperimentConfig(parse_args=False, offline_directory=str(folder))

def start(key, **how):
    return comet_ml.start(workspace="lab", project_name="demo", experiment_key=key, experiment_config=settings, **how)

def log(experiment):
    experiment.set_name("plain")
    experiment.log_parameters(sent["parameters"])
    for name, value, step in sent["metrics"]:
        experiment.log_metric(name, value, step=step)
    for name, value in sent["others"].items():
        experiment.log_other(name, value)
    experiment.add_tags(sent["tags"])
    for name, step, metadata in sent["images"]:
        experiment.log_image(str(folder / f"{name}-{step}.png"), name=name, step=step, metadata=metadata)
    for name, metadata in sent["assets"]:
        experiment.log_asset(str(folder / "asset"), file_name=name, metadata=metadata)
    experiment.log_html(sent["html"])

experiment = start(online_key, mode="create")
log(experiment)
artifact = comet_ml.Artifact("scenes", "dataset", aliases=["best"], metadata={"pictures": 2})
artifact.add(str(folder / "dataset"), logical_path="./")
experiment.log_artifact(artifact)
experiment.end()
experiment = start(online_key, mode="get")
logged = experiment.get_artifact("lab/scenes:latest")
logged.download(str(folder / "downloaded"))
experiment.log_metric("resumed", 1, step=9)
experiment.end()
experiment = start(offline_key, online=False, mode="create")
log(experiment)
experiment.end()
"""

READ = """
import json, sys
from pathlib import Path
import comet_ml

folder, api, told = Path(sys.argv[1]), comet_ml.API(cache=False), {}

def files(experiment):
    return {asset["assetId"]: {"listed": asset, "hex": experiment.get_asset(asset["assetId"]).hex()} for asset in experiment.get_asset_list()}

for key in sys.argv[2:]:
    experiment = api.get_experiment_by_key(key)
    told[key] = {
        "name": experiment.get_name(),
        "state": experiment.get_state(),
        "metadata": experiment.get_metadata(),
        "parameters": {line["name"]: line["valueCurrent"] for line in experiment.get_parameters_summary()},
        "others": {line["name"]: line["valueCurrent"] for line in experiment.get_others_summary()},
        "metrics": experiment.get_metrics(),
        "one metric": experiment.get_metrics("seconds"),
        "tags": experiment.get_tags(),
        "html": experiment.get_html(),
        "files": files(experiment),
        "lineage": experiment.get_artifact_lineage(),
    }
    experiment.log_asset(str(folder / "asset"), name="late.txt", ftype="notebook", step=4, metadata={"sha256": "1"})
    late = [asset for asset in experiment.get_asset_list() if asset["fileName"] == "late.txt"]
    told[key]["late"] = [late[0], experiment.get_asset(late[0]["assetId"]).hex()]
    experiment.delete_asset(late[0]["assetId"])
    told[key]["after"] = files(experiment)
told["experiments"] = sorted(experiment.key for experiment in api.get_experiments("lab", "demo"))
told["nobody"] = api.get_experiment_by_key("3" * 40)
told["artifact files"] = api.get_artifact_files("lab", "scenes", version="1.0.0")["files"]
told["artifact"] = api.get_artifact_details("lab", "scenes")
api.get_artifact("lab", "scenes", alias="best").download(str(folder / "downloaded again"))
(folder / "told.json").write_text(json.dumps(told))
"""


def contents(folder: Path) -> dict[str, bytes]:
    """
    Files by path.
    """
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(backend: Backend, folder: Path, *command: object, status: int = 0) -> str:
    """
    A process that knows nothing but the backend, and ends with that status; what it printed.
    """
    quiet = {"COMET_ERROR_TRACKING_ENABLE": "0", "COMET_DISABLE_AUTO_LOGGING": "1", "COMET_AUTO_LOG_GPU": "0"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)} | quiet | backend.environment()
    done = subprocess.run(
        [str(part) for part in command], env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Backend, Path, dict[str, Any]]]:
    """
    One experiment written online by the plain SDK, one sent by `comet upload`, which is refused a second time, and what `comet_ml.API` tells of both.
    """
    folder = tmp_path_factory.mktemp("plain")
    (folder / "sent.json").write_text(json.dumps(SENT))
    for name, step, _ in SENT["images"]:
        (folder / f"{name}-{step}.png").write_bytes(image(name, step))
    (folder / "asset").write_bytes(b"step,sample\r\n0,octopus\r\n")
    for name, content in FILES.items():
        (folder / "dataset" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "dataset" / name).write_bytes(content)
    with serving(Backend()) as backend:
        run(backend, folder, sys.executable, "-c", WRITE, folder / "sent.json", folder, ONLINE, OFFLINE)
        shutil.copy(folder / f"{OFFLINE}.zip", folder / "again.zip")
        twice = (folder / f"{OFFLINE}.zip", folder / "again.zip")
        said = run(backend, folder, Path(sys.executable).parent / "comet", "upload", *twice, status=1)
        assert "Number of uploaded experiments: 1" in said
        assert "Number of failed experiment uploads: 1" in said
        run(backend, folder, sys.executable, "-c", READ, folder, ONLINE, OFFLINE)
        yield backend, folder, json.loads((folder / "told.json").read_text())


def image(name: str, step: int) -> bytes:
    """
    Bytes of an image, no two alike.
    """
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.new("RGB", (8, 8), (len(name), step, 0)).save(stream, "PNG")
    return stream.getvalue()


def test_no_request_of_the_plain_sdk_is_unknown(plain):
    """
    Online, resumed, `comet upload`, reading, artifacts up and down: the stand-in answers all of it.
    """
    backend, _, _ = plain
    assert backend.unknown == []
    assert sorted(backend.experiments) == [ONLINE, OFFLINE]


@pytest.mark.parametrize("key", [ONLINE, OFFLINE])
def test_what_was_logged_is_read_back(plain, key):
    """
    Name, parameters, metrics with steps, others, tags, images with steps and metadata, and files come back as sent, however they were sent.
    """
    backend, _, told = plain
    read, stored = told[key], backend.experiments[key]
    assert (read["name"], read["state"], read["html"], stored.offline) == ("plain", "finished", SENT["html"], key == OFFLINE)
    assert read["metadata"]["workspaceName"] == "lab"
    assert {name: value for name, value in read["parameters"].items() if name != "curr_step"} == FLAT
    assert {name: read["others"][name] for name in SENT["others"]} == SENT["others"] | {"number": "12"}
    assert set(read["tags"]) == set(SENT["tags"])
    points = [(point["metricName"], float(point["metricValue"]), point["step"]) for point in read["metrics"]]
    seconds = [tuple(point) for point in SENT["metrics"] if point[0] == "seconds"]
    assert sorted(point for point in points if point[0] == "seconds") == seconds, "`comet upload` keeps no order"
    assert sorted((float(point["metricValue"]), point["step"]) for point in read["one metric"]) == [(value, step) for _, value, step in seconds]
    assert ("loss", 1e-9, 3) in points
    assert [value for name, value, _ in points if name == "count"] == [7]
    assert (("resumed", 1.0, 9) in points) == (key == ONLINE)
    files = [(file["listed"], bytes.fromhex(file["hex"])) for file in read["files"].values()]
    images = [(listed["fileName"], listed["step"], json.loads(listed["metadata"] or "null"), content) for listed, content in files if listed["image"]]
    assert sorted(images, key=str) == sorted(((name, step, metadata, image(name, step)) for name, step, metadata in SENT["images"]), key=str)
    assets = {listed["fileName"]: (json.loads(listed["metadata"] or "null"), content) for listed, content in files if listed["type"] == "asset"}
    assert assets == {name: (metadata, b"step,sample\r\n0,octopus\r\n") for name, metadata in SENT["assets"]}
    assert all(listed["fileSize"] == len(content) for listed, content in files)
    assert {file.sha256 for file in stored.images} == {hashlib.sha256(image(name, step)).hexdigest() for name, step, _ in SENT["images"]}


@pytest.mark.parametrize("key", [ONLINE, OFFLINE])
def test_the_api_adds_and_deletes_a_file(plain, key):
    """
    A file logged through the API is listed with its step, type and metadata; once deleted nothing else has changed.
    """
    _, _, told = plain
    listed, content = told[key]["late"]
    assert (listed["type"], listed["step"], json.loads(listed["metadata"])) == ("notebook", 4, {"sha256": "1"})
    assert bytes.fromhex(content) == b"step,sample\r\n0,octopus\r\n"
    assert told[key]["after"] == told[key]["files"]


def test_an_artifact_comes_down_as_it_went_up(plain):
    """
    Bytes, paths, aliases and metadata survive; the experiment that made it and consumed it says so.
    """
    backend, folder, told = plain
    assert contents(folder / "downloaded") == FILES
    assert contents(folder / "downloaded again") == FILES
    assert {file["fileName"]: file["fileSize"] for file in told["artifact files"]} == {name: len(content) for name, content in FILES.items()}
    [version] = told["artifact"]["versions"]
    assert (version["version"], version["state"], set(version["alias"])) == ("1.0.0", "CLOSED", {"best", "Latest"})
    assert json.loads(version["metadata"]) == {"pictures": 2}
    assert version["sizeInBytes"] == sum(map(len, FILES.values()))
    lineage = told[ONLINE]["lineage"]["artifacts"]
    assert [version["artifact"]["artifactName"] for version in lineage["input"]] == ["scenes"]
    assert [version["artifactVersion"] for version in lineage["output"]] == ["1.0.0"]
    assert backend.experiments[ONLINE].inputs == ["lab/scenes:1.0.0"]
    assert backend.experiments[OFFLINE].inputs == []


def test_experiments_are_listed_and_nobody_is_none(plain):
    """
    A project lists its experiments; a key that was never used gives no experiment.
    """
    _, _, told = plain
    assert told["experiments"] == [ONLINE, OFFLINE]
    assert told["nobody"] is None

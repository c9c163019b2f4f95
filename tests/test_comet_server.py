from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from comet_server import Backend, serving

ONLINE, OFFLINE = "1" * 40, "2" * 40
MULTIPART = "multipart/form-data; boundary=edge"

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


@pytest.fixture
def backend() -> Iterator[Backend]:
    """
    A backend with one experiment, e.
    """
    with serving(Backend()) as backend:
        backend.new_experiment("e", workspace=None, project=None)
        yield backend


def ask(backend: Backend, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str) -> tuple[int, bytes]:
    """
    Status and body of one answer on a connection of its own.
    """
    connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=20)
    try:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, content, {"Authorization": key or backend.api_key} | sent)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def log(backend: Backend, value: float) -> tuple[int, bytes]:
    """
    Log one metric.
    """
    body = {"experimentKey": "e", "metricName": "m", "metricValue": value, "step": 1}
    return ask(backend, "POST", "/api/rest/v2/write/experiment/metric", body)


def upload(
    backend: Backend, content: bytes, *, query: str = "experimentId=e&figName=x&step=2&imageId=i", cut: int | None = None
) -> tuple[int, bytes]:
    """
    Upload an image, or only the first bytes of the body.
    """
    body = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n' + content + b"\r\n--edge--\r\n"
    headers = {"Content_Type": MULTIPART, "Content_Length": str(len(body))}
    return ask(backend, "POST", f"/clientlib/visualizations/upload?{query}", body[:cut], **headers)


METADATA = "/api/rest/v2/experiment/metadata?experimentKey=e"


def test_a_status_befalls_the_requests_it_is_meant_for(backend):
    """
    From the n-th matching request on, for as many as told, a request is refused and not done; others never are.
    """
    fault = backend.fail("experiment/metric", method="POST", status=503, after=1, times=2)
    assert [log(backend, value)[0] for value in range(5)] == [200, 503, 503, 200, 200]
    assert [value for _, value, _ in backend.experiments["e"].metrics] == [0, 3, 4]
    assert fault.hits == 2
    backend.fail(status=500)
    assert [log(backend, 9)[0] for _ in range(3)] == [500] * 3
    backend.clear()
    assert log(backend, 5)[0] == 200


def test_an_answer_can_be_anything(backend):
    """
    A page in place of JSON, as a proxy in between gives it.
    """
    backend.fail("metadata", body=b"<html>please log in</html>")
    assert ask(backend, "GET", METADATA) == (200, b"<html>please log in</html>")


def test_a_delay_takes_as_long_as_told(backend):
    """
    The request is done, later.
    """
    backend.fail("metric", delay_s=0.4)
    begun = time.monotonic()
    assert log(backend, 1)[0] == 200
    assert time.monotonic() - begun >= 0.4


@pytest.mark.parametrize("end", ["clear", "stop"])
def test_a_hang_ends_when_faults_are_cleared_or_the_server_dies(backend, end):
    """
    Nobody is answered while it hangs; then the connection breaks and the request was never done.
    """
    backend.fail("metric", delay_s=float("inf"))
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(log, backend, 1)
        time.sleep(0.3)
        assert not hanging.done()
        getattr(backend, end)()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            hanging.result(timeout=5)
    assert backend.experiments["e"].metrics == []


@pytest.mark.parametrize(("drop", "stored"), [("unread", 0), ("reading", 0), ("unanswered", 1)])
def test_a_dropped_connection_leaves_no_answer(backend, drop, stored):
    """
    A reset before the body is read or in its middle leaves nothing; one in place of the answer leaves what was asked for.
    """
    backend.fail("visualizations", drop=drop, times=1)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        upload(backend, bytes(3_000_000))
    assert len(backend.experiments["e"].images) == stored
    assert upload(backend, bytes(3_000_000))[0] == 200
    assert len(backend.experiments["e"].images) == 1, "the same id is the same image"


def test_an_answer_breaks_off(backend):
    """
    Truncated it is shorter than it promised, which every client notices; shortened or corrupted it keeps its word and is wrong.
    """
    whole = ask(backend, "GET", "/api/rest/v2/experiment/tags?experimentKey=e")[1]
    backend.fail("tags", truncate=4, times=1)
    with pytest.raises(http.client.IncompleteRead) as broken:
        ask(backend, "GET", "/api/rest/v2/experiment/tags?experimentKey=e")
    assert broken.value.partial == whole[:4]
    backend.fail("tags", shorten=5, times=1)
    assert ask(backend, "GET", "/api/rest/v2/experiment/tags?experimentKey=e")[1] == whole[:5]
    backend.fail("tags", corrupt=True, times=1)
    wrong = ask(backend, "GET", "/api/rest/v2/experiment/tags?experimentKey=e")[1]
    assert sum(one != other for one, other in zip(wrong, whole, strict=True)) == 1


def test_an_answer_stops_in_the_middle(backend):
    """
    What was sent is there, more does not come, and the connection stays as long as the fault.
    """
    backend.fail("tags", stall=3)
    connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=0.3)
    connection.request("GET", "/api/rest/v2/experiment/tags?experimentKey=e", headers={"Authorization": backend.api_key})
    answer = connection.getresponse()
    assert answer.read(3) == b'{"t'
    with pytest.raises(TimeoutError):
        answer.read(1)
    connection.close()
    answer.close()


def test_an_upload_that_is_not_whole_is_not_stored(backend):
    """
    A client that goes away in the middle, and a body without its end, leave nothing.
    """
    connection = http.client.HTTPConnection("127.0.0.1", backend.port, timeout=20)
    connection.putrequest("POST", "/clientlib/visualizations/upload?experimentId=e&figName=x")
    for name, value in {"Authorization": backend.api_key, "Content-Type": MULTIPART, "Content-Length": "500"}.items():
        connection.putheader(name, value)
    connection.endheaders(b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + bytes(100))
    connection.close()
    body = b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + bytes(100)
    assert ask(backend, "POST", "/clientlib/visualizations/upload?experimentId=e&figName=x", body, Content_Type=MULTIPART)[0] == 400
    time.sleep(0.1)
    assert backend.experiments["e"].images == []
    assert backend.unknown == []


def test_a_large_upload_is_stored_whole(backend):
    """
    Any bytes, 100 MB of them, in seconds.
    """
    content = bytes(range(256)) * 400_000
    begun = time.monotonic()
    assert upload(backend, content)[0] == 200
    assert time.monotonic() - begun < 20
    [stored] = backend.experiments["e"].images
    assert stored.content == content
    assert (stored.name, stored.step, stored.id) == ("x", 2, "i")


def test_an_expired_key_is_a_bad_key(backend):
    """
    From then on each answer says that nobody knows the key, as it does to a wrong one; pings need none.
    """
    assert log(backend, 1)[0] == 200
    assert json.loads(ask(backend, "GET", METADATA, key="wrong")[1])["sdk_error_code"] == 90212
    backend.expire_key()
    status, answer = log(backend, 2)
    assert (status, json.loads(answer)["sdk_error_code"]) == (401, 90212)
    status, answer = ask(backend, "POST", "/clientlib/logger/get/run", {"previousExperiment": "e"})
    assert (status, json.loads(answer)["sdk_error_code"]) == (400, 90212)
    assert ask(backend, "GET", "/clientlib/health/ping")[0] == 200
    backend.expire_key(rest_status=400)
    assert log(backend, 2)[0] == 400
    backend.clear()
    assert log(backend, 3)[0] == 200
    assert [value for _, value, _ in backend.experiments["e"].metrics] == [1, 3]


def test_death_and_return(backend):
    """
    Down, connections break and new ones are refused; up again it listens on the same port and has forgotten nothing.
    """
    port = backend.port
    assert log(backend, 1)[0] == 200
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask_again() -> bytes:
        connection.request("GET", METADATA, headers={"Authorization": backend.api_key})
        return connection.getresponse().read()

    assert ask_again()
    assert ask_again()
    for _ in range(2):
        backend.stop()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask_again()
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            log(backend, 2)
        backend.start()
        assert backend.port == port
        assert log(backend, 3)[0] == 200
        assert ask_again()
    connection.close()
    assert [value for _, value, _ in backend.experiments["e"].metrics] == [1, 3, 3]


def test_a_request_kills_the_server(backend):
    """
    The n-th request finds its end and the server's; nothing of it is done, and nobody is answered until the server is started again.
    """
    backend.fail("metric", drop="death", after=2, times=1)
    assert [log(backend, value)[0] for value in range(2)] == [200, 200]
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        log(backend, 2)
    assert not backend.alive
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        log(backend, 3)
    backend.start()
    assert backend.alive
    assert log(backend, 4)[0] == 200
    assert [value for _, value, _ in backend.experiments["e"].metrics] == [0, 1, 4]


def test_an_unknown_request_is_told(backend):
    """
    What no route answers is 404 and on record, and so is a request that a route trips over.
    """
    assert ask(backend, "GET", "/api/rest/v2/no/such")[0] == 404
    assert ask(backend, "POST", "/api/rest/v2/write/experiment/metric", {"experimentKey": "e"})[0] == 500
    assert backend.unknown[0] == "GET /api/rest/v2/no/such"
    assert "KeyError('metricValue')" in backend.unknown[1]
    assert backend.requests == [("GET", "/api/rest/v2/no/such"), ("POST", "/api/rest/v2/write/experiment/metric")]


def test_experiments_are_refused_as_the_sdk_reads_it(backend):
    """
    An unknown experiment, a key that exists and a workspace that does not have their own codes.
    """

    def code(path: str, body: dict[str, Any]) -> tuple[int, int | None]:
        status, answer = ask(backend, "POST", path, body)
        return status, json.loads(answer).get("sdk_error_code")

    create = {"experimentKey": "e", "teamName": None, "projectName": None, "offline": False, "getOrCreateEnabled": False}
    assert code("/clientlib/logger/add/run", create) == (400, 90999)
    assert code("/clientlib/logger/add/run", create | {"getOrCreateEnabled": True}) == (200, None)
    assert code("/clientlib/logger/add/run", create | {"experimentKey": "f", "teamName": "nobody"}) == (400, 90219)
    assert code("/clientlib/logger/get/run", {"previousExperiment": "f"}) == (400, 90210)
    assert ask(backend, "GET", "/api/rest/v2/experiment/metadata?experimentKey=f")[0] == 400
    assert list(backend.experiments) == ["e"]


def test_an_artifact_version_is_open_until_it_is_closed(backend):
    """
    It can't be consumed before, nor changed after; numbers count up, and what does not exist is not found.
    """

    def post(path: str, body: Any) -> Any:
        return json.loads(ask(backend, "POST", f"/api/rest/v2/write/artifacts/{path}", body)[1])

    def get(query: str) -> Any:
        return json.loads(ask(backend, "GET", f"/api/rest/v2/artifacts/version?workspace=lab&artifactName=s%2520t&{query}")[1])

    wanted = dict(experimentKey="e", artifactName="s t", artifactType="dataset", version=None, alias=["a"], versionTags=[], versionMetadata=None)
    first = post("upsert", wanted)
    assert (first["currentVersion"], first["previousVersion"]) == ("1.0.0", None)
    assert get("versionOrAlias=a")["sdk_error_code"] == 90402
    state = {"experimentKey": "e", "artifactVersionId": first["artifactVersionId"]}
    post("state", state | {"state": "ERROR"})
    assert get("versionOrAlias=1.0.0")["sdk_error_code"] == 90403
    post("state", state | {"state": "CLOSED"})
    assert get("versionOrAlias=latest")["artifactVersion"] == "1.0.0"
    assert post("state", state | {"state": "ERROR"})["sdk_error_code"] == 7000005
    query = f"/clientlib/asset/upload?experimentId=e&fileName=x&artifactVersionId={first['artifactVersionId']}"
    body = b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--edge--\r\n'
    assert ask(backend, "POST", query, body, Content_Type=MULTIPART)[0] == 400
    assert post("upsert", wanted | {"version": "1.0.0"})["sdk_error_code"] == 90399
    second = post("upsert", wanted)
    assert (second["currentVersion"], second["previousVersion"]) == ("1.1.0", "1.0.0")
    assert get("versionOrAlias=2.0.0")["sdk_error_code"] == 624523
    backend.add_artifact("lab/other:3.0.0", {"../x": b"1"})
    files = json.loads(ask(backend, "GET", "/api/rest/v2/artifacts/version/files?workspace=lab&artifactName=other&version=3.0.0")[1])["files"]
    assert [(file["fileName"], file["fileSize"]) for file in files] == [("../x", 1)]


def test_many_at_once_lose_nothing(backend):
    """
    Eight clients with forty values each leave 320 values.
    """
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda value: log(backend, value)[0], range(320)))
    assert statuses == [200] * 320
    assert sorted(value for _, value, _ in backend.experiments["e"].metrics) == list(range(320))
    assert len(backend.received) == 320
    assert threading.active_count() < 20

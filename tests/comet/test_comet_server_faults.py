from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.comet_backend.asking import MULTIPART, ask, log, upload
from tests.support.comet_server import Backend, serving

METADATA = "/api/rest/v2/experiment/metadata?experimentKey=e"


@pytest.fixture
def backend() -> Iterator[Backend]:
    """
    A backend with one experiment, e.
    """
    with serving(Backend()) as backend:
        backend.new_experiment("e", workspace=None, project=None)
        yield backend


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
    assert time.monotonic() - begun < 60
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


def test_death_waits_for_nobody(backend):
    """
    Neither a client that reads nothing of a large answer, nor one that sends nothing of its upload, nor an idle one keeps the server alive.
    """
    upload(backend, bytes(30_000_000))
    lines = ("GET /api/rest/v2/experiment/asset/get-asset?experimentKey=e&assetId=i", "POST /clientlib/asset/upload?experimentId=e&fileName=x")
    connections = [socket.create_connection(("127.0.0.1", backend.port)) for _ in range(3)]
    for connection, line in zip(connections, lines, strict=False):
        connection.sendall(f"{line} HTTP/1.1\r\nAuthorization: {backend.api_key}\r\nContent-Length: {1000 * (line[0] == 'P')}\r\n\r\n".encode())
    while len(backend.requests) < 3:
        time.sleep(0.01)
    begun = time.monotonic()
    backend.stop()
    assert time.monotonic() - begun < 5
    for connection in connections:
        connection.close()
    assert backend.unknown == []


def test_readers_lag_behind_writers(backend):
    """
    What is written is there at once and read back later; that the experiment exists is known at once.
    """
    log(backend, 1)
    backend.lag(0.5)
    backend.new_experiment("f", workspace=None, project=None)
    assert log(backend, 2)[0] == 200
    assert upload(backend, b"x")[0] == 200

    def read() -> tuple[list[str], int]:
        points = json.loads(ask(backend, "GET", "/api/rest/v2/experiment/metrics/get-all?experimentKey=e")[1])["metrics"]
        files = json.loads(ask(backend, "GET", "/api/rest/v2/experiment/asset/list?experimentKey=e")[1])["assets"]
        return [point["metricValue"] for point in points], len(files)

    assert read() == (["1"], 0)
    assert ask(backend, "GET", "/api/rest/v2/experiment/tags?experimentKey=f")[0] == 200
    time.sleep(0.6)
    assert read() == (["1", "2"], 1)
    log(backend, 3)
    assert read() == (["1", "2"], 1)
    backend.clear()
    assert read() == (["1", "2", "3"], 1)


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

"""Datasets to Comet and back, by the unmodified SDK, against a stand-in for the backend."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from PIL import Image

from sdxl_lab.comet import CometError, artifact
from sdxl_lab.datasets import samples, sources
from tests.support.artifact_backend import ASSET, FILES, LONG, asked_for, contents, leftovers, sea, version_of, write_dataset
from tests.support.comet_backend.state import Asset
from tests.support.commands import said


def test_what_is_published_is_what_is_fetched(backend, tmp_path, one_worker):
    """
    Upload then download gives the same names and bytes, for nested folders, other scripts, spaces and 200 characters, and the same digest.
    """
    odd = ("octopus.png", "tief/unten/grüße 魚 🐟.png", LONG, f"{'y' * 60}/{LONG}", "e\u0301.png", "a+b&c=d%20#e.png")
    folder = write_dataset(tmp_path / "mine", tuple(f"images/{name}" for name in odd))
    (folder / "notes.txt").write_text("mine alone")
    assert sources.publish(folder, "team/sea") == "team/sea:1.0.0"
    dataset = sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    assert dataset.folder == tmp_path / "datasets/team/sea/1.0.0"
    assert contents(dataset.folder) == {name: content for name, content in contents(folder).items() if name != "notes.txt"}
    assert dataset.digest == sources.fetch(folder).digest
    assert (dataset.name, dataset.version) == ("team/sea", "1.0.0")
    version = version_of(backend)
    metadata = json.loads(version.metadata or "{}")
    assert (metadata["samples"], metadata["files"], metadata["sdxl_lab_digest"]) == (6, 13, dataset.digest)
    assert all((asset.metadata or {})["sha256"] == asset.sha256 for asset in version.assets)
    assert sources.publish(folder, "team/sea") == "team/sea:1.1.0"


def test_a_second_fetch_needs_no_server(backend, tmp_path, one_worker):
    """
    A version that is here is found without a request, without a key and without a server.
    """
    sea(backend, tmp_path)
    first = sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    asked = list(backend.requests)
    backend.stop()
    del os.environ["COMET_API_KEY"]
    assert sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets") == first
    assert backend.requests == asked


def test_an_alias_becomes_a_version(backend, tmp_path, one_worker):
    """
    An alias, or none, is resolved by the server, each time; offline the error lists the versions that are here, and guesses none.
    """
    for number in ("1.0.0", "1.1.0"):
        sea(backend, tmp_path, f"team/sea:{number}")
    datasets = tmp_path / "datasets"
    assert sources.fetch("team/sea", datasets_folder=datasets).version == "1.1.0"
    assert sources.fetch("team/sea:latest", datasets_folder=datasets).version == "1.1.0"
    backend.add_artifact("team/sea:2.0.0", contents(tmp_path / "team/sea-1.0.0"), aliases=["good"])
    assert sources.fetch("team/sea:good", datasets_folder=datasets).version == "2.0.0"
    assert sources.fetch("team/sea:latest", datasets_folder=datasets).version == "2.0.0"
    assert sorted(path.name for path in leftovers(datasets)) == ["1.1.0", "2.0.0"]
    backend.stop()
    with pytest.raises(CometError, match=r"team/sea:latest cannot be fetched(?s:.*)there are here: team/sea:1\.1\.0, team/sea:2\.0\.0"):
        sources.fetch("team/sea:latest", datasets_folder=datasets)
    with pytest.raises(CometError, match="there is no folder 'team/sea' here, and the artifact team/sea cannot be fetched"):
        sources.fetch("team/sea", datasets_folder=datasets)


def test_a_run_records_the_version_an_alias_stood_for(backend, tmp_path, one_worker):
    """
    A spec that asks for the newest version is resolved to the version it got.
    """
    from sdxl_lab.runs import resolution
    from sdxl_lab.spec import run_spec

    sea(backend, tmp_path, "team/sea:1.2.3")
    spec = run_spec.RunSpec.from_parameters(
        name="x",
        dataset="team/sea",
        checkpoint="pocket",
        samples=None,
        tasks=["inpaint"],
        tracking="off",
        runs_folder=str(tmp_path),
        hyperparameters={"seed": 1},
    )
    resolved = resolution.resolve(spec).spec
    assert (resolved.dataset.name, resolved.dataset.version, resolved.spec.dataset) == ("team/sea", "1.2.3", "team/sea:1.2.3")


HOSTILE: dict[str, Callable[[list[Asset]], object]] = {
    "leads out": lambda files: files.append(Asset(name="../x", content=b"x")),
    "is absolute": lambda files: files.append(Asset(name="/tmp/x", content=b"x")),
    "the same name but for case": lambda files: files.append(Asset(name="IMAGES/octopus.png", content=b"x")),
    "a link to 's3://bucket/x'": lambda files: files.append(Asset(name="x", link="s3://bucket/x")),
    "allowed are 4,000,000,000": lambda files: files.append(Asset(name="x", claimed_bytes=10_000_000_000)),
    r"no metadata\.json": lambda files: files.clear(),
    "keeps for itself": lambda files: files.append(Asset(name=".digest.json", content=b"{}")),
}


@pytest.mark.parametrize("message", HOSTILE)
def test_hostile_listings_are_refused_before_anything_is_fetched(backend, tmp_path, one_worker, message):
    """
    A listing that leads out, collides, links elsewhere or claims too much is refused whole: no file is asked for, none is written.
    """
    sea(backend, tmp_path)
    HOSTILE[message](version_of(backend).assets)
    before = contents(tmp_path)
    with pytest.raises(CometError, match=f"team/sea:1.0.0 is refused: (?s:.*){message}"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    assert asked_for(backend) == 0
    assert {name: content for name, content in contents(tmp_path).items() if not name.endswith(".lock")} == before


def test_more_than_was_claimed_is_not_taken(backend, tmp_path, one_worker):
    """
    A file that goes on after its claimed size is broken off there.
    """
    sea(backend, tmp_path)
    backend.artifacts["team/sea"].versions[0].assets[0].claimed_bytes = 20
    with pytest.raises(CometError, match="more came than the 20 bytes it claims"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    assert leftovers(tmp_path / "datasets") == []


@pytest.mark.parametrize("how", ["truncate", "shorten"])
@pytest.mark.parametrize("name", ["metadata.json", "images/octopus.png", "masks/octopus.png"])
def test_a_cut_at_any_byte_is_noticed(backend, tmp_path, one_worker, name, how):
    """
    A file cut off at any byte, whether the answer admits it or not, leaves nothing that looks whole; afterward what comes is identical.
    """
    folder = sea(backend, tmp_path)
    (asset,) = (asset for asset in version_of(backend).assets if asset.name == name)
    for cut in (0, 1, len(asset.content) // 2, len(asset.content) - 1):
        backend.fail(f"assetId={asset.id}", **{how: cut})
        with pytest.raises(CometError, match=f"'{name}' came 3 times other than listed"):
            sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
        assert leftovers(tmp_path / "datasets") == []
        backend.clear()
    assert contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder) == contents(folder)


@pytest.mark.parametrize("cut", [0, 1, 300])
def test_a_cut_listing_is_noticed(backend, tmp_path, one_worker, cut):
    """
    A listing that breaks off is one error; the next call succeeds.
    """
    folder = sea(backend, tmp_path)
    backend.fail(FILES, truncate=cut)
    with pytest.raises(CometError, match=r"team/sea:1\.0\.0 cannot be fetched"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    backend.clear()
    assert contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder) == contents(folder)


def test_changed_bytes_are_noticed(backend, tmp_path, one_worker):
    """
    A published file that comes with one byte changed, or whole with another file's bytes, is refused by its sha256.
    """
    folder = write_dataset(tmp_path / "mine")
    sources.publish(folder, "team/sea")
    for fault in ({"corrupt": True}, {"body": b"x" * len(version_of(backend).assets[0].content)}):
        backend.fail(f"assetId={version_of(backend).assets[0].id}", **fault)
        with pytest.raises(CometError, match=r"came 3 times other than listed \(another sha256"):
            sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
        backend.clear()
    assert contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder) == contents(folder)


def test_without_checksums_every_picture_is_opened(backend, tmp_path, one_worker):
    """
    A picture of the right size and the wrong bytes, published by other means, refuses the artifact, and nothing of it is kept.
    """
    sea(backend, tmp_path)
    (asset,) = (asset for asset in version_of(backend).assets if asset.name == "images/octopus.png")
    backend.fail(f"assetId={asset.id}", body=b"x" * len(asset.content))
    with pytest.raises(CometError, match=r"came whole, but cannot be used: 1 of 1 sample in metadata\.json"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    assert set(contents(tmp_path / "datasets")) == {"team/sea/.lock"}


def test_a_server_that_keeps_no_metadata_of_files_is_held_to_the_digest(backend, tmp_path, one_worker):
    """
    Where the listing lacks the sha256 of every file, what was published is still fetched, and another picture of the same size refused.
    """
    folder = write_dataset(tmp_path / "mine")
    sources.publish(folder, "team/sea")
    for asset in version_of(backend).assets:
        asset.metadata = None
    (mask,) = (asset for asset in version_of(backend).assets if asset.name == "masks/octopus.png")
    original = mask.content
    with Image.open(folder / "masks/octopus.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "other.png")
    other = (tmp_path / "other.png").read_bytes().ljust(len(original), b"\0")
    mask.content, mask.claimed_bytes = other, len(other)
    with pytest.raises(CometError, match="not those that were published"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    mask.content, mask.claimed_bytes = original, len(original)
    assert contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder) == contents(folder)


def test_a_file_that_came_whole_is_not_fetched_again(backend, tmp_path, one_worker):
    """
    After an interruption only what is missing is asked for; another listing of the same version starts again.
    """
    folder = sea(backend, tmp_path)
    first, *_, last = sorted(version_of(backend).assets, key=lambda asset: asset.name)
    backend.fail(f"assetId={last.id}", truncate=5)
    with pytest.raises(CometError, match="files that came whole are: fetch again"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    backend.clear()
    backend.requests.clear()
    assert contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder) == contents(folder)
    assert asked_for(backend) == 1
    assert first.id != last.id


def test_a_short_fault_is_overcome(backend, tmp_path, one_worker):
    """
    A file that is cut off twice comes at the third time, in the same call.
    """
    folder = sea(backend, tmp_path)
    fault = backend.fail(ASSET, truncate=9, times=2)
    assert contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder) == contents(folder)
    assert fault.hits == 2


def test_a_version_that_was_changed_here_is_refused(backend, tmp_path, one_worker):
    """
    A version never changes: a file of it that was edited on this machine raises, and says what to do.
    """
    sea(backend, tmp_path)
    folder = sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder
    (folder / "metadata.json").write_text((folder / "metadata.json").read_text().replace("red", "blue"))
    with pytest.raises(samples.ArtifactError, match=r"has changed since team/sea:1\.0\.0 was downloaded(?s:.*)remove the folder"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")


def test_refusals_are_one_error_each(backend, tmp_path, one_worker):
    """
    No such artifact, a version that was never finished, a refused key and no key: each is one error that says which and what to do.
    """
    datasets = tmp_path / "datasets"
    with pytest.raises(CometError, match=r"team/sea:1\.0\.0 cannot be fetched: Comet: there is none of that name and version; see which"):
        sources.fetch("team/sea:1.0.0", datasets_folder=datasets)
    sea(backend, tmp_path)
    version_of(backend).state = "OPEN"
    with pytest.raises(CometError, match="it was begun and never finished; choose another version"):
        sources.fetch("team/sea:1.0.0", datasets_folder=datasets)
    version_of(backend).state = "CLOSED"
    backend.expire_key()
    with pytest.raises(CometError, match="it refuses the API key; see that the key is right") as caught:
        sources.fetch("team/sea:1.0.0", datasets_folder=datasets)
    assert backend.api_key not in str(caught.value)
    backend.clear()
    backend.fail(FILES, status=500)
    with pytest.raises(CometError, match="cannot be fetched: Comet"):
        sources.fetch("team/sea:1.0.0", datasets_folder=datasets)
    del os.environ["COMET_API_KEY"]
    with pytest.raises(CometError, match=r"no API key for Comet(?s:.*)or put its files, metadata\.json among them, in"):
        sources.fetch("team/sea:1.0.0", datasets_folder=datasets)
    assert leftovers(datasets) == []


def test_a_server_that_hangs_is_given_up(backend, tmp_path, monkeypatch):
    """
    A file that stalls ends the fetch within the time that silence may last, with one error; the server back, the rest comes.
    """
    folder = sea(backend, tmp_path)
    backend.fail(ASSET, delay_s=float("inf"), after=1)
    monkeypatch.setattr(artifact, "SILENCE_S", 2.0)
    before = time.monotonic()
    with pytest.raises(CometError, match="nothing came for 2 s; fetch again"):
        sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    assert time.monotonic() - before < 60
    backend.clear()
    assert contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder) == contents(folder)


def test_two_fetches_at_once_fetch_once(backend, tmp_path):
    """
    Of two fetches of the same version one waits for the other; both have it, and each file was asked for once.
    """
    folder = sea(backend, tmp_path)
    backend.fail(ASSET, delay_s=0.5)
    found: list[dict[str, bytes]] = []

    def fetch() -> None:
        found.append(contents(sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets").folder))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [contents(folder)] * 2
    assert asked_for(backend) == 3


def test_a_killed_fetch_leaves_nothing_that_looks_whole(backend, tmp_path, one_worker):
    """
    `kill -9` of the command in the middle of a file leaves no version; the same command then fetches it.
    """
    folder = sea(backend, tmp_path)
    backend.fail(ASSET, delay_s=float("inf"), after=1)
    command = [sys.executable, "-c", "from sdxl_lab.cli import main; main()", "fetch", "team/sea"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    while asked_for(backend) < 2 and process.poll() is None:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    datasets = tmp_path / "artifacts/datasets"
    assert leftovers(datasets) == []
    backend.clear()
    assert "team/sea:1.0.0" in said("fetch", "team/sea").out
    assert contents(datasets / "team/sea/1.0.0") == contents(folder)

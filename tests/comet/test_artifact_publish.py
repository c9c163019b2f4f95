"""What publishing leaves in Comet: a version that is whole, or none that anybody gets."""

import json
import os

import pytest

from sdxl_lab.comet import CometError, artifact
from sdxl_lab.datasets import samples, sources
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.identities import DatasetIdentity
from sdxl_lab.tracking import sender
from sdxl_lab.tracking.key import experiment_key
from tests.support.artifact_backend import contents, version_of, write_dataset
from tests.support.commands import said
from tests.support.runs import made_for, resolved_run


def test_the_command_publishes_and_fetches(backend, tmp_path, one_worker):
    """
    `sdxl-lab publish` prints the version it made, and `sdxl-lab fetch` with that name finds the same dataset.
    """
    folder = write_dataset(tmp_path / "mine")
    published = said("publish", folder, "team/sea")
    assert (published.code, published.out) == (0, "published team/sea:1.0.0\n")
    fetched = said("fetch", "team/sea:1.0.0")
    assert fetched.code == 0
    assert sources.fetch(folder).digest in fetched.out
    assert contents(tmp_path / "artifacts/datasets/team/sea/1.0.0") == contents(folder)
    assert not any(backend.api_key in text for text in (published.out + published.err, fetched.out + fetched.err))


def test_only_what_the_dataset_names_is_sent(backend, tmp_path, one_worker):
    """
    Files that metadata.json doesn't name, and where the folder lies, stay on this machine.
    """
    folder = write_dataset(tmp_path / "mine")
    (folder / ".env").write_text("SECRET=1")
    (folder / "notes.txt").write_text("mine alone")
    sources.publish(folder, "team/sea")
    assert {asset.name for asset in version_of(backend).assets} == {"metadata.json", "images/octopus.png", "masks/octopus.png"}
    sent = b"".join(target.encode() + body for _, target, body in backend.received)
    assert not any(word in sent for word in (b"SECRET", b"mine alone", str(tmp_path).encode()))


@pytest.mark.parametrize("name", ["sea", "team/sea:1.0.0", "a/b/c", "team/", "../sea", "team/s ea"])
def test_a_name_that_cannot_be_published_is_refused(tmp_path, name):
    """
    Anything but workspace/name is refused before anything is read.
    """
    with pytest.raises(samples.ArtifactError, match="to publish as; allowed is 'workspace/name'"):
        sources.publish(tmp_path / "absent", name)


def test_what_is_no_dataset_is_not_sent(backend, tmp_path, one_worker):
    """
    A folder that fetch refuses, is empty or is none, and names that some systems cannot have, raise before the first request.
    """
    (tmp_path / "empty").mkdir()
    spoilt = write_dataset(tmp_path / "spoilt")
    (spoilt / "images/octopus.png").write_bytes(b"no picture")
    for folder, message in (("absent", "is no folder"), ("empty", r"has no metadata\.json"), ("spoilt", "1 of 1 sample ")):
        with pytest.raises(samples.ArtifactError, match=message):
            sources.publish(tmp_path / folder, "team/sea")
    with pytest.raises(CometError, match=r"'images/a\?\.png': it holds a control character or one of(?s:.*)rename it, also in metadata"):
        sources.publish(write_dataset(tmp_path / "odd", ("images/a?.png",)), "team/sea")
    with pytest.raises(CometError, match="the same name but for case"):
        sources.publish(write_dataset(tmp_path / "twice", ("images/a.png", "images/A.png")), "team/sea")
    del os.environ["COMET_API_KEY"]
    with pytest.raises(CometError, match=r"cannot be published as team/sea: got no API key for Comet(?s:.*); nothing was sent"):
        sources.publish(write_dataset(tmp_path / "mine"), "team/sea")
    assert backend.requests == []


FAULTS = {
    "no new version": ("artifacts/upsert", {"status": 500}),
    "a file is refused": ("asset/upload", {"status": 500, "after": 1}),
    "a file's connection is reset": ("asset/upload", {"drop": "reading", "after": 1}),
    "never final": ("artifacts/state", {"status": 500}),
    "not read back": ("artifacts/version/files", {"status": 500}),
    "listing cut": ("artifacts/version/files", {"truncate": 40}),
}


SLOW = ("a file is refused", "a file's connection is reset", "not read back")


@pytest.mark.parametrize("case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in FAULTS])
def test_a_fault_while_publishing_is_one_error(backend, tmp_path, one_worker, monkeypatch, case):
    """
    Whatever goes wrong is said in one error; a version that is not whole cannot be fetched; afterward the same call succeeds.
    """
    monkeypatch.setattr(artifact, "FINAL_S", 1.0)
    folder = write_dataset(tmp_path / "mine")
    path, how = FAULTS[case]
    backend.fail(path, **how)
    with pytest.raises(CometError, match=r"mine cannot be published as team/sea: Comet(?s:.*); publish it again"):
        sources.publish(folder, "team/sea")
    backend.clear()
    if case not in ("not read back", "listing cut"):
        with pytest.raises(CometError, match="cannot be fetched: Comet"):
            sources.fetch("team/sea:1.0.0", datasets_folder=tmp_path / "datasets")
    published = sources.publish(folder, "team/sea")
    assert contents(sources.fetch(published, datasets_folder=tmp_path / "datasets").folder) == contents(folder)


def test_a_version_that_came_changed_is_refused(backend, tmp_path, one_worker):
    """
    What the server lists afterward is compared with what was sent: one byte less and the error says so.
    """
    folder = write_dataset(tmp_path / "mine")
    real = backend.answer

    def shortened(request):
        if request.path.endswith("artifacts/version/files"):
            version_of(backend).assets[0].claimed_bytes = 3
        return real(request)

    backend.answer = shortened
    try:
        with pytest.raises(CometError, match=r"team/sea:1\.0\.0 was sent, and Comet lists other files than"):
            sources.publish(folder, "team/sea")
    finally:
        del backend.answer


def test_a_refused_key_and_a_dead_server_are_one_error_each(backend, tmp_path, one_worker):
    """
    Neither leaves an artifact, and the message holds no key.
    """
    folder = write_dataset(tmp_path / "mine")
    backend.expire_key()
    with pytest.raises(CometError, match="cannot be published as team/sea: Comet: it refuses the API key") as caught:
        sources.publish(folder, "team/sea")
    assert backend.api_key not in str(caught.value)
    backend.clear()
    with pytest.raises(
        CometError, match="cannot be published as nobody/sea: Comet: this account has no workspace nobody; it has team; write WORKSPACE/sea"
    ):
        sources.publish(folder, "nobody/sea")
    backend.stop()
    with pytest.raises(CometError, match="cannot be published as team/sea: Comet: it gives no answer; publish it again") as caught:
        sources.publish(folder, "team/sea")
    assert backend.artifacts == {}


@pytest.mark.parametrize("dataset", ["team/sea:1.0.0", "laid/out-by-hand:1.0.0"])
def test_an_experiment_records_what_it_consumed(backend, tmp_path, dataset):
    """
    A run over an artifact's version has it as its lineage in Comet; a dataset that Comet does not know leaves none, and stops nothing.
    """
    backend.add_artifact("team/sea:1.0.0", contents(write_dataset(tmp_path / "mine")))
    name, _, version = dataset.partition(":")
    identity = DatasetIdentity(name=name, version=version or None, digest="d" * 64)
    resolved = resolved_run(tmp_path / "runs/x").model_copy(update={"dataset": identity})
    run = RunFolder.of(resolved)
    with run.open(resolved):
        for edit in run.pending():
            run.add_picture(edit, made_for(edit), {})
        run.finish()
    sender.push(run)
    experiment = backend.experiments[experiment_key(run)]
    assert experiment.inputs == (["team/sea:1.0.0"] if dataset == "team/sea:1.0.0" else [])
    assert experiment.others["dataset"] == dataset


def test_the_metadata_says_what_a_version_holds(backend, tmp_path, one_worker):
    """
    Counts, size and digest of the dataset stand in the version's metadata, where Comet shows them.
    """
    folder = write_dataset(tmp_path / "mine", ("images/a.png", "images/b.png"))
    sources.publish(folder, "team/sea")
    size = sum(map(len, contents(folder).values()))
    expected = {"samples": 2, "files": 5, "bytes": size, "sdxl_lab_digest": sources.fetch(folder).digest}
    assert json.loads(version_of(backend).metadata or "{}") == expected

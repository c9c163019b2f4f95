"""What a stranger's picture says was on the models is looked for on this machine alone."""

from __future__ import annotations

from sdxl_lab.runs.adapter_places import candidates, located
from sdxl_lab.spec.identities import AdapterIdentity
from tests.support.embeddings import write_embedding
from tests.support.loopback_hub import Hub, asked, serving

WRITTEN = "someone/words/learned.safetensors"


def test_nothing_is_asked_of_the_hub_for_a_picture(tmp_path, monkeypatch):
    """
    A file of the hub that a picture names is found in the hub's cache, and where it is not there the hub hears nothing of it.
    """
    monkeypatch.chdir(tmp_path)
    (repository := tmp_path / "hub" / "someone" / "words").mkdir(parents=True)
    write_embedding(repository / "learned.safetensors")
    named = AdapterIdentity(kind="embeddings", name="learned", digest="0" * 64, file=WRITTEN)
    log = tmp_path / "asked.txt"
    with serving(Hub(tmp_path / "hub", log)) as hub, asked(hub.url, tmp_path / "cache"):
        assert not any("cache" in file.parts for file in candidates(named, []))
        assert log.read_text() == ""
        fetched = located(WRITTEN, "embeddings", None)
        before = log.read_text()
        assert fetched in list(candidates(named, []))
        assert log.read_text() == before != ""

"""What the hub has and does not give is said by name, with what to do, before anything is downloaded."""

from __future__ import annotations

import pytest

from sdxl_lab.checkpoints.files import CONFIGURATION
from sdxl_lab.checkpoints.hub import Repository
from sdxl_lab.checkpoints.locating import identify
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.families import FAMILIES
from tests.support.loopback_hub import NOBODY, Hub, asked, serving

NAME = "owner/behind-terms"


@pytest.fixture
def hub(tmp_path):
    """
    A hub with one repository, which this process asks, with an empty cache and no account.
    """
    (tmp_path / "hub" / NAME).mkdir(parents=True)
    (tmp_path / "hub" / NAME / "model_index.json").write_text("{}")
    with serving(Hub(tmp_path / "hub")) as up, asked(up.url, tmp_path / "cache"):
        yield up


@pytest.mark.parametrize(("repository", "name"), FAMILIES["sd"].moved.items())
def test_a_repository_that_left_its_place_is_named_as_it_is_called_here(hub, tmp_path, repository, name):
    """
    Whether the hub has it no more or gives no answer, the error says under which name the same checkpoint is, which is one that there is.
    """
    for url in (hub.url, NOBODY):
        with asked(url, tmp_path / "empty"), pytest.raises(CheckpointError, match=rf"{repository} .*give {name}, the same checkpoint"):
            identify(repository)
    assert name in FAMILIES["sd"].names


@pytest.mark.parametrize("token", [None, "hf_of_nobody"])
def test_a_gated_repository_is_named_with_its_license(hub, monkeypatch, token):
    """
    Whoever has not accepted its terms is told where to, and under which license, when it is identified; logged in or not.
    """
    hub.gated[NAME] = "openrail++"
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(CheckpointError, match=rf"{NAME} is gated.*\(license: openrail\+\+\). Accept them at {hub.url}/{NAME}") as caught:
        identify(NAME)
    assert ("hf auth login" in str(caught.value)) == (token is None)
    assert hub.fetched == []


def test_a_repository_that_was_closed_since_is_named_as_such(hub):
    """
    One that becomes gated between being identified and being downloaded is not taken for a lost connection.
    """
    repository = Repository(NAME)
    assert repository.commit == hub.commit(NAME)
    hub.gated[NAME] = "other"
    with pytest.raises(CheckpointError, match="is gated") as caught:
        repository.fetch_files(*CONFIGURATION)
    assert "gave no answer" not in str(caught.value)


def test_a_repository_that_is_open_is_not_refused(hub):
    """
    The same hub gives the files of a repository without terms.
    """
    assert (Repository(NAME).fetch_files(*CONFIGURATION) / "model_index.json").read_text() == "{}"

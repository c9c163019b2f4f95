"""Whose Comet it is: where a key is found, and what is done without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdxl_lab import comet
from sdxl_lab.comet import CometError, account

KEY = "K" * 25


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder without any configuration."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (".comet.config", f"[comet]\napi_key = {KEY}\nworkspace=lab\n"),
        ("../home/.comet.config", f'[comet]\napi_key="{KEY}"\nworkspace=lab\n\n[comet_logging]\nfile = x\n'),
        (".env", f"# mine\nexport COMET_API_KEY={KEY}\nCOMET_WORKSPACE='lab'\nOTHER=%s\n"),
        ("named.config", f"[comet]\napi_key={KEY}\nworkspace=lab\n"),
        ("folder/.comet.config", f"[comet]\napi_key={KEY}\nworkspace=lab\n"),
    ],
)
def test_a_key_is_found_where_the_sdk_finds_it(place, text, nowhere, monkeypatch):
    """
    Key and workspace come from any of Comet's own files, as the SDK itself reads them.
    """
    file = nowhere / "here" / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    if place.startswith(("named", "folder")):
        monkeypatch.setenv("COMET_CONFIG", place if place.startswith("named") else "folder")
    assert account.account() == {"COMET_API_KEY": KEY, "COMET_WORKSPACE": "lab"}


def test_the_environment_wins(nowhere, monkeypatch):
    """
    A key in the environment is taken before one in a file, and brings its own server along.
    """
    (nowhere / "home" / ".comet.config").write_text("[comet]\napi_key=from-file\nproject_name=mine\n")
    monkeypatch.setenv("COMET_API_KEY", KEY)
    monkeypatch.setenv("COMET_URL_OVERRIDE", "https://comet.example/clientlib/")
    assert account.account()["COMET_API_KEY"] == KEY
    assert account.account()["COMET_PROJECT_NAME"] == "mine"
    assert account.server() == "https://comet.example/clientlib"


@pytest.mark.parametrize("text", ["", "nonsense", f"{KEY}\n", f"[comet\napi_key={KEY}\n"])
def test_a_file_that_cannot_be_read_holds_no_key(text, nowhere):
    """
    A torn configuration counts as none, and nothing of it is repeated.
    """
    (nowhere / "home" / ".comet.config").write_text(text)
    with pytest.raises(CometError, match="COMET_API_KEY") as caught:
        account.account()
    assert KEY not in str(caught.value)


def test_auto_is_online_with_a_key_and_later_without(monkeypatch):
    """
    Only `auto` depends on the key; `online` without one is refused with what to do, and the rest passes.
    """
    assert [comet.way(tracking) for tracking in ("auto", "offline", "off")] == ["later", "offline", "off"]
    with pytest.raises(CometError, match=r"tracking: got online.*set COMET_API_KEY.*or take offline"):
        comet.check("online")
    for tracking in ("auto", "offline", "off"):
        comet.check(tracking)
    monkeypatch.setenv("COMET_API_KEY", KEY)
    assert [comet.way(tracking) for tracking in ("auto", "online", "offline", "off")] == ["online", "online", "offline", "off"]
    comet.check("online")

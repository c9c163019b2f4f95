"""Whose Comet: the API key and where it leads, from the environment or Comet's own configuration files; from nowhere else."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from pathlib import Path

from sdxl_lab.comet.errors import CometError

KEY = "COMET_API_KEY"
NAMES = (KEY, "COMET_URL_OVERRIDE", "COMET_WORKSPACE", "COMET_PROJECT_NAME")
CLOUD = "https://www.comet.com/clientlib/"
NO_SECTION = ".env"
WAYS_TO_GIVE_A_KEY = f"set {KEY} in the environment, or run `comet login` once, which writes ~/.comet.config"


def has_key() -> bool:
    """Whether an API key is there. Whether Comet accepts it shows only when it is used."""
    return KEY in _settings()


def account() -> dict[str, str]:
    """Find the account that this user works with.

    Returns:
        Environment variables for workers: the API key and, where they are set, server, workspace and project. They are
        passed on and never written anywhere.

    Raises:
        CometError: There is no API key.
    """
    settings = _settings()
    if KEY not in settings:
        raise CometError(f"got no API key for Comet; {WAYS_TO_GIVE_A_KEY}")
    return settings


def require_key() -> None:
    """Make sure that there is an API key.

    Raises:
        CometError: There is none.
    """
    account()


def server() -> str:
    """Name the server that runs are sent to, without sending anything."""
    return _settings().get("COMET_URL_OVERRIDE", CLOUD).rstrip("/")


def way(tracking: str) -> str:
    """Decide how a run is tracked here.

    Args:
        tracking: `auto`, `online`, `offline` or `off`.

    Returns:
        `online`, `offline`, `off` or `later`: `auto` is online with an API key, else `later`, by `sdxl-lab push`.
    """
    if tracking == "auto":
        return "online" if has_key() else "later"
    return tracking


def check(tracking: str) -> None:
    """Refuse a way of tracking that cannot be, before a run begins.

    Args:
        tracking: `auto`, `online`, `offline` or `off`.

    Raises:
        CometError: It is `online`, and there is no API key.
    """
    if tracking == "online" and not has_key():
        raise CometError(
            f"tracking: got online, and there is no API key for Comet; {WAYS_TO_GIVE_A_KEY}; or take offline, and send the run later "
            "with `sdxl-lab push`"
        )


def _settings() -> dict[str, str]:
    """The first value of each name, in the SDK's own order: environment, `.env`, COMET_CONFIG, `.comet.config` here, then at home."""
    found = {name: os.environ[name].strip() for name in NAMES if os.environ.get(name, "").strip()}
    for path in _files():
        for name, value in _read(path):
            if name in NAMES and value:
                found.setdefault(name, value)
    return found


def _files() -> Iterator[Path]:
    yield Path(".env")
    chosen = os.environ.get("COMET_INI") or os.environ.get("COMET_CONFIG")
    if chosen:
        path = Path(chosen).expanduser()
        yield path / ".comet.config" if path.is_dir() else path
    yield Path(".comet.config")
    yield Path.home() / ".comet.config"


def _read(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    # A .env file has no sections; under this one its lines are read as they stand.
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), allow_no_value=True)
    try:
        parser.read_string(f"[{NO_SECTION}]\n{text}")
    except configparser.Error:
        return  # the SDK reads nothing from such a file either; its lines are not repeated, since one may be a key
    for section in parser.sections():
        for option, value in parser[section].items():
            name = f"{section}_{option}" if section != NO_SECTION else option.removeprefix("export ")
            yield name.upper(), (value or "").strip().strip("'\"")

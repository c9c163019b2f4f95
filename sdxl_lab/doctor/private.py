"""Nothing personal: what libraries say may hold paths, addresses, keys and names, and the page is made to be sent to others."""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from sdxl_lab.families import names
from sdxl_lab.settings.credentials import blotted

ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE)
MAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
QUOTED = re.compile(r"""(['"`])(~?/|[A-Za-z]:[\\/])[^'"`]*\1""")
PATH = re.compile(r"""(?<![\w.~/\\-])(?:~(?=/)|[A-Za-z]:(?=[\\/]))?(?:[\\/][^\s'"`,;:()<>\\/]+)+[\\/]?""")
FILE = re.compile(r"[\w.+ -]+\.\w{1,12}")
LEAST = 3
"""A name of fewer letters tells nobody, and is in every word."""


class Discretion:
    """Takes out of texts what is personal.

    Args:
        checkpoint: What was given; its place is called CHECKPOINT.
    """

    def __init__(self, checkpoint: str | None) -> None:
        self._checkpoint: list[str] = []
        if checkpoint and checkpoint not in names():
            path = Path(checkpoint).expanduser()
            places = {checkpoint, checkpoint.partition("@")[0], str(path), str(path.absolute()), str(path.resolve())}
            self._checkpoint = sorted(places - {".", "", "/"}, key=len, reverse=True)
        self._places, self._names = _places(), _names()

    def without(self, text: str) -> str:
        """The text with words of their kind in the place of keys, addresses, paths and names; of a path its file's own name stays."""
        text = MAIL.sub("(address)", ADDRESS.sub("(address)", blotted(text)))
        for place in self._checkpoint:
            end = r"(?![\w-])" if "/" in place else r"(?=[/'])"  # a plain word may be any
            text = re.sub(rf"(?<![\w/]){re.escape(place)}{end}", "CHECKPOINT", text)
        for place in self._places:
            text = text.replace(place, "/-")
        text = QUOTED.sub(lambda match: f"{match[1]}{_file(match[0][1:-1])}{match[1]}", text)
        text = PATH.sub(lambda match: _file(match[0]), text)
        for name, word in self._names.items():
            text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", word, text, flags=re.IGNORECASE)
        return text


def _file(path: str) -> str:
    """The name of a file at the end of its path; of a folder nothing."""
    name = re.split(r"[\\/]", path)[-1]
    return f".../{name}" if FILE.fullmatch(name) else "(path)"


def _places() -> list[str]:
    """Folders of this user whose names may hold spaces, the longest first."""
    places = [Path.home(), Path.cwd(), Path(sys.prefix), Path(sys.base_prefix), Path(os.environ.get("HF_HOME") or Path.home())]
    with suppress(OSError):
        places.append(Path(tempfile.gettempdir()))
    texts = {text for place in places for text in (str(place), str(place.resolve())) if len(text) > 1}
    return sorted(texts, key=len, reverse=True)


def _names() -> dict[str, str]:
    """Names of user and machine, each with what stands in its place."""
    users = {Path.home().name, os.environ.get("USER", ""), os.environ.get("LOGNAME", ""), os.environ.get("SUDO_USER", "")}
    with suppress(KeyError, OSError):  # a user that the system does not know, as in some containers
        users.add(getpass.getuser())
    hosts = {platform.node(), platform.node().partition(".")[0]} - {"localhost"}
    found = dict.fromkeys(hosts, "(machine)") | dict.fromkeys(users, "(user)")
    return {name: word for name, word in found.items() if len(name) >= LEAST}

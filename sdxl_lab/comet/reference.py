"""What people write for an artifact of Comet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

_REFERENCE = re.compile(r"(?P<workspace>[\w.-]+)/(?P<name>[\w.-]+?)(:(?P<version>[\w.+-]+))?")
VERSION = re.compile(r"\d{1,9}\.\d{1,9}\.\d{1,9}([-+][0-9A-Za-z.+-]{1,64})?")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What people write for an artifact: `workspace/name:version`, `workspace/name:alias` or `workspace/name`.

    Attributes:
        workspace: Whose it is.
        name: The artifact's.
        version: A version such as "1.0.0", an alias such as "latest", or None for the newest.
    """

    workspace: str
    name: str
    version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read it; None if it is no such text."""
        match = _REFERENCE.fullmatch(text)
        if match is None or any(part is not None and part.strip(".") == "" for part in match.group("workspace", "name", "version")):
            return None
        return cls(**match.groupdict())

    @property
    def is_exact(self) -> bool:
        """Whether it names a version, which never changes, and no alias, which may move."""
        return self.version is not None and VERSION.fullmatch(self.version) is not None

    def __str__(self) -> str:
        return f"{self.workspace}/{self.name}" + (f":{self.version}" if self.version else "")

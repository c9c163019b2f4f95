"""Under which license a checkpoint was published, as far as that is known here; nothing is asked of the hub for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

CARD = "README.md"
"""The model card of a repository of the hub, which begins with what the hub knows of it."""

LONGEST = 100
_FRONT = re.compile(r"\ufeff?---\s*\n(.*?)\n---\s*(\n|$)", re.DOTALL)


def license_in(folder: Path) -> str | None:
    """Read what a model card calls its license.

    Args:
        folder: Where the card may lie, as `README.md`.

    Returns:
        Such as `openrail++`; None if there is no card, or it does not say.
    """
    try:
        text = (folder / CARD).read_text("utf-8")
        said = yaml.safe_load(match[1]) if (match := _FRONT.match(text)) else None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    if not isinstance(said, dict):
        return None
    name = said.get("license_name") if said.get("license") in (None, "other") else said["license"]
    return _shown(name if isinstance(name, list) else [name or said.get("license")])


def license_told(metadata: Mapping[str, str]) -> str | None:
    """Read what a single file calls its license (modelspec of Stability AI, github.com/Stability-AI/ModelSpec).

    Args:
        metadata: What whoever wrote the file said of it.

    Returns:
        Such as `CreativeML Open RAIL++-M`; None if it does not say.
    """
    return _shown([metadata.get("modelspec.license")])


def _shown(names: Iterable[Any]) -> str | None:
    words = [" ".join(word.split()) for word in names if isinstance(word, str)]
    shown = ", ".join(word for word in words if word.isprintable() and word)
    return shown[:LONGEST] or None

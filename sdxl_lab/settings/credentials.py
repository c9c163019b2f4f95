"""Find what looks like an API key among parameters, and take it out before anything can repeat it.

Parameters are saved in notebooks, records and experiments, so a key given as one would be published with them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from sdxl_lab.files.addresses import holds_key

VARIABLES = ("COMET_API_KEY", "HF_TOKEN", "CIVITAI_API_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "OPENAI_API_KEY")
"""Environment variables whose values are keys, wherever they turn up."""

_NAMES = re.compile(r"(^|_)(api_?key|access_?key|auth_?key|secret|token|password|passwd|credentials?)($|_)", re.IGNORECASE)
_PREFIXES = re.compile(r"(?<![A-Za-z0-9])(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|AKIA[A-Z0-9]{16})")
_COMET = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{25}(?![A-Za-z0-9])")
_WORDS = re.compile(r"(^|\.)(embeddings\.[^.]+\.token$|(negative_)?prompt_replace\.)")
"""Settings that are called as keys are, and are words of prompts."""
_SHORTEST = 8


def without_credentials(values: Mapping[Any, Any], path: str = "") -> tuple[dict[Any, Any], list[str]]:
    """Copy nested parameters without what looks like an API key.

    Args:
        values: Nested dictionaries and lists.
        path: Dotted path of `values` itself, empty at the top.

    Returns:
        The copy without the offending entries, and the dotted path of each; a key that itself looks secret is not named.
    """
    kept: dict[Any, Any] = {}
    found: list[str] = []
    for key, value in values.items():
        where = f"{path}.{key}" if path else str(key)
        if looks_secret(str(key)):
            found.append(f"a key of {path}" if path else "the name of a parameter")
        elif (value is not None and _is_called_secret(str(key), where)) or any(looks_secret(text) for text in _texts(value)):
            found.append(where)
        elif isinstance(value, Mapping):
            kept[key], below = without_credentials(value, where)
            found += below
        else:
            kept[key] = value
    return kept, found


def looks_secret(text: str) -> bool:
    """Whether a text holds what looks like an API key, or one of the keys in the environment.

    Args:
        text: Whatever somebody wrote.
    """
    known = (os.environ.get(name, "").strip() for name in VARIABLES)
    if any(len(key) >= _SHORTEST and key in text for key in known):
        return True
    if holds_key(text):
        return True
    return bool(_PREFIXES.search(text)) or any(_is_random(word) for word in _COMET.findall(text))


def blotted(text: str) -> str:
    """A text with `(key)` in place of whatever looks like an API key, or is the value of an environment variable named as one.

    Args:
        text: Whatever somebody, or a library, wrote.
    """
    for name, value in os.environ.items():
        if (name in VARIABLES or _NAMES.search(_snake(name))) and len(value.strip()) >= _SHORTEST:
            text = text.replace(value.strip(), "(key)")
    return _COMET.sub(lambda match: "(key)" if _is_random(match[0]) else match[0], _PREFIXES.sub("(key)", text))


def saved_by_papermill() -> str:
    """Say where papermill has saved this notebook's parameters, which it does before any cell runs.

    Returns:
        What to do about it, to be added to an error; empty outside a kernel that papermill started.
    """
    if "ipykernel" not in sys.modules:
        return ""
    import psutil

    try:
        words = psutil.Process().parent().cmdline()  # pyright: ignore[reportOptionalMemberAccess]
    except (psutil.Error, AttributeError):
        return ""
    notebooks = [word for word in words if word.endswith(".ipynb")]
    if not any("papermill" in word for word in words) or len(notebooks) < 2:
        return ""
    return f"; papermill has saved it in {notebooks[1]}: delete that file, and call the key back if others could read it"


def _texts(value: Any) -> Iterator[str]:
    """Every text below a value that is not a dictionary; dictionaries in lists included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
            if isinstance(item, Mapping):
                yield from map(str, item)
                yield from _texts(list(item.values()))


def _is_random(word: str) -> bool:
    """Whether 25 letters and digits (the shape of a Comet key) are mixed as a generator mixes them, not as a person does."""
    kinds = ["0" if character.isdigit() else "A" if character.isupper() else "a" for character in word]
    changes = sum(before != after for before, after in pairwise(kinds))
    return kinds.count("0") >= 2 and changes >= 7


def _is_called_secret(key: str, where: str) -> bool:
    return bool(_NAMES.search(_snake(key))) and not _WORDS.search(where)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name)

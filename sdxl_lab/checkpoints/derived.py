"""The configuration of a single file, whole: the one that it shares, with CLIP's words, and with what the file says of itself in its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from sdxl_lab.checkpoints import clip_words
from sdxl_lab.checkpoints.configurations import INDEX, read_json
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.files import disk
from sdxl_lab.files.digests import cache_folder, digest_of, digest_of_file

SCHEDULER = Path("scheduler", "scheduler_config.json")
WORDS = ("tokenizer.json", "vocab.json")
"""Files of which a tokenizer has one, if it has words."""


def whole(configuration: Path, scheduling: Mapping[str, str | bool]) -> Path:
    """Give a configuration what it lacks, and tell its scheduler something else, in a copy without weights in the user's cache folder.

    Args:
        configuration: A folder in diffusers' layout, with or without weights. Its tokenizers without words get CLIP's.
        scheduling: Keys of its scheduler's configuration, and what they are to be.

    Returns:
        The copy, the same one each time; the configuration itself where nothing is missing and there is nothing to tell.

    Raises:
        CheckpointError: The cache folder takes no files.
    """
    own = read_json(configuration / SCHEDULER) if scheduling else {}
    told = {} if all(key in own and own[key] == value for key, value in scheduling.items()) else dict(scheduling)
    wordless = [file.parent.relative_to(configuration) for file in configuration.glob("tokenizer*/tokenizer_config.json") if not _has_words(file)]
    if not told and not wordless:
        return configuration
    files = sorted({*configuration.glob("*.json"), *configuration.glob("*/*.json"), *configuration.glob("*/*.txt")})
    known_by = [digest_of(files, root=configuration), told, *([digest_of_file(clip_words.MERGES)] if wordless else [])]
    copy = cache_folder() / "configurations" / hashlib.sha256(json.dumps(known_by, sort_keys=True).encode()).hexdigest()
    if (copy / INDEX).is_file():
        return copy
    content = {file.relative_to(configuration): file.read_bytes() for file in files}
    words = clip_words.files() if wordless else {}
    content |= {folder / name: words[name] for folder in wordless for name in words}
    if told:
        content[SCHEDULER] = json.dumps({**own, **told}, indent=2).encode()
    try:
        for name in sorted(content, key=lambda name: name.name == INDEX):  # the index last: with it the copy is whole
            disk.write_whole(copy / name, content[name])
    except disk.DiskError as error:
        raise CheckpointError(f"the configuration of a single file is kept in the cache folder: {error} (SDXL_LAB_CACHE).") from error
    return copy


def _has_words(tokenizer: Path) -> bool:
    """Whether there are some beside a tokenizer's configuration."""
    return any((tokenizer.parent / name).is_file() for name in WORDS)

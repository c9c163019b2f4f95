"""The configuration of a single file that says something of itself: that of its repository or family, with what the file says in its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from sdxl_lab.checkpoints.configurations import INDEX, read_json
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.files import disk
from sdxl_lab.files.digests import cache_folder, digest_of

SCHEDULER = Path("scheduler", "scheduler_config.json")


def with_scheduling(configuration: Path, scheduling: Mapping[str, str | bool]) -> Path:
    """Tell a configuration's scheduler something else, in a copy without weights in the user's cache folder.

    Args:
        configuration: A folder in diffusers' layout, with or without weights.
        scheduling: Keys of its scheduler's configuration, and what they are to be.

    Returns:
        The copy, the same one each time; the configuration itself where there is nothing to tell.

    Raises:
        CheckpointError: The cache folder takes no files.
    """
    own = read_json(configuration / SCHEDULER) if scheduling else {}
    if all(key in own and own[key] == value for key, value in scheduling.items()):
        return configuration
    files = sorted({*configuration.glob("*.json"), *configuration.glob("*/*.json"), *configuration.glob("*/*.txt")})
    known_by = [digest_of(files, root=configuration), dict(scheduling)]
    copy = cache_folder() / "configurations" / hashlib.sha256(json.dumps(known_by, sort_keys=True).encode()).hexdigest()
    if (copy / INDEX).is_file():
        return copy
    content = {file.relative_to(configuration): file.read_bytes() for file in files}
    content[SCHEDULER] = json.dumps({**read_json(configuration / SCHEDULER), **scheduling}, indent=2).encode()
    try:
        for name in sorted(content, key=lambda name: name.name == INDEX):  # the index last: with it the copy is whole
            disk.write_whole(copy / name, content[name])
    except disk.DiskError as error:
        raise CheckpointError(
            f"the configuration of a checkpoint that says what it predicts is kept in the cache folder: {error} (SDXL_LAB_CACHE)."
        ) from error
    return copy

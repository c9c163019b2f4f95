"""Pictures to features: the networks that distances between sets, and measures of single pictures, look through.

A number of another extractor is another number. So each says what it is by content: its name, the version of how the lab uses it, the digest of its
weights and what is done to a picture first. Nothing is downloaded unless that is asked for, and nothing is loaded before the first picture.
"""

from __future__ import annotations

from sdxl_lab.extractors import clip, dinov2, inception, judge
from sdxl_lab.extractors._extractor import Asked, Extractor, ExtractorError, Kind
from sdxl_lab.extractors.clip import Clip, open_clip
from sdxl_lab.extractors.dinov2 import DinoV2

__all__ = ["EXTRACTORS", "Asked", "Clip", "DinoV2", "Extractor", "ExtractorError", "Kind", "open_clip", "open_extractor"]

EXTRACTORS: dict[str, Kind] = {file.NAME: file.KIND for file in (judge, clip, dinov2, inception)}
"""Every kind of extractor by its name."""


def open_extractor(name: str = judge.NAME, model: str | None = None, *, fetch: bool = False, sha256: str | None = None) -> Extractor:
    """Find an extractor: its files are looked at, its network is loaded with the first picture.

    Args:
        name: One of `EXTRACTORS`.
        model: A hub id, perhaps with `@revision`, a folder or a file, as the kind takes it; the kind's own where left out.
        fetch: Whether files of the hub that are not in the local cache may be downloaded.
        sha256: Of a file that is a program, such as TorchScript, and that the lab doesn't know: who gives it insists on that very file.

    Returns:
        The extractor.

    Raises:
        ExtractorError: There is none of that name, its files are not there, or they are not what it takes.
    """
    if name not in EXTRACTORS:
        raise ExtractorError(f"got {name!r} as extractor; allowed is one of {', '.join(EXTRACTORS)}")
    kind = EXTRACTORS[name]
    chosen = kind.model if model is None else model
    if chosen is None:
        raise ExtractorError(f"{name} comes with no weights: {kind.advice}")
    return kind.open(Asked(name=name, model=chosen, fetch=fetch, sha256=sha256))

"""Statistics of a set in a `.npz` file: others' `mu` and `sigma`, and ours, which also say what they are of."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdxl_lab.distances._distance import DistanceError, Seen
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.files.disk import write_whole

SUFFIX = ".npz"
FORMAT = 1
ALLOWED = "allowed are files with arrays `mu` (d) and `sigma` (d, d), as pytorch-fid writes them, and those written by --save"


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """What a file says of a set.

    Attributes:
        seen: Its features or moments.
        extractor: Identity of what saw it; None where the file doesn't say.
        digest: Of the pictures, if the file says it; else of the file.
    """

    seen: Seen
    extractor: Mapping[str, Any] | None
    digest: str


def read(path: Path) -> Statistics:
    """Read statistics; nothing in the file is run.

    Args:
        path: A `.npz` file.

    Raises:
        DistanceError: It isn't there, or holds something else.
    """
    if not path.is_file():
        raise DistanceError(f"there is no file {path}; give one that was written with --save, or others' with mu and sigma")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("mu", "sigma", "features", "classes", "samples", "lab") if name in file.files}
            names = file.files
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DistanceError(f"{path} can't be read as statistics ({_unread(path, error)}); {ALLOWED}") from error
    if "lab" in arrays:
        return _own(path, arrays)
    if not {"mu", "sigma"} <= arrays.keys():
        raise DistanceError(f"{path} holds {', '.join(names) or 'nothing'}; {ALLOWED}")
    mean, covariance = (np.asarray(arrays[name], np.float64) for name in ("mu", "sigma"))
    _check(path, mean, covariance)
    return Statistics(seen=Seen(name=path.name, n=None, moments=(mean, covariance)), extractor=None, digest=digest_of_file(path))


def write(path: Path, seen: Seen, extractor: Mapping[str, Any], digest: str) -> Path:
    """Write a set's features, and beside them `mu` and `sigma` for other tools; whole or not at all.

    Args:
        path: The file; replaced if it is there.
        seen: The set.
        extractor: Identity of what saw it.
        digest: Of its pictures.

    Returns:
        `path`.

    Raises:
        DiskError: It can't be written.
    """
    assert seen.features is not None
    said = {"format": FORMAT, "name": seen.name, "n": seen.n, "extractor": dict(extractor), "pictures": digest}
    arrays: dict[str, np.ndarray] = {"mu": seen.mean, "sigma": seen.covariance, "features": seen.features.astype(np.float32)}
    if seen.classes is not None:
        arrays["classes"] = seen.classes.astype(np.float32)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, samples=np.array(list(seen.samples)), lab=np.array(json.dumps(said)), **arrays)  # type: ignore[arg-type]
    write_whole(path, content.getvalue())
    return path


def _own(path: Path, arrays: Mapping[str, np.ndarray]) -> Statistics:
    try:
        said = json.loads(str(arrays["lab"]))
        if said["format"] != FORMAT:
            raise DistanceError(f"{path} was written by a later sdxl_lab (format {said['format']}); update, or write it anew")
        features = np.asarray(arrays["features"], np.float64)
        samples = tuple(map(str, arrays["samples"].tolist()))
        classes = np.asarray(arrays["classes"], np.float64) if "classes" in arrays else None
        if features.ndim != 2 or len(features) != len(samples) or said["n"] != len(samples) or not np.isfinite(features).all():
            raise ValueError("its features are not a finite row for each picture")
        seen = Seen(name=str(said["name"]), n=len(samples), features=features, samples=samples, classes=classes)
        return Statistics(seen=seen, extractor=dict(said["extractor"]), digest=str(said["pictures"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DistanceError(f"{path} is damaged ({error}); write it anew with --save") from error


def _unread(path: Path, error: Exception) -> str:
    """Why a file can't be read; numpy's own words advise to run what is in it."""
    if not zipfile.is_zipfile(path):
        return "it is no .npz file"
    return "it holds objects of Python, which are never loaded" if "allow_pickle" in str(error) else str(error)


def _check(path: Path, mean: np.ndarray, covariance: np.ndarray) -> None:
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise DistanceError(f"{path} has mu of shape {mean.shape} and sigma of {covariance.shape}; {ALLOWED}")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise DistanceError(f"{path} holds something else than finite numbers; compute it again")
    if not np.allclose(covariance, covariance.T, rtol=1e-4, atol=1e-6 * max(1.0, float(np.abs(covariance).max()))):
        raise DistanceError(f"{path} has a sigma that is not symmetric, so it is no covariance; compute it again")


def digest_of_identity(identity: Mapping[str, Any]) -> str:
    """SHA-256 of what something is by content: plain values, as sorted JSON."""
    return hashlib.sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()

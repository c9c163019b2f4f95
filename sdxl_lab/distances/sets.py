"""What a set of pictures is, as people write it: runs, sessions, a dataset, or a folder of pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdxl_lab.datasets import sources
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.distances._distance import DistanceError
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.files.places import misread
from sdxl_lab.images.pictures import PictureError, decode
from sdxl_lab.records.finding import RunLike, find
from sdxl_lab.records.kept import RunOfOne
from sdxl_lab.viewing.compare.rows import Row, found, rows_of

ENDINGS = frozenset([".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"])


@dataclass(frozen=True, kw_only=True, eq=False)
class PictureSet:
    """Pictures that are looked at as one.

    Attributes:
        name: What it is called; no path.
        files: Of its pictures.
        samples: What each is of: pictures of one sample are alike.
        place: The folder of the run or session that it is, where results are kept beside the record; None of anything else.
        knows_samples: Whether `samples` are those of a dataset or a run; else they are names of files, and two sets may have some by chance.
    """

    name: str
    files: tuple[Path, ...]
    samples: tuple[str, ...]
    place: Path | None = None
    knows_samples: bool = True

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted digests of its files: of the same pictures the same, whatever they are called."""
        return hashlib.sha256(json.dumps(sorted(map(digest_of_file, self.files))).encode()).hexdigest()

    def images(self) -> Images:
        """Its pictures, read one by one."""
        return Images(self.files)


class Images(Sized):
    """Pictures that are read when they are looked at, and of which it is known how many there are.

    Args:
        files: Theirs.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Image.Image]:
        for file in self._files:
            try:
                yield decode(file.read_bytes())
            except (OSError, PictureError) as error:
                raise DistanceError(f"{file} can't be read as a picture: {error}; repair it or take it out of the set") from error


def sets_of(written: RunLike | Path | str, *, task: str | None = None, pool_seeds: bool = True, is_one: bool = False) -> list[PictureSet]:
    """Find the pictures that a text or a path stands for.

    Args:
        written: A run, a session or a folder above some, such as a sweep's; a dataset, whose input pictures are taken; or a folder of pictures,
            with those in folders below it.
        task: Of runs, pictures of this task alone.
        pool_seeds: Whether runs that differ in nothing but seeds are one set.
        is_one: Whether all is one set.

    Returns:
        One set, or of several runs one for each row that a comparison would have.

    Raises:
        DistanceError: There is nothing of the kind, or no picture in it. Also what finding runs and datasets raises.
    """
    if isinstance(written, RunLike):
        return _of_runs([written], task, pool_seeds=pool_seeds, is_one=is_one)
    path = Path(written).expanduser()
    if path.is_dir():
        if find(path):
            return _of_runs([path], task, pool_seeds=pool_seeds, is_one=is_one)
        return [_of_dataset(sources.fetch(path)) if (path / "metadata.json").is_file() else _of_folder(path)]
    if sources.source_of(str(written)) and not path.exists():
        return [_of_dataset(sources.fetch(str(written)))]
    reason = misread(str(written), "file") or "there is nothing of that name"
    if path.is_file():
        reason = "it is a file"
        if path.suffix in (".yaml", ".yml"):
            reason += "; of a sweep give the folder of its runs"
    raise DistanceError(
        f"got {str(written)!r} as a set: {reason}; allowed is the folder of a run, of a session or of several, a dataset "
        f"({sources.allowed()}), a folder of pictures, or a .npz file of statistics{sources.meant(str(written))}"
    )


def _of_runs(paths: Sequence[RunLike | Path], task: str | None, *, pool_seeds: bool, is_one: bool) -> list[PictureSet]:
    runs = found(paths)
    rows, _, _ = rows_of(runs, task, pool_seeds=pool_seeds)
    tops = {run.top.resolve() for run in runs}
    is_session = len(tops) == 1 and isinstance(runs[0], RunOfOne)
    if is_session or (is_one and len(rows) > 1):
        pictures = {picture.image: picture.sample for row in rows for picture in row.pictures}
        place = runs[0].top if is_session else None
        sets = [PictureSet(name=_called(paths[0]), files=tuple(pictures), samples=tuple(pictures.values()), place=place)]
    else:
        sets = [_of_row(row) for row in rows]
    if empty := [each.name for each in sets if not each.files]:
        raise DistanceError(f"{empty[0]} has no picture yet; make them first, or take another set")
    return sets


def _of_row(row: Row) -> PictureSet:
    tops = {run.top.resolve() for run in row.runs}
    is_whole = len(tops) == 1 and not isinstance(row.runs[0], RunOfOne)
    return PictureSet(
        name=row.name,
        files=tuple(picture.image for picture in row.pictures),
        samples=tuple(picture.sample for picture in row.pictures),
        place=row.runs[0].top if is_whole else None,
    )


def _called(path: RunLike | Path) -> str:
    return (path.path if isinstance(path, RunLike) else path).resolve().name


def _of_dataset(dataset: Dataset) -> PictureSet:
    files = {sample.image_path: sample.name for sample in dataset.samples if sample.image_path}
    if not files:
        raise DistanceError(f"the dataset {dataset.name} has no pictures, only words; take one that has, or a run of its pictures")
    return PictureSet(name=dataset.name, files=tuple(files), samples=tuple(files.values()))


def _of_folder(folder: Path) -> PictureSet:
    inside = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS and file.is_file())
    files = [file for file in inside if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if not files:
        raise DistanceError(f"{folder} holds no picture, run or dataset; allowed are pictures ending in {', '.join(sorted(ENDINGS))}")
    samples = tuple(str(file.relative_to(folder).with_suffix("")) for file in files)
    return PictureSet(name=folder.resolve().name, files=tuple(files), samples=samples, knows_samples=False)

"""What a picture was made from, found on this machine by digest: datasets here and in the repository, and what calls were given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from PIL import Image

from sdxl_lab import comet
from sdxl_lab.adapters import ADAPTERS, Put
from sdxl_lab.datasets import inputs, sources
from sdxl_lab.datasets.dataset import Dataset
from sdxl_lab.errors import LabError
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import Stamp
from sdxl_lab.runs import input_places, resolution
from sdxl_lab.runs.adapted import found_by_content
from sdxl_lab.runs.adapter_places import namesake, shown_folder
from sdxl_lab.runs.around import folders_around
from sdxl_lab.runs.early import home
from sdxl_lab.runs.reproduction import ReproduceError
from sdxl_lab.spec.identities import AdapterIdentity
from sdxl_lab.tasks import TASKS
from sdxl_lab.wording import printable

MOST_DATASETS = 50
"""How many datasets are opened to find one by its content."""


def started_from(stamp: Stamp, picture: Path, given: str | None, *, fetch: bool) -> tuple[Image.Image | None, Image.Image | None]:
    """The image and the mask that the picture was made from; nothing is looked for where words were enough."""
    if not TASKS[stamp.edit.task].needs_image:
        return None, None
    source = dataset_of(stamp, picture, given, fetch=fetch)
    sample = source.sample(stamp.edit.sample)
    image = sample.image(**stamp.edit.settings.image.model_dump())
    if image is None:
        raise ReproduceError(
            f"sample {printable(sample.name)} of dataset {source.name} has no picture, and {stamp.edit.task} needs one: the description was changed"
        )
    return image, sample.soft_mask() if "mask" in TASKS[stamp.edit.task].needs(stamp.edit.settings) else None


def dataset_of(stamp: Stamp, picture: Path, given: str | None = None, *, fetch: bool = False) -> Dataset:
    """Find the dataset that a picture was made from, by digest.

    Args:
        stamp: What the picture says of itself.
        picture: Its file, for messages, and since a session keeps beside its pictures what they were made from.
        given: Where somebody says that it is; None looks for it.
        fetch: Whether it may be downloaded.

    Raises:
        ReproduceError: It is not here.
    """
    wanted = stamp.resolved.dataset
    if wanted.inputs is not None:
        return _verified(_inputs(wanted.inputs, stamp, picture, given), stamp, picture)
    if given is not None:
        return _verified(_opened(given, fetch=fetch), stamp, picture)
    others = []
    for candidate in chain(_datasets_here(wanted.name, wanted.version), _datasets_of_checkout(wanted.name)):
        try:
            found = resolution.fetch(candidate, as_recorded=True)
        except LabError:
            continue
        if found.digest == wanted.digest:
            return found
        if found.name == wanted.name.rpartition("/")[2]:
            others.append(f"; {candidate} is another, of digest {found.digest[:12]}")
    artifact = comet.Reference.parse(f"{wanted.name}:{wanted.version}")
    can_fetch = artifact is not None and artifact.is_exact and not Path(str(artifact)).exists()
    if fetch and can_fetch:
        return _verified(resolution.fetch(str(artifact), as_recorded=True), stamp, picture)
    advice = f"give its folder with --dataset FOLDER{hint(picture, 'dataset')}" + (f", or let --fetch download {artifact}" if can_fetch else "")
    raise ReproduceError(
        f"dataset {wanted.name} of digest {wanted.digest[:12]}, which {picture} was made from, is not here{''.join(others[:3])}; {advice}"
    )


def on_models(stamp: Stamp, picture: Path, given: str | None) -> tuple[Put, ...]:
    """Find what was on the checkpoint's models when a picture was made, by digest.

    Args:
        stamp: What the picture says of itself.
        picture: Its file, for messages.
        given: Where somebody says that its dataset is; None if nobody does.

    Raises:
        ReproduceError: Something of it is not here.
    """
    wanted = stamp.resolved.adapters
    if unknown := [printable(adapter.kind) for adapter in wanted if adapter.kind not in ADAPTERS]:
        raise ReproduceError(
            f"{picture} was made with {unknown[0]} on the checkpoint's models, which this version of sdxl_lab cannot put there; update sdxl_lab"
        )
    folders = _near(stamp, given) if wanted else []
    found, missing = found_by_content(stamp.resolved, wanted, folders)
    if missing:
        raise ReproduceError(f"{picture} was made with {absent(missing, folders)}")
    return tuple(put for _, put in found.values())


def absent(missing: Sequence[AdapterIdentity], folders: Sequence[Path] = ()) -> str:
    """Say which adapters are not here, which have changed, and where to put them.

    Args:
        missing: What was not found.
        folders: Where it was looked for besides the lab's own.
    """
    told = [f"{one.path} ({one.file or 'a file'}, digest {one.digest[:12]}{f', sha256 {one.sha256[:12]}' if one.sha256 else ''})" for one in missing]
    places = dict.fromkeys(shown_folder(one.kind) for one in missing)
    are, files = ("are", "files") if len(missing) > 1 else ("is", "file")
    others = [Path(os.path.relpath(file)).as_posix() for one in missing if (file := namesake(one, folders))]
    changed = f"; {' and '.join(others)} {'hold' if len(others) > 1 else 'holds'} something else" if others else ""
    return printable(f"{' and '.join(told)}, which {are} not here; put the {files} into {' and '.join(places)}, under any name{changed}")


def _near(stamp: Stamp, given: str | None) -> list[Path]:
    """Folders that a dataset's own files may lie in."""
    places = [given] if given is not None else _datasets_here(stamp.resolved.dataset.name, stamp.resolved.dataset.version)
    return [path for place in places if (path := Path(place).expanduser()).is_dir()]


def _inputs(wanted: Mapping[str, str], stamp: Stamp, picture: Path, given: str | None) -> Dataset:
    """What a call or a session was given, by digest alone: kept in the lab's own folders, or in any picture file of some others."""
    folders = [Path(given).expanduser()] if given is not None else list(_input_folders(wanted, picture))
    folder = next((folder for folder in folders if not inputs.lacking(wanted, folder)), folders[0])
    if faults := inputs.lacking(wanted, folder):
        named = [(Path(given).expanduser(), True)] if given is not None else []
        places = [*named, (picture.absolute().parent, False), (Path.cwd(), False)]
        found, missing = input_places.found_by_content(wanted, folders, places, stamp.edit.settings.image)
        if missing:
            lines = {f"its {name} {inputs.file_of(wanted[name], folder)}": fault for name, fault in faults.items() if name in missing}
            raise ReproduceError(_without(lines, picture, [place for place, _ in places], is_kept=inputs.NOT_KEPT not in stamp.notes))
        folder = found
    return inputs.dataset_of(wanted, folder, sample=stamp.edit.sample)


def _without(lacking: Mapping[str, str], picture: Path, places: Sequence[Path], *, is_kept: bool) -> str:
    """Say what a picture was made from that is not here, where it was looked for, and what to do."""
    named = " and ".join(f"{what} {fault}" for what, fault in lacking.items())
    looked = " and ".join(dict.fromkeys(map(_shown, places)))
    return (
        f"{picture} was made from files of its own, and {named}; nor does a picture in {looked} hold the same; give the folder that has the files, "
        f"under any names, with --dataset FOLDER{'' if is_kept else f'; as it says itself, {inputs.NOT_KEPT}'}"
    )


def _input_folders(wanted: Mapping[str, str], picture: Path) -> Iterator[Path]:
    """Where it may be: what calls were given, what lies beside a session's picture, and what other sessions have of it."""
    yield resolution.inputs_folder()
    yield picture.resolve().parent.parent / "inputs"
    name = inputs.file_of(wanted["image"], Path()).name if "image" in wanted else ""
    yield from (file.parent for file in sorted(resolution.runs_folder().glob(f"*/*/inputs/{name}")) if name)


def _shown(place: Path) -> str:
    below = os.path.relpath(place)
    return "the working folder" if below == "." else below if not below.startswith("..") else str(place)


def _opened(given: str, *, fetch: bool) -> Dataset:
    """The dataset that was given, downloaded only if that is allowed."""
    artifact = comet.Reference.parse(given)
    if artifact and not fetch and not Path(given).expanduser().exists():
        here = _datasets_folder() / artifact.workspace / artifact.name / str(artifact.version)
        if not (artifact.is_exact and here.is_dir()):
            raise ReproduceError(f"dataset {given} is not here; let --fetch download it, or give its folder with --dataset FOLDER")
    return resolution.fetch(given, as_recorded=True)


def _verified(found: Dataset, stamp: Stamp, picture: Path) -> Dataset:
    wanted = stamp.resolved.dataset
    if found.digest == wanted.digest:
        return found
    raise ReproduceError(
        f"dataset {found.name} is not the one {picture} was made from: its digest is {found.digest[:12]}, that of {wanted.name} was "
        f"{wanted.digest[:12]}; give the dataset as it was, or make new pictures with this one"
    )


def _datasets_folder() -> Path:
    return home() / "artifacts" / "datasets"


def _datasets_here(name: str, version: str | None) -> list[str]:
    """What can be fetched without a download, most likely first; the names only sort them."""
    folder = _datasets_folder()
    found = [metadata.parent for depth in ("*", "*/*", "*/*/*") for metadata in sorted(folder.glob(f"{depth}/metadata.json"))]
    found += [folder for folder in sorted(resolution.runs_folder().glob("*/*/datasets/*")) if folder.name == name]  # of sessions
    parts = {*name.split("/"), version}
    return [*sources.named(name), *map(str, sorted(found, key=lambda path: -len(parts & set(path.parts))))]


def _datasets_of_checkout(name: str) -> Iterator[str]:
    """Datasets anywhere in the repository around the working folder, those of the wanted name first: folders move, and digests tell them.

    Where there is no repository, those in the working folder itself.
    """
    found = [folder for folder, files in folders_around(but=home() / "artifacts") if "metadata.json" in files]
    yield from map(str, sorted(found, key=lambda path: path.name != name)[:MOST_DATASETS])


def hint(picture: Path, key: str) -> str:
    """Where the run beside a picture found something; for people to judge, not followed."""
    parents = picture.resolve().parents
    path = RunFolder(parents[2]).local.get(key) if len(parents) > 2 else None
    return f" (its run's local.json names {printable(path[:200])})" if isinstance(path, str) else ""

"""The remote state of an experiment, its holdings, as Comet lists them; and the diff between them and a projection."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdxl_lab.comet.errors import fault_of
from sdxl_lab.tracking.experiment import METADATA_SHA256, File, Projection, mark_of

LISTED_DIGITS = 1e-9
"""Relative precision at which a metric read back counts as the one that was sent."""


KINDS = ("images", "assets", "curves", "notebook", "code", "html", "metrics", "parameters", "others", "tags")
"""What of an experiment can be lacking."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A file of an experiment, as Comet lists it.

    Attributes:
        id: By which it can be deleted.
        kind: `image`, `asset`, or as Comet calls it: `notebook`, `source_code`, `curve`.
        name: As listed.
        step: As the file's was, or None.
        size_bytes: None where the listing has none.
        sha256: From its metadata, of a notebook, for which the SDK takes none, of its bytes; None if the lab did not send it, or the listing shows no
            metadata.
        metadata_sha256: Likewise, of metadata that may change.
    """

    id: str
    kind: str
    name: str
    step: int | None
    size_bytes: int | None
    sha256: str | None
    metadata_sha256: str | None = None

    def is_copy_of(self, file: File) -> bool:
        """Whether this is that file, with what is said of it now, as far as the listing tells."""
        says_so = self.sha256 is None or self.metadata_sha256 == file.metadata.get(METADATA_SHA256, self.metadata_sha256)
        return says_so and self.sha256 in (None, file.sha256) and (self.size_bytes is None or file.size_bytes in (None, self.size_bytes))


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """The remote state of an experiment: the lab's own and whatever others added.

    Attributes:
        tags: All of them.
        parameters: As text.
        others: As text; `Name` is the experiment's name.
        metrics: (name, step) to every value recorded there.
        files: Images and all others.
        html: What the HTML panel shows.
        url: Where people look at it.
    """

    tags: frozenset[str] = frozenset()
    parameters: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[tuple[str, int | None], Sequence[float]] = field(default_factory=dict)
    files: tuple[Held, ...] = ()
    html: str = ""
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What an experiment lacks, and what it holds twice or in an earlier version.

    Attributes:
        tags: To add.
        parameters: To set.
        others: To set; `Name` among them.
        metrics: To add.
        images: To send.
        assets: To send; likewise `curves`, `notebook`, `code` and `html`, each at most one but the curves.
        outdated: Keys of parameters that an earlier version told the same by. To take away; where Comet does not take them away, they may stay.
        surplus: Ids of files that a newer or an equal one replaces, or that are of pictures which were deleted.
    """

    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[tuple[str, int | None], float] = field(default_factory=dict)
    images: tuple[File, ...] = ()
    assets: tuple[File, ...] = ()
    curves: tuple[File, ...] = ()
    notebook: tuple[File, ...] = ()
    code: tuple[File, ...] = ()
    html: tuple[File, ...] = ()
    outdated: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many things are lacking, or too much."""
        return len(self.surplus) + sum(len(getattr(self, kind)) for kind in KINDS)

    def __str__(self) -> str:
        """Name what is lacking, for people."""
        counts = {kind: len(getattr(self, kind)) for kind in KINDS}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"


def holdings(api: Any, key: str) -> Holdings | None:
    """Read what an experiment holds. Runs in a worker.

    Args:
        api: A `comet_ml.API`.
        key: The experiment's.

    Returns:
        Its holdings; None if there is no such experiment.

    Raises:
        Exception: Comet does not answer, or not as it should.
    """
    experiment = api.get_experiment_by_key(key)
    if experiment is None:
        return None
    metrics: dict[tuple[str, int | None], list[float]] = {}
    for point in experiment.get_metrics():
        metrics.setdefault((point["metricName"], _whole(point.get("step"))), []).append(_number(point["metricValue"]))
    return Holdings(
        tags=frozenset(experiment.get_tags()),
        parameters={entry["name"]: _text(entry["valueCurrent"]) for entry in experiment.get_parameters_summary()},
        others={entry["name"]: _text(entry["valueCurrent"]) for entry in experiment.get_others_summary()},
        metrics=metrics,
        files=tuple(_held(entry, experiment) for entry in experiment.get_asset_list()),
        html=_html(experiment),
        url=experiment.url,
    )


def lacking(projection: Projection, held: Holdings) -> Difference:
    """Compare a projection with what is there. What others added to the experiment is left alone.

    Args:
        projection: What there should be.
        held: What there is.

    Returns:
        What to send, and what to delete once that is there.
    """
    others = {"Name": projection.name, **({"description": projection.description} if projection.description else {}), **projection.others}
    wanted = {
        "image": projection.images,
        "asset": projection.assets,
        "curve": projection.curves,
        "notebook": _alone(projection.notebook),
        "source_code": _alone(projection.code),
    }
    missing: dict[str, tuple[File, ...]] = {}
    surplus: list[str] = []
    for kind, files in wanted.items():
        here = [file for file in held.files if file.kind == kind]
        missing[kind], old = _files(files, here, projection.places if kind == "image" else ())
        surplus += old
    if projection.notebook:  # an earlier version sent it as an asset
        name = projection.notebook.name
        surplus += [file.id for file in held.files if file.kind == "asset" and file.name == name and file.sha256]
    return Difference(
        tags=tuple(tag for tag in projection.tags if tag not in held.tags),
        parameters={name: value for name, value in projection.parameters.items() if not _is_read_back(value, held.parameters.get(name))},
        others={name: value for name, value in others.items() if not _is_read_back(value, held.others.get(name))},
        metrics={
            point: value for point, value in projection.metrics.items() if not any(_is_close(value, number) for number in held.metrics.get(point, ()))
        },
        images=missing["image"],
        assets=missing["asset"],
        curves=missing["curve"],
        notebook=missing["notebook"],
        code=missing["source_code"],
        html=tuple(page for page in _alone(projection.html) if mark_of(page) not in held.html),
        outdated=tuple(name for name in held.parameters if name in projection.obsolete),
        surplus=tuple(surplus),
    )


def _alone(file: File | None) -> tuple[File, ...]:
    return (file,) if file else ()


def _files(wanted: Sequence[File], held: Sequence[Held], emptied: Collection[tuple[str, int]] = ()) -> tuple[tuple[File, ...], tuple[str, ...]]:
    """The files that are not there, and the ids of those that others replace, or that lie in places where nothing is to be any more."""
    missing: list[File] = []
    surplus: list[Held] = []
    places: dict[tuple[str, int | None], list[Held]] = {}
    for file in held:
        places.setdefault((file.name, file.step), []).append(file)
    for file in wanted:
        here = places.get((file.name, file.step), [])
        copy = next((one for one in here if one.is_copy_of(file)), None)
        if copy is None:
            missing.append(file)
        else:
            surplus += [one for one in here if one is not copy]
    filled = {(file.name, file.step) for file in wanted}
    surplus += [one for one in held if (one.name, one.step) in emptied and (one.name, one.step) not in filled]
    # A file without the lab's digest is somebody else's, and stays.
    return tuple(missing), tuple(one.id for one in surplus if one.sha256 is not None)


def _is_read_back(value: Any, text: str | None) -> bool:
    """Whether a text is what Comet makes of a value; servers write None, booleans and numbers in more than one way."""
    if text is None:
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _is_close(value, _number(text))
    forms = {str(value), json.dumps(value), json.dumps(value, ensure_ascii=False)}
    return text in forms or (not isinstance(value, str) and _compact(text) in map(_compact, forms))


def _compact(text: str) -> str:
    return "".join(text.split()).lower().replace("none", "null").replace("'", '"')


def _is_close(value: float, number: float) -> bool:
    return math.isclose(value, number, rel_tol=LISTED_DIGITS) or value == number


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _whole(step: Any) -> int | None:
    return None if step is None else int(step)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _held(entry: Mapping[str, Any], experiment: Any) -> Held:
    size, kind = entry.get("fileSize"), entry.get("type")
    digests = _digests(entry.get("metadata"))
    if kind == "notebook" and digests["sha256"] is None:
        digests["sha256"] = hashlib.sha256(experiment.get_asset(entry["assetId"], return_type="binary")).hexdigest()
    return Held(
        id=entry["assetId"],
        kind="image" if entry.get("image") else kind if kind in ("image", "notebook", "source_code", "curve") else "asset",
        name=entry["fileName"],
        step=_whole(entry.get("step")),
        size_bytes=None if size is None or kind == "curve" else int(size),  # the SDK writes a curve's JSON anew
        **digests,
    )


def _html(experiment: Any) -> str:
    try:
        return experiment.get_html() or ""
    except Exception as error:
        if fault_of(error).status in (400, 404):  # where nothing was logged
            return ""
        raise


def _digests(metadata: Any) -> dict[str, str | None]:
    """The digests that the lab sent along; servers give metadata as an object or as its JSON."""
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            metadata = None
    told = metadata if isinstance(metadata, dict) else {}
    names = {"sha256": "file_sha256", "metadata_sha256": METADATA_SHA256}
    return {attribute: told[name] if isinstance(told.get(name), str) else None for attribute, name in names.items()}

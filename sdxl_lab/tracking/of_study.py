"""The answer of a preference study as one experiment shows it: shares as numbers, its page, its drawing and its table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdxl_lab.records.study_result import ResultFolder
from sdxl_lab.tracking.disclosure import without_paths
from sdxl_lab.tracking.experiment import HTML_LIMIT_BYTES, Projection, file_of, short, short_name
from sdxl_lab.tracking.key import experiment_key

TAG = "study"


def of_study(result: ResultFolder) -> Projection:
    """Read an answer as an experiment. Names of judges stay here.

    Args:
        result: The answer.

    Returns:
        The experiment, the same for the same record wherever it lies.

    Raises:
        RecordError: The folder holds no answer.
        DiskError: The key cannot be written.
    """
    about = result.about
    files = [file_of(path.name, None, path) for path in (result.table_file, result.drawing_file, result.page_file) if path.is_file()]
    page = next((file for file in files if file.path == result.page_file and result.page_file.stat().st_size <= HTML_LIMIT_BYTES), None)
    return Projection(
        key=experiment_key(result),
        name=short_name(result.name),
        description=short("sdxl-lab study result STUDY VOTES ..."),
        tags=(short_name(result.name), TAG),
        parameters={},
        others={short_name(name): short(value) for name, value in _others(about)},
        metrics={(short_name(name), None): value for name, value in _metrics(about)},
        images=(),
        assets=tuple(files),
        html=page,
    )


def _others(about: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    counted = [judge for judge in about["judges"] if not judge["is_left_out"]]
    yield "study", about["study"]
    yield "study_digest", about["digest"]
    yield "question", about["question"]
    yield "votes", sum(ranking["votes"] for ranking in about["rankings"])
    yield "judges", len(counted)
    yield "judges_left_out", len(about["judges"]) - len(counted)
    yield "min_self_agreement", about["min_self_agreement"]
    yield "shares", "counted" if all(ranking["is_counted"] for ranking in about["rankings"]) else "derived"
    for label, settings in about["systems"].items():
        said = ", ".join(f"{name} {value}" for name, value in settings.items())
        yield f"system.{without_paths(label)}", without_paths(said) or "-"
    yield "notes", without_paths("; ".join(about["notes"]))


def _metrics(about: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for ranking in about["rankings"]:
        for standing in ranking["standings"]:
            yield from _estimate(f"share/{without_paths(standing['system'])}", standing["share"])
        yield from _estimate("ties" if len(about["rankings"]) == 1 else f"ties/{without_paths(ranking['standings'][0]['system'])}", ranking["ties"])
    for agreement in about["agreements"]:
        yield from _estimate(f"agreed/{agreement['metric']}", agreement["agreed"])
        yield from _estimate(f"srocc/{agreement['metric']}", agreement["srocc"])
        yield from _estimate(f"krocc/{agreement['metric']}", agreement["krocc"])
    if about["mutual_agreement"] is not None:
        yield "judges_agree", about["mutual_agreement"]


def _estimate(name: str, found: Mapping[str, float | None] | None) -> Iterator[tuple[str, float]]:
    """A number, and the ends of its interval beside it."""
    for suffix, part in (("", "value"), ("_low", "low"), ("_high", "high")):
        if found and (value := found[part]) is not None:
            yield f"{name}{suffix}", value

"""What judges answered: the files that a study's page gives them to send back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from sdxl_lab.studies.trials import Study, StudyError, canonical
from sdxl_lab.wording import UNSEEN, printable

TIE, SKIP = "tie", "skip"
Answer: TypeAlias = Annotated[int, Field(ge=0, strict=True)] | Literal["tie", "skip"]
"""The place of the chosen picture among those shown, from 0; or that none is better, or that nothing is said."""
MOST_BYTES = 2**24
OTHERS = {"trials": "the key of a study", "rankings": "the answer of a study"}
"""Other files of a study, by what stands in them."""
LONGEST_JUDGE = 40


class VotesError(StudyError):
    """A file of votes is none, or not of this study, or does not go together with another."""


@dataclass(frozen=True, kw_only=True)
class Vote:
    """One answer of a judge.

    Attributes:
        trial: What was asked.
        shown: Names of the pictures as the judge saw them, left to right and then down.
        answer: Index into `shown`, `TIE` or `SKIP`.
        milliseconds: How long the judge looked at them.
        at: When it was given, UTC, as ISO 8601 has it.
    """

    trial: str
    shown: tuple[str, ...]
    answer: Answer
    milliseconds: Annotated[int, Field(ge=0)]
    at: str

    @property
    def plain(self) -> dict[str, Any]:
        """The same as a page has it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Votes:
    """What one judge answered, all of it or as far as it has come.

    Attributes:
        judge: What the judge is called.
        votes: In the order in which they were given, at most one for each trial.
        path: The file.
    """

    judge: str
    votes: tuple[Vote, ...]
    path: Path


@dataclass(frozen=True, kw_only=True)
class _File:
    """What stands in such a file, but for its digest."""

    study: str
    digest: str
    judge: str
    votes: tuple[Vote, ...]


def read_votes(paths: Iterable[Path], study: Study) -> list[Votes]:
    """Read what judges sent back.

    Args:
        paths: Files of votes. Of two files of one judge, one of which goes on where the other ends, the longer one counts.
        study: The study that they are of.

    Returns:
        One for each judge, sorted by their names.

    Raises:
        VotesError: A file is none of this study, was changed, tells of what was not asked, or two of one judge contradict each other.
    """
    found: dict[str, Votes] = {}
    for path in paths:
        votes = votes_in(path, study)
        other = found.setdefault(votes.judge, votes)
        shorter, longer = sorted((other, votes), key=lambda each: len(each.votes))
        if longer.votes[: len(shorter.votes)] != shorter.votes:
            raise VotesError(
                f"{other.path} and {votes.path} are both of {printable(votes.judge)!r}, and neither goes on where the other ends; "
                "leave one of them out, or, where two judges have one name, ask one to vote by another"
            )
        found[votes.judge] = longer
    return [found[judge] for judge in sorted(found)]


def votes_in(path: Path, study: Study) -> Votes:
    """Read one file of votes.

    Args:
        path: The file.
        study: The study that it is of.

    Raises:
        VotesError: It is none of this study, was changed, or tells of what was not asked.
    """
    read = _read(path)
    if read.study != study.study:
        raise VotesError(f"{path} holds votes of another study ({printable(read.study[:40])} instead of {study.study}); give files of this one")
    if read.digest != study.digest:
        raise VotesError(
            f"{path} was voted on a page of study {study.study} as it was before it was changed; give the study.json that its page was made with"
        )
    if fault := _fault(read, study):
        raise VotesError(f"{path}: {fault}; ask the judge for the file as the page wrote it")
    return Votes(judge=read.judge, votes=read.votes, path=path)


def content_of(judge: str, votes: Iterable[Mapping[str, Any]], study: Study) -> bytes:
    """Write a file of votes as the page does.

    Args:
        judge: What the judge is called.
        votes: Plain values of each vote.
        study: What was asked.

    Raises:
        VotesError: They are none of this study.
    """
    try:
        read = _files().validate_python({"study": study.study, "digest": study.digest, "judge": judge, "votes": list(votes)})
    except ValidationError as error:
        raise VotesError(f"these are no votes: {_first(error)}") from error
    if fault := _fault(read, study):
        raise VotesError(f"these are no votes of study {study.study}: {fault}")
    values = _files().dump_python(read, mode="json")
    return json.dumps(values | {"sha256": hashlib.sha256(canonical(values)).hexdigest()}, indent=1, ensure_ascii=False).encode() + b"\n"


def file_name(judge: str) -> str:
    """What the file with a judge's votes is called.

    Args:
        judge: Any name.
    """
    plain = re.sub(r"[^\w-]+", "-", judge).strip("-")
    return f"votes-{plain or 'judge'}.json"


def _read(path: Path) -> _File:
    """What stands in a file, as the page wrote it."""
    if path.is_dir():
        raise VotesError(f"{path} is a folder, and no file of votes; give the files in it: {path}/votes-*.json")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        values = json.loads(content if len(content) <= MOST_BYTES else b"")
        if other := next((said for key, said in OTHERS.items() if key in values), None):
            raise VotesError(f"{path} holds {other}, and no votes; leave it out, and give files votes-NAME.json that a study's page wrote")
        sha256 = values.pop("sha256")
        is_as_written = hashlib.sha256(canonical(values)).hexdigest() == sha256
        read = _files().validate_python(values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VotesError(f"{path} holds no votes ({_why(error)}); give a file votes-NAME.json that a study's page wrote") from error
    if not is_as_written:
        raise VotesError(f"{path} was changed after the page wrote it: its votes do not match its digest; ask the judge for the file as it was")
    return read


def _why(error: Exception) -> str:
    """Why a file cannot be read."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return _first(error) if isinstance(error, ValidationError) else "no JSON of votes"


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = [part for part in first["loc"] if not str(part).startswith(("constrained", "literal"))]
    if len(where) > 1 and where[0] == "votes" and isinstance(where[1], int):
        about, got = f"{'.'.join(map(str, where[2:])) or 'all'} of vote {where[1] + 1}", f"got {str(first['input'])[:40]!r}"
        if where[2:] == ["answer"]:
            return f"{about}: {got}; allowed is the place of the chosen picture, 0 for the first one, {TIE} or {SKIP}"
        return f"{about}: {first['msg']}" if first["type"] == "missing" else f"{about}: {got}: {first['msg']}"
    return f"{'.'.join(map(str, where)) or 'its content'}: {first['msg']}"


def _fault(read: _File, study: Study) -> str | None:
    """What in a file of votes was not asked, or cannot be."""
    trials = {trial.trial: trial for trial in study.trials}
    if not is_name(read.judge):
        return f"the judge's name has to be of 1 to {LONGEST_JUDGE} characters, without spaces around it and without control characters"
    seen: set[str] = set()
    for vote in read.votes:
        if vote.trial not in trials:
            return f"it answers trial {printable(vote.trial[:40])!r}, which the study does not have"
        if vote.trial in seen:
            return f"it answers trial {vote.trial} twice"
        seen.add(vote.trial)
        if sorted(vote.shown) != sorted(trials[vote.trial].pictures):
            return f"in trial {vote.trial} it tells of other pictures than were to be shown"
        if isinstance(vote.answer, int) and vote.answer >= len(vote.shown):
            return f"in trial {vote.trial} it chooses picture {vote.answer + 1} of {len(vote.shown)}"
    return None


def is_name(judge: str) -> bool:
    """Whether a judge can be called so."""
    return 0 < len(judge) <= LONGEST_JUDGE and judge == judge.strip() and not re.search(f"[{UNSEEN}\n]", judge)


@cache
def _files() -> TypeAdapter[_File]:
    return TypeAdapter(_File)

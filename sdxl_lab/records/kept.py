"""A picture of a session as it is kept, and as a run of one picture, which is how runs and sessions are looked at alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from sdxl_lab.errors import LabError
from sdxl_lab.records.picture import Picture
from sdxl_lab.records.run_files import RunFiles
from sdxl_lab.records.stamps import MADE_WITH, Stamp
from sdxl_lab.spec.resolved_spec import ResolvedSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptPicture:
    """A picture of a session.

    Attributes:
        session: The session's folder.
        number: Its place in the session, from 1; it stays what it is when others are deleted.
        part: Of the session, from 1: the pictures of one part have checkpoint and compute in common.
        recorded: What was measured of it, and where its files are.
        is_starred: Whether somebody wants to find it again.
        is_deleted: Whether its file was deleted.
        note: What somebody wrote of it; empty if nobody did.
        line: Its line, as it stands in the session's file.
        of_part: What the part's pictures have in common.
    """

    session: Path
    number: int
    part: int
    recorded: Picture
    is_starred: bool
    is_deleted: bool = False
    note: str
    line: bytes = field(repr=False)
    of_part: Mapping[str, Any] = field(repr=False)

    @property
    def picture_id(self) -> str:
        """Names it by all that made it."""
        return str(self.recorded.picture_id)

    @cached_property
    def resolved(self) -> ResolvedSpec:
        """What was asked and made exactly, as a run of this one picture."""
        return _resolved(self.line, json.dumps({key: value for key, value in self.of_part.items() if key not in MADE_WITH}))

    @property
    def is_sound(self) -> bool:
        """Whether its line says how it was made; a session may come from anywhere."""
        try:
            [edit] = self.resolved.edits
        except (LabError, ValueError):
            return False
        return edit.task == self.recorded.task

    @property
    def stamp(self) -> Stamp:
        """What its PNG says of it."""
        recorded, resolved = self.recorded, self.resolved
        return Stamp(
            run_id=resolved.run_id,
            resolved=resolved,
            sha256=recorded.sha256,
            stated_id=resolved.run_id,
            picture_id=recorded.picture_id,
            notes=recorded.notes,
            frame=recorded.frame,
            **{key: self.of_part[key] for key in MADE_WITH},
        )

    @property
    def as_run(self) -> RunOfOne:
        """The same as a run of one picture."""
        return RunOfOne(self)


class RunOfOne(RunFiles):
    """A picture of a session, to be looked at as a run of one picture, which is done.

    Args:
        kept: The picture.
    """

    def __init__(self, kept: KeptPicture) -> None:
        super().__init__(kept.recorded.image)
        self.kept = kept

    @property
    def top(self) -> Path:
        """The session's folder."""
        return self.kept.session

    @property
    def is_done(self) -> bool:
        """It is: a picture of a session is there or not."""
        return True

    @cached_property
    def resolved(self) -> ResolvedSpec:
        """The run, by names; its own is the session's and the picture's number."""
        resolved = self.kept.resolved
        named = resolved.model_copy(update={"spec": resolved.spec.model_copy(update={"name": f"{resolved.spec.name}-{self.kept.number}"})})
        vars(named)["run_id"] = resolved.run_id  # no name is part of it, and computing it takes longer than all the rest
        return named

    @property
    def record(self) -> dict[str, Any]:
        """What it was made with."""
        return {key: self.kept.of_part[key] for key in MADE_WITH}

    def pictures(self) -> tuple[Picture, ...]:
        """The one picture. Its place among those of its sample is no matter of its own."""
        return (replace(self.kept.recorded, step=0),)

    @property
    def count(self) -> int:
        """One."""
        return 1


@lru_cache(maxsize=2000)
def _resolved(line: bytes, common: str) -> ResolvedSpec:
    """Checked once: who follows a session reads all of it after each picture."""
    return ResolvedSpec.from_json(json.dumps(json.loads(line)["resolved"] | json.loads(common)))

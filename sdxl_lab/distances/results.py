"""What comes of comparing sets: numbers with intervals, and all that they depend on, kept beside a run's record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab.distances import jackknife
from sdxl_lab.distances.statistics import digest_of_identity
from sdxl_lab.files.disk import write_changed
from sdxl_lab.records.distances import FOLDER
from sdxl_lab.records.machine import versions
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One number of a set.

    Attributes:
        value: It.
        low: Lower end of its 95% interval; None where there is none.
        high: Upper end.
        parts: Into how many parts the pictures were dealt for the interval; 0 where there is none.
        parameters: What was chosen for it.
    """

    value: float
    low: float | None
    high: float | None
    parts: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two sets, as results name it.

    Attributes:
        name: What it is called.
        n: How many pictures; None where a file doesn't say.
        digest: SHA-256 of its pictures; of a file that doesn't say it, of the file.
    """

    name: str
    n: int | None
    digest: str


@dataclass(frozen=True, kw_only=True, eq=False)
class SetDistances:
    """The numbers of one set.

    Attributes:
        set: The set.
        distances: Name to number, in the order in which they were asked for.
        file: Where they are kept beside the record; None where the set is no single run.
    """

    set: Side
    distances: Mapping[str, Measured]
    file: Path | None = None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Distances:
    """What `distance` found.

    Attributes:
        rows: One for each set.
        to: The set that they are compared with; None where nothing was.
        extractor: Identity of what saw them.
        label: What the extractor is called.
        model: Where its weights came from: a hub id, or the name of a folder or file, without its path.
        notes: What is to be kept in mind, one line each.
        saved: The file that statistics were written to, if any were.
    """

    rows: tuple[SetDistances, ...]
    to: Side | None
    extractor: Mapping[str, Any]
    label: str
    model: str
    notes: tuple[str, ...]
    saved: Path | None = None

    def __repr__(self) -> str:
        to = f" to {self.to.name}" if self.to else ""
        names = ", ".join(dict.fromkeys(name for row in self.rows for name in row.distances)) or "features"
        return f"<Distances: {names} of {counted(len(self.rows), 'set')}{to}, as {self.label} sees them>"

    def __str__(self) -> str:
        from sdxl_lab.distances.printed import lines_of  # which knows this room

        return "\n".join(lines_of(self, width=80))

    def table(self) -> pd.DataFrame:
        """One row a set, in their order, also where two are called the same: `n`, then each number under its name, with `_low` and `_high`."""
        import pandas as pd

        rows: list[dict[str, str | float | None]] = []
        for row in self.rows:
            rows.append({"set": row.set.name, "n": row.set.n})
            for name, measured in row.distances.items():
                rows[-1] |= {name: measured.value, f"{name}_low": measured.low, f"{name}_high": measured.high}
        return pd.DataFrame(rows).set_index("set")

    def document(self, row: SetDistances) -> dict[str, Any]:
        """One set's numbers with all that they depend on, as they are kept: JSON."""
        return {
            "format": FORMAT,
            "versions": {"sdxl_lab": versions()["sdxl_lab"]},
            "set": vars(row.set),
            "to": vars(self.to) if self.to else None,
            "extractor": dict(self.extractor),
            "model": self.model,
            "interval": {"level": jackknife.LEVEL, "method": jackknife.METHOD, "seed": jackknife.SEED},
            "distances": {name: {**vars(measured), "parameters": dict(measured.parameters)} for name, measured in row.distances.items()},
        }

    def kept(self, row: SetDistances, place: Path) -> SetDistances:
        """Write one set's numbers into a run's folder, whole or not at all, beside those of the same two sets that are there.

        Args:
            row: One of `rows`.
            place: The run's folder.

        Returns:
            The row, with its file.

        Raises:
            DiskError: It can't be written.
        """
        about = {"extractor": dict(self.extractor), "set": row.set.digest, "to": self.to.digest if self.to else None}
        file = place / FOLDER / f"{self.extractor['extractor']}-{digest_of_identity(about)[:10]}.json"
        document = self.document(row)
        document["distances"] = _before(file, document) | document["distances"]
        write_changed(file, (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
        return replace(row, file=file)


def _before(file: Path, document: Mapping[str, Any]) -> dict[str, Any]:
    """Other numbers of the same two sets that are in the file already."""
    try:
        earlier = json.loads(file.read_bytes())
        same = all(earlier[key] == document[key] for key in ("format", "set", "to", "extractor"))
        return dict(earlier["distances"]) if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}

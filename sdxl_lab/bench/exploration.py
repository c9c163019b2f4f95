"""A session as code has it: its pictures, what is said of them, and what goes on from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab.bench import onward
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.bench.pictures import BenchPicture, looked_at, required
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.tracking import tracker

if TYPE_CHECKING:
    from sdxl_lab.viewing.compare import Comparison


class Exploration:
    """The pictures of a session.

    Args:
        session: The folder that keeps them.
    """

    def __init__(self, session: SessionFolder) -> None:
        self.session = session

    @property
    def pictures(self) -> tuple[BenchPicture, ...]:
        """All pictures of the session, in the order in which they were made."""
        return tuple(map(BenchPicture, self.session.pictures()))

    def star(self, picture: Any = None, *, starred: bool = True) -> None:
        """Star a picture, so that it is found again.

        Args:
            picture: One of the bench's pictures, its number, or the first digits of its `picture_id`; the last one if left out.
            starred: False takes the star away.

        Raises:
            BenchError: There is no such picture.
        """
        self.session.star(required(self.session, picture), starred=starred)
        tracker.follow_session(self.session)

    def note(self, picture: Any, text: str) -> None:
        """Write something of a picture, in place of what was written of it before.

        Args:
            picture: As for `star`.
            text: The empty one takes the note away.

        Raises:
            BenchError: There is no such picture, or it is no text.
            RecordError: It looks like an API key.
        """
        if not isinstance(text, str):
            raise BenchError(f"note: got a {type(text).__name__}; allowed is a text, the empty one takes the note away")
        self.session.note(required(self.session, picture), text)
        tracker.follow_session(self.session)

    def delete(self, picture: Any) -> None:
        """Delete a picture. The others keep their numbers.

        Args:
            picture: As for `star`.
        """
        self.session.delete(required(self.session, picture))
        tracker.follow_session(self.session)

    def parameters(self, picture: Any = None) -> onward.Parameters:
        """Write the parameters of a run that makes a picture: printed, they are a notebook's parameters cell.

        Args:
            picture: As for `star`.

        Returns:
            What `RunSpec.from_parameters` takes. What the bench was given becomes a dataset in the session's folder.
        """
        return onward.parameters(required(self.session, picture))

    def sweep_around(self, picture: Any, axes: Mapping[str, Iterable[Any] | str], path: Path | str | None = None) -> Path:
        """Write a sweep file around a picture.

        Args:
            picture: As for `star`.
            axes: Setting to its values, `{"guidance_scale": [3, 5, 7.5], "seed": "random(4)"}`, by name or dotted path.
            path: The YAML file; in the session's folder if left out.

        Returns:
            The file, for `sdxl-lab plan` and `sdxl-lab sweep`.

        Raises:
            SweepFileError: An axis is no setting, or a value is not allowed.
        """
        return onward.sweep_around(required(self.session, picture), self.session, axes, path)

    def compare(self, *, starred: bool = False, **options: Any) -> Comparison:
        """Compare the pictures, each as a run of one, as `compare` does.

        Args:
            starred: Whether to look at the starred ones alone.
            **options: As for `compare`.
        """
        from sdxl_lab.viewing.compare import compare

        return compare([kept.as_run for kept in looked_at(self.session, starred=starred)], **options)

    def report(self, path: Path | str | None = None, *, starred: bool = False) -> Path:
        """Write the report of the pictures: one HTML page.

        Args:
            path: The file; in the session's folder if left out, `report.html`, of the starred alone `starred.html`.
            starred: As for `compare`.
        """
        from sdxl_lab.viewing.report import write_report

        runs = [kept.as_run for kept in looked_at(self.session, starred=starred)]
        own = self.session.starred_file if starred else self.session.report_file
        return write_report(runs, Path(path) if path else own)

"""A study that was made: its folder, what is answered there, and itself as a cell's value."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdxl_lab.studies.page import shown_in
from sdxl_lab.studies.trials import PAGE, Study
from sdxl_lab.studies.votes import Votes, read_votes
from sdxl_lab.wording import counted

if TYPE_CHECKING:
    from sdxl_lab.studies.result import StudyResult


class MadeStudy:
    """A preference study in a folder.

    Args:
        folder: As `study` made it.
        notes: What is to be said of it.

    Attributes:
        folder: The same.
        notes: The same.
    """

    def __init__(self, folder: Path, *, notes: tuple[str, ...] = ()) -> None:
        self.folder, self.notes = folder, notes
        self._widget: Any = None

    @cached_property
    def key(self) -> Study:
        """What judges do not see: systems, pictures, trials.

        Raises:
            StudyError: The folder holds none.
        """
        return Study.read(self.folder)

    @property
    def page(self) -> Path:
        """The page to send to judges."""
        return self.folder / PAGE

    @cached_property
    def shown(self) -> dict[str, Any]:
        """What judges see, as the page holds it.

        Raises:
            StudyError: There is no page.
        """
        return shown_in(self.page)

    def votes(self) -> list[Votes]:
        """What was answered so far, as files of votes in the study's folder say.

        Raises:
            VotesError: A file there is none of this study.
        """
        return read_votes(sorted(self.folder.glob("votes-*.json")), self.key)

    def result(self, *, min_self_agreement: float = 0.0) -> StudyResult:
        """Count what was answered so far.

        Args:
            min_self_agreement: Leave out judges who answered a smaller share of the repeated questions as before, from 0 to 1.

        Raises:
            StudyError: There is no vote yet, or a file of votes is not of this study.
        """
        from sdxl_lab.studies.result import study_result

        return study_result(self.folder, min_self_agreement=min_self_agreement)

    def __repr__(self) -> str:
        trials = self.key.trials
        again, together = sum(trial.mirrors is not None for trial in trials), len(trials[0].pictures)
        repeats = f", {again} of them again" if again else ""
        shown = (
            counted(len(trials) - again, "pair")
            if together == 2
            else counted(len(trials) - again, f"choice among {together}", f"choices among {together}")
        )
        return f"<MadeStudy {self.folder}: {counted(len(self.key.systems), 'system')}, {shown}{repeats}>"

    def _ipython_display_(self) -> None:
        from sdxl_lab.studies.widget import show  # imports anywidget, which only a page needs

        self._widget = show(self, self._widget)

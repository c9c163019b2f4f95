"""A study as a cell's value: the judges' page, whose answers are written beside the study as they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anywidget

from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_whole
from sdxl_lab.studies.made import MadeStudy
from sdxl_lab.studies.page import widget_script
from sdxl_lab.studies.votes import VotesError, content_of, file_name, votes_in
from sdxl_lab.viewing.frontend import is_watched


class StudyWidget(anywidget.AnyWidget):
    """The judges' page in a notebook. A saved notebook holds nothing of it: pictures come by messages, a few at a time.

    Args:
        made: The study.
    """

    _esm = widget_script()

    def __init__(self, made: MadeStudy) -> None:
        super().__init__()
        self._made = made
        self.on_msg(self._received)

    def answer(self, asked: Mapping[str, Any]) -> Any:
        """Answer what a page asks.

        Args:
            asked: `what`: `study`, `judges`, `votes` of a `judge`, a `picture` by its `name`, or to `save` the `votes` of a `judge`.

        Returns:
            Plain values.

        Raises:
            LabError: The study or votes cannot be read or written.
        """
        made, what = self._made, asked["what"]
        if what == "picture":
            return made.shown["files"][asked["name"]]
        if what == "judges":
            return [{"judge": each.judge, "count": len(each.votes)} for each in made.votes()]
        if what == "votes":
            file = made.folder / file_name(asked["judge"])
            found = votes_in(file, made.key) if file.is_file() else None
            if found and found.judge != asked["judge"]:
                raise VotesError(f"{file.name} has the votes of {found.judge!r}; give another name")
            return [vote.plain for vote in found.votes] if found else []
        if what == "save":
            write_whole(made.folder / file_name(asked["judge"]), content_of(asked["judge"], asked["votes"], made.key))
            return None
        return {name: value for name, value in made.shown.items() if name != "files"}

    def _received(self, _: Any, content: Mapping[str, Any], buffers: Any) -> None:
        said = {"answers": content.get("asks")}
        try:
            self.send(said | {"value": self.answer(content)})
        except LabError as error:
            self.send(said | {"fault": str(error)})


def show(made: MadeStudy, widget: StudyWidget | None) -> StudyWidget | None:
    """Show a study in the output of the cell that is run.

    Args:
        made: The study.
        widget: What it was shown by before, if anything.

    Returns:
        What it is shown by now; None where nobody can work with it.
    """
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    for note in made.notes:
        print(note)
    if not hasattr(get_ipython(), "kernel"):
        print(repr(made))
        return widget
    if not is_watched():
        display({"text/plain": f"{made!r}; run this cell in JupyterLab to vote, or open {made.page}"}, raw=True)
        return widget
    widget = widget or StudyWidget(made)
    display(widget)
    return widget

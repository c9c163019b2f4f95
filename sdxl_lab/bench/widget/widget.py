"""The bench as a widget of a notebook: what carries its messages."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from sdxl_lab.bench.bench import Bench
from sdxl_lab.bench.widget.desk import Desk
from sdxl_lab.bench.widget.page import script
from sdxl_lab.bench.widget.still import still


class BenchWidget(anywidget.AnyWidget):
    """The model that all views of a bench talk to. Its views stand in cells' outputs, around what a saved notebook shows instead.

    Args:
        bench: That makes the pictures.
    """

    _esm = script()
    bench = traitlets.Unicode().tag(sync=True)

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench=secrets.token_hex(8))
        self._of, self._shown = bench, ""
        self._desk = Desk(bench, self._carry, self.keep_still)
        self.on_msg(self._received)

    def show(self) -> None:
        """Put a view into the output of the cell that is run; all of them show the same."""
        self._shown = self._still()
        display(self._bundle(), raw=True, display_id=self.bench)

    def keep_still(self) -> None:
        """Bring what a saved notebook shows up to date, where it shows something else."""
        if self._shown and (now := self._still()) != self._shown:
            self._shown = now
            display(self._bundle(), raw=True, display_id=self.bench, update=True)

    def open(self) -> None:
        """ipywidgets': tell the page that this is there."""
        super().open()
        self._forget_who_sent()

    def _bundle(self) -> dict[str, str]:
        return {"text/html": self._shown, "text/plain": repr(self._of)}

    def _still(self) -> str:
        return f'<sdxl-lab-bench bench="{self.bench}">{still(self._of.session)}</sdxl-lab-bench>'

    def _received(self, _: Any, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        self._desk.receive(content, buffers)

    def _carry(self, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        self.send(content, list(buffers))

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)
        self._forget_who_sent()

    def _forget_who_sent(self) -> None:
        """Ipykernel 7 hands a page's messages to the shell from which the widget sent last: after a cell did, to the one that a running cell keeps.

        Without its note they go where JupyterLab addresses them, to a subshell, which is free.
        """
        if self.comm is not None:
            vars(self.comm).pop("_reply_subshell_id", None)

"""What the views of a bench share, and what they do: messages of a page come in, and what has changed goes out to all views."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from sdxl_lab.bench.bench import Bench
from sdxl_lab.bench.opened import Opened, without_inputs
from sdxl_lab.bench.pictures import BenchPicture, required
from sdxl_lab.bench.widget import asked as asking
from sdxl_lab.bench.widget import deeds
from sdxl_lab.bench.widget.gate import Gate
from sdxl_lab.bench.widget.jobs import Jobs, told
from sdxl_lab.bench.widget.lanes import Lane
from sdxl_lab.bench.widget.news import News
from sdxl_lab.bench.widget.outlines import outlines
from sdxl_lab.bench.widget.surface import Surface
from sdxl_lab.bench.widget.uploads import Uploads
from sdxl_lab.bench.worker import import_all
from sdxl_lab.errors import LabError
from sdxl_lab.metrics import METRICS, telling
from sdxl_lab.runs.reproduction import ReproduceError
from sdxl_lab.tasks import TASKS

MOST_AT_ONCE = 16
"""Pictures of one Make."""

HAND_RESTS_S = 0.8
"""How long after a stroke the gate is asked, if no other follows: of a large mask its answer takes longer than the outline, which must not wait."""


class Send(Protocol):
    """What carries a message to the pages."""

    def __call__(self, content: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Carry it, from any thread."""


Answer = Mapping[str, Any] | None
Action = Callable[[Mapping[str, Any], Sequence[bytes]], Answer]


class Desk:
    """What lies on a bench as the pages show it, what is asked of it, and what is being made.

    No message waits for a picture: what is quick is done in one lane, in order; what the gate says of it, for which a large mask is encoded, is
    found out in another; files are read and drawn in a third; what may take minutes has a fourth; and a cancel is done at once.

    Args:
        bench: That makes the pictures.
        send: Carries a message to all pages, from any thread.
        keep_still: Called when what a saved notebook shows is to be brought up to date.
    """

    def __init__(self, bench: Bench, send: Send, keep_still: Callable[[], None]) -> None:
        self.bench, self._send, self._keep_still = bench, send, keep_still
        names = ("quick", "checks", "slow", "long")
        self._quick, self._checks, self._slow, self._long = (Lane(f"sdxl_lab desk, {name}", self._failed) for name in names)
        self._surface, self._uploads = Surface(bench.opened), Uploads()
        self._gate = Gate(bench, self._tell, self._surface)
        self._jobs = Jobs(bench, self._tell, lambda: self._quick.put(self._tell_pictures, instead="pictures"))
        self._news, self._telling = News(bench.session), Lock()
        quick: dict[str, Action] = {
            "hello": self._hello,
            "open": self._open,
            "open_picture": self._open_picture,
            "close": self._close,
            "recall": self._recall,
            "strokes": self._strokes,
            "ask": self._ask,
            "make": self._make,
            **self._deeds(deeds.QUICK),
        }
        slow: dict[str, Action] = {"bytes": self._bytes, "still": self._still, **self._deeds(deeds.SLOW)}
        lanes = ((self._quick, quick), (self._slow, slow), (self._long, self._deeds(deeds.LONG)))
        self._actions = {name: (lane, does) for lane, actions in lanes for name, does in actions.items()}

    # --- messages ------------------------------------------------------------------------------------------------------------------------------

    def receive(self, content: Mapping[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Take a message of a page, and return at once.

        Args:
            content: `do` names what is to be done; `ask` and `view` say who is answered.
            buffers: What came beside it.
        """
        action = content.get("do")
        if action == "ping":
            self._ping(content)
        elif action == "cancel":
            self._answered(self._cancel, content, [])
        elif action in self._actions:
            lane, does = self._actions[action]
            lane.put(lambda: self._answered(does, content, [bytes(buffer) for buffer in buffers]))

    def _deeds(self, of: Mapping[str, deeds.Deed]) -> dict[str, Action]:
        """Deeds as actions: what they change is told."""

        def action(deed: deeds.Deed) -> Action:
            def act(content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
                answer = deed(self.bench, content)
                self._tell_pictures()
                return answer

            return act

        return {name: action(deed) for name, deed in of.items()}

    def _answered(self, does: Action, content: Mapping[str, Any], buffers: list[bytes]) -> None:
        answer: dict[str, Any] = {"event": "answer", "ask": content.get("ask"), "view": content.get("view")}
        try:
            answer["value"] = dict(does(content, buffers) or {})
        except BaseException as error:  # noqa: BLE001 - whoever asked is told
            answer["error"] = told(error)
        self._send(answer)

    def _failed(self, error: BaseException) -> None:
        self._tell("said", {"kind": "error", "text": told(error)})

    def _tell(self, event: str, value: Any, buffers: Sequence[bytes] = (), **more: Any) -> None:
        self._send({"event": event, "value": value, **more}, buffers)

    def _ping(self, content: Mapping[str, Any]) -> None:
        self._send({"event": "pong", "view": content.get("view")})
        if self._jobs.is_busy:
            self._jobs.tell()
        self._quick.put(self._follow, instead="follow")

    def _follow(self) -> None:
        """Tell what a cell, a command or another kernel did meanwhile."""
        if not self._lays_what_a_cell_opened() and self._gate.follow():
            self._gate.check()
        self._tell_pictures()

    def _lays_what_a_cell_opened(self) -> bool:
        is_other = not self._surface.is_of(self.bench.opened)
        if is_other:
            self._lay(self.bench.opened)
        return is_other

    # --- what lies there -----------------------------------------------------------------------------------------------------------------------

    def _hello(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        """Everything, to a view that has just come."""
        view = content.get("view")
        self._tell("session", self._session(), to=view)
        self._tell_opened(view)
        self._gate.tell(to=view)
        self._tell("jobs", self._jobs.as_value(), to=view)
        self._tell_pictures(anew=True)
        self._gate.tell_knobs()
        import_all()  # so that the first picture does not wait for it
        self._gate.check()
        self._gate.tell_checked(to=view)
        self._outline()
        return None

    def _open(self, content: Mapping[str, Any], buffers: Sequence[bytes]) -> Answer:
        if (path := self._uploads.take(content, buffers)) is None:
            return None
        try:
            self.bench.open(*((None, path) if content.get("role") == "mask" else (path,)))
        except ReproduceError as error:
            self.bench.opened = without_inputs(path)
            self._tell("said", {"kind": "warning", "text": f"Its words and settings are on the bench, and what it shows: {error}"})
        self._lay(self.bench.opened)
        return None

    def _open_picture(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        self.bench.open(BenchPicture(required(self.bench.session, int(content["number"]))), as_pixels=bool(content.get("as_pixels")))
        self._lay(self.bench.opened)
        return None

    def _close(self, *_: Any) -> Answer:
        self.bench.open()
        self._lay(self.bench.opened)
        return None

    def _recall(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        self.bench.checkpoint = self.bench.open_earlier(int(content["number"]))
        self._lay(self.bench.opened)
        return None

    def _lay(self, opened: Opened) -> None:
        """Show something else; an earlier picture brings what was asked for it."""
        self._surface = Surface(opened)
        self._gate.lay(self._surface)
        self._tell_opened()
        self._gate.tell()
        self._gate.check()
        self._outline()

    def _tell_opened(self, to: str | None = None) -> None:
        self._tell("opened", self._surface.as_value(), self._surface.buffers, to=to)
        self._tell("strokes", {"keep": 0, "add": self._surface.strokes, "count": len(self._surface.strokes), "by": None}, to=to)

    def _strokes(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        if self._lays_what_a_cell_opened() or content.get("token", self._surface.token) != self._surface.token:
            return None  # it was painted on what lay here before
        had_mask = self._surface.has_mask
        try:
            self._surface.change(int(content["keep"]), content["add"])
            self.bench.opened = self._surface.opened
            if had_mask != self._surface.has_mask:  # another task may be meant
                self._gate.check()
            if self._quick.is_free:  # before what is small: of that the server sends a second piece only when the first has been heard
                self._outline()
            else:
                self._quick.put(self._outline, instead="outline")
        finally:  # a view that is out of step, or drew what is no stroke, is told what there is
            self._tell_strokes(content)
        self._check_apart(after_s=HAND_RESTS_S)
        return None

    def _check_apart(self, *, after_s: float = 0.0) -> None:
        """Ask the gate in a lane of its own, and outline what it says then: a knob may have been turned just before a stroke."""
        self._checks.put(lambda: (self._gate.check(), self._quick.put(self._outline, instead="outline")), instead="check", after_s=after_s)

    def _tell_strokes(self, content: Mapping[str, Any]) -> None:
        keep, add, count = int(content["keep"]), content["add"], len(self._surface.strokes)
        if keep + len(add) == count:
            self._tell("strokes", {"keep": keep, "add": add, "count": count, "by": content.get("view")})
        else:
            self._tell("strokes", {"keep": 0, "add": self._surface.strokes, "count": count, "by": None})

    def _outline(self) -> None:
        """Tell where the picture will be repainted, as far as the gate knows it."""
        ready, size = self._gate.planned, self._surface.size
        if ready is None or size is None:
            return
        found = outlines(TASKS[ready.edit.task], ready.edit.settings, size, self._surface.mask, ready.resolved.sizes)
        self._tell("outline", found.fields | {"token": self._surface.token, "strokes": len(self._surface.strokes)}, found.buffers)

    # --- what is asked -------------------------------------------------------------------------------------------------------------------------

    def _ask(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        if "keepSeed" in content:
            self._gate.keeps_seed = bool(content["keepSeed"])
        self._gate.change(content.get("changes", {}))
        self._gate.tell()
        self._check_apart()
        return None

    # --- making --------------------------------------------------------------------------------------------------------------------------------

    def _make(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        count = min(max(int(content.get("count", 1)), 1), MOST_AT_ONCE)
        if not self._gate.keeps_seed and not content.get("latest"):  # while a knob is turned, it alone changes
            self._gate.draw_seed()
            self._gate.tell()
        try:
            first = self._gate.plan()
            others = [self._gate.plan(seed=first.edit.seed + number) for number in range(1, count)]
        except LabError as error:
            self._gate.check()
            return {"refused": asking.problems_of(error)}  # which stands beside the knobs
        self._jobs.start([first, *others])
        return None

    def _cancel(self, *_: Any) -> Answer:
        self.bench.cancel()
        return None

    # --- what was made -------------------------------------------------------------------------------------------------------------------------

    def _tell_pictures(self, *, anew: bool = False) -> None:
        """Tell what is new of them, or all; what several lanes find comes in the order in which it was so."""
        with self._telling:
            if anew:
                self._news.forget()
            changed, gone = self._news.news()
            if changed or gone:
                self._tell("pictures", {"changed": changed, "gone": gone})
                self._tell("session", self._session())

    def _session(self) -> dict[str, Any]:
        session = self.bench.session
        place = {"folder": session.path.name, "path": str(session.path.absolute()), "home": str(Path.home())}
        place["notebook"] = os.environ.get("JPY_SESSION_NAME", "")  # which a server sets
        words = ("unit", "better", "sentence")
        metrics = [{"name": name, "telling": name in telling(), **{word: getattr(of, word) for word in words}} for name, of in METRICS.items()]
        return {"name": session.name, **place, "count": session.count, "metrics": metrics}

    def _bytes(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        self._tell("bytes", {"path": content["path"]}, [deeds.content_of(self.bench, content["path"])], to=content.get("view"))
        return None

    def _still(self, *_: Any) -> Answer:
        self._keep_still()
        return None

"""What the views of a bench share, and what they do: messages of a page come in, and what has changed goes out to all views."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, cast

from sdxl_lab.bench.bench import Bench
from sdxl_lab.bench.opened import Opened
from sdxl_lab.bench.pictures import BenchPicture, required
from sdxl_lab.bench.widget import asked as asking
from sdxl_lab.bench.widget import deeds
from sdxl_lab.bench.widget.jobs import Jobs, told
from sdxl_lab.bench.widget.knobs import for_page, from_page, knobs_of
from sdxl_lab.bench.widget.lanes import Lane
from sdxl_lab.bench.widget.news import News
from sdxl_lab.bench.widget.outlines import outlines
from sdxl_lab.bench.widget.surface import Surface
from sdxl_lab.bench.widget.uploads import Uploads
from sdxl_lab.bench.worker import import_all
from sdxl_lab.errors import LabError
from sdxl_lab.metrics import METRICS, telling
from sdxl_lab.runs.single import Planned
from sdxl_lab.tasks import TASKS

MOST_AT_ONCE = 16
"""Pictures of one Make."""

SEED_BITS = 32

PLAN_HOLDS_S = 1.0
"""How long what the gate said is taken for what it would say: files of a checkpoint may change."""

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
    found out in another; what takes its time has a third; and a cancel is done at once.

    Args:
        bench: That makes the pictures.
        send: Carries a message to all pages, from any thread.
        keep_still: Called when what a saved notebook shows is to be brought up to date.
    """

    def __init__(self, bench: Bench, send: Send, keep_still: Callable[[], None]) -> None:
        self.bench, self._send, self._keep_still = bench, send, keep_still
        self._quick, self._gate, self._slow = (Lane(f"sdxl_lab desk, {what}", self._failed) for what in ("quick", "gate", "slow"))
        self._surface, self._uploads = Surface(bench.opened), Uploads()
        self._asked: dict[str, Any] = asking.asked_of(bench.opened)
        self._keeps_seed = True
        self._planned: Planned | None = None
        self._planning, self._plan_of_late = Lock(), (None, 0.0, cast(Planned, None))
        self._checked: dict[str, Any] | None = None
        self._knobs: dict[str, Any] = {}
        self._jobs = Jobs(bench, self._tell, lambda: self._quick.put(self._tell_pictures, instead="pictures"))
        self._news = News(bench.session)
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
        self._actions = {name: (self._quick, does) for name, does in quick.items()} | {name: (self._slow, does) for name, does in slow.items()}

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
            self.bench.cancel()
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
        if self._surface.is_of(self.bench.opened):
            self._tell_pictures()
        else:
            self._lay(self.bench.opened)

    # --- what lies there -----------------------------------------------------------------------------------------------------------------------

    def _hello(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        """Everything, to a view that has just come."""
        view = content.get("view")
        self._tell("session", self._session(), to=view)
        self._tell_opened(view)
        self._tell("asked", self._asked_value(), to=view)
        self._tell("jobs", self._jobs.as_value(), to=view)
        self._news.forget()
        self._tell_pictures()
        self._knobs = {}
        self._know_knobs(self._task())
        import_all()  # so that the first picture does not wait for it
        self._check()
        self._tell("checked", self._checked, to=view)
        self._outline()
        return None

    def _open(self, content: Mapping[str, Any], buffers: Sequence[bytes]) -> Answer:
        if (path := self._uploads.take(content, buffers)) is None:
            return None
        is_mask = content.get("role") == "mask"
        self.bench.open(*((None, path) if is_mask else (path,)))
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
        if opened.task:
            self._asked = asking.asked_of(opened)
        self._tell_opened()
        self._tell("asked", self._asked_value())
        self._check()
        self._outline()

    def _tell_opened(self, to: str | None = None) -> None:
        self._tell("opened", self._surface.as_value(), self._surface.buffers, to=to)
        self._tell("strokes", {"keep": 0, "add": self._surface.strokes, "count": len(self._surface.strokes), "by": None}, to=to)

    def _strokes(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        if content.get("token", self._surface.token) != self._surface.token:
            return None  # it was painted on what lay here before
        had_mask = self._surface.has_mask
        try:
            self._surface.change(int(content["keep"]), content["add"])
        finally:  # a view that is out of step, or drew what is no stroke, is told what there is
            self._tell_strokes(content)
        self.bench.opened = self._surface.opened
        if had_mask != self._surface.has_mask:  # another task may be meant
            self._check()
        self._quick.put(self._outline, instead="outline")
        self._gate.put(self._check, instead="check", after_s=HAND_RESTS_S)
        return None

    def _tell_strokes(self, content: Mapping[str, Any]) -> None:
        keep, add, count = int(content["keep"]), content["add"], len(self._surface.strokes)
        if keep + len(add) == count:
            self._tell("strokes", {"keep": keep, "add": add, "count": count, "by": content.get("view")})
        else:
            self._tell("strokes", {"keep": 0, "add": self._surface.strokes, "count": count, "by": None})

    def _outline(self) -> None:
        """Tell where the picture will be repainted, as far as the gate knows it."""
        ready, size = self._planned, self._surface.size
        if ready is None or size is None:
            return
        edit = ready.edit
        found = outlines(TASKS[edit.task], edit.settings, size, self._surface.mask, _sizes_of(ready)[1])
        self._tell("outline", found.fields | {"token": self._surface.token, "strokes": len(self._surface.strokes)}, found.buffers)

    # --- what is asked -------------------------------------------------------------------------------------------------------------------------

    def _ask(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        changes = dict(content.get("changes", {}))
        if "keepSeed" in content:
            self._keeps_seed = bool(content["keepSeed"])
        if checkpoint := changes.pop("checkpoint", None):
            self.bench.checkpoint = str(checkpoint)
        taken = {path: value if value is None else from_page(path, value) for path, value in changes.items()}
        self._asked = {path: value for path, value in (self._asked | taken).items() if value is not None}
        self._tell("asked", self._asked_value(), by=content.get("view"))
        self._gate.put(lambda: (self._check(), self._quick.put(self._outline, instead="outline")), instead="check")
        return None

    def _asked_value(self) -> dict[str, Any]:
        asked = {path: for_page(value) for path, value in self._asked.items()}
        return {"asked": asked | {"checkpoint": self.bench.checkpoint}, "keepSeed": self._keeps_seed}

    @property
    def _on_bench(self) -> Opened:
        """What lies there, without what an earlier picture was asked, which is among what is asked now."""
        return replace(self._surface.opened, settings={}, words={}, task=None)

    def _task(self) -> str:
        return self._asked.get("task") or self._on_bench.task_for(asking.settings_in(self._asked, list(self._asked)))

    def _plan(self, seed: int | None = None) -> Planned:
        """What is asked, through the gate; once for a turned knob, which is both checked and made."""
        key = (repr(self._asked), self.bench.checkpoint, self._surface.token, self._surface.revision, seed)
        with self._planning:
            known, planned_at, ready = self._plan_of_late
            if known != key or time.monotonic() - planned_at > PLAN_HOLDS_S:
                ready = self._newly_planned(seed)
                self._plan_of_late = key, time.monotonic(), ready
            return ready

    def _newly_planned(self, seed: int | None) -> Planned:
        on_bench, task = self._on_bench, self._task()
        self._know_knobs(task)
        words = asking.words_in(self._asked)
        if words["prompt"] is None and on_bench.words_for(task)["prompt"] is None:
            words["prompt"] = ""
        if seed is not None:
            words["seed"] = seed
        settings = asking.settings_in(self._asked, [knob["path"] for knob in self._knobs["knobs"]])
        return self.bench.plan(on_bench, task, words, settings)

    def _know_knobs(self, task: str) -> None:
        known = self._planned and self._planned.resolved.spec
        identity = known.checkpoint if known and known.spec.checkpoint == self.bench.checkpoint else None
        knobs = {"task": task, "checkpoint": self.bench.checkpoint, "knobs": knobs_of(task, identity)}
        if knobs != self._knobs:
            self._knobs = knobs
            self._tell("knobs", knobs)

    def _check(self) -> None:
        """Ask the gate what it says of what is asked."""
        try:
            self._planned = self._plan()
        except LabError as error:
            checked = (self._checked or _NOTHING_CHECKED) | {"problems": asking.problems_of(error), "cautions": [], "remembered": None}
        else:
            self._know_knobs(self._planned.edit.task)  # whose defaults are the checkpoint's own
            checked = self._checked_of(self._planned)
        if checked != self._checked:
            self._checked = checked
            self._tell("checked", checked)

    def _checked_of(self, ready: Planned) -> dict[str, Any]:
        kept = self.bench.session.recalled(ready.resolved.spec.run_id)
        result, working = _sizes_of(ready)
        return {
            "task": ready.edit.task,
            "values": {path: for_page(value) for path, value in asking.values_of(ready).items()},
            "problems": [],
            "cautions": list(ready.cautions),
            "working": list(working),
            "result": list(result),
            "remembered": kept and kept.number,
        }

    # --- making --------------------------------------------------------------------------------------------------------------------------------

    def _make(self, content: Mapping[str, Any], _: Sequence[bytes]) -> Answer:
        count = min(max(int(content.get("count", 1)), 1), MOST_AT_ONCE)
        if not self._keeps_seed and not content.get("latest"):  # while a knob is turned, it alone changes
            self._asked["seed"] = random.getrandbits(SEED_BITS)
            self._tell("asked", self._asked_value())
        try:
            first = self._plan()
            others = [self._plan(seed=first.edit.seed + number) for number in range(1, count)]
        except LabError as error:
            self._check()
            return {"refused": asking.problems_of(error)}  # which stands beside the knobs
        self._jobs.start([first, *others])
        return None

    # --- what was made -------------------------------------------------------------------------------------------------------------------------

    def _tell_pictures(self) -> None:
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


def _sizes_of(ready: Planned) -> tuple[tuple[int, int], tuple[int, int]]:
    """(width, height) of the finished picture, and as the UNets see it."""
    from sdxl_lab.generation.regions import sizes_of  # imports torch

    return sizes_of(ready.edit, ready.resolved.dataset.sample(ready.edit.sample).size, ready.resolved.sizes)


_NOTHING_CHECKED: dict[str, Any] = {"task": None, "values": {}}

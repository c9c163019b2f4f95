"""What is asked of a bench by its knobs, and what the gate says of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import RLock
from typing import Any, cast

from sdxl_lab.bench.bench import Bench
from sdxl_lab.bench.opened import Opened
from sdxl_lab.bench.widget import asked as asking
from sdxl_lab.bench.widget.knobs import for_page, from_page, knobs_of
from sdxl_lab.bench.widget.surface import Surface
from sdxl_lab.errors import LabError
from sdxl_lab.runs.single import Planned
from sdxl_lab.spec.identities import CheckpointIdentity

SEED_BITS = 32

PLAN_HOLDS_S = 1.0
"""How long what the gate said is taken for what it would say: files of a checkpoint may change."""

NOTHING: dict[str, Any] = {"task": None, "values": {}}


class Gate:
    """What is asked, by dotted path, of a picture of what lies on a bench.

    Args:
        bench: That makes it, with its checkpoint.
        tell: Called with the name of an event and its value.
        surface: What lies there.

    Attributes:
        planned: What the gate let through last; None before anything.
        keeps_seed: Whether the next picture has the seed that is asked, and not one that is drawn.
    """

    def __init__(self, bench: Bench, tell: Callable[..., None], surface: Surface) -> None:
        self._bench, self._tell = bench, tell
        self.planned: Planned | None = None
        self._identified, self._identity = "", cast("CheckpointIdentity | None", None)
        self.keeps_seed = True
        self._asked: dict[str, Any] = {}
        self._knobs: dict[str, Any] = {}
        self._checked: dict[str, Any] | None = None
        self._told: dict[str, Any] | None = None
        self._planning = RLock()  # two lanes ask; what is told last has to be of what is asked last
        self._late: tuple[Any, float, Planned] | None = None
        self.lay(surface)

    def lay(self, surface: Surface) -> None:
        """Take something else to work on; an earlier picture brings what was asked for it."""
        self._surface = surface
        self.planned = None
        if surface.opened.task:
            self._asked = asking.asked_of(surface.opened)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Ask for something else.

        Args:
            changes: Dotted path to value, as pages have them; None takes it back.
        """
        taken = {path: value if value is None else from_page(path, value) for path, value in changes.items() if path != "checkpoint"}
        if checkpoint := changes.get("checkpoint"):
            self._bench.checkpoint = str(checkpoint)
        self._asked = {path: value for path, value in (self._asked | taken).items() if value is not None}

    def draw_seed(self) -> None:
        """Ask for the picture of a seed that nobody chose."""
        self.change({"seed": random.getrandbits(SEED_BITS)})

    def tell(self, *, to: str | None = None) -> None:
        """Tell what is asked.

        Args:
            to: The view that is told; None for all.
        """
        asked = {path: for_page(value) for path, value in self._asked.items()} | {"checkpoint": self._bench.checkpoint}
        self._told = {"asked": asked, "keepSeed": self.keeps_seed}
        self._tell("asked", self._told, to=to)

    def follow(self) -> bool:
        """Tell of a checkpoint that a cell has put on the bench.

        Returns:
            Whether there is another one.
        """
        is_other = self._told is not None and self._told["asked"]["checkpoint"] != self._bench.checkpoint
        if is_other:
            self.tell()
        return is_other

    def tell_knobs(self) -> None:
        """Tell which knobs there are, whoever knows it already."""
        with self._planning:
            self._knobs = {}
            self._know_knobs(self._task(self._asked, self._on_bench))

    def tell_checked(self, *, to: str | None) -> None:
        """Tell once more what the gate said last."""
        self._tell("checked", self._checked, to=to)

    def check(self) -> None:
        """Ask the gate, and tell what it says if that is news."""
        with self._planning:
            try:
                self.planned = self.plan()
                self._identified, self._identity = self.planned.resolved.spec.spec.checkpoint, self.planned.resolved.spec.checkpoint
            except LabError as error:
                checked = (self._checked or NOTHING) | {"problems": asking.problems_of(error), "cautions": [], "remembered": None}
            else:
                self._know_knobs(self.planned.edit.task)  # whose defaults are the checkpoint's own
                checked = self._said_of(self.planned)
            if checked != self._checked:
                self._checked = checked
                self._tell("checked", checked)

    def plan(self, seed: int | None = None) -> Planned:
        """Send through the gate what is asked; once, where a turned knob is both checked and made.

        Args:
            seed: Instead of the one that is asked.

        Raises:
            LabError: It cannot be made.
        """
        with self._planning:
            asked = self._asked  # which another lane may replace meanwhile
            key = (repr(asked), self._bench.checkpoint, self._surface.token, self._surface.revision, seed)
            if self._late is None or self._late[0] != key or time.monotonic() - self._late[1] > PLAN_HOLDS_S:
                self._late = key, time.monotonic(), self._newly_planned(asked, self._on_bench, seed)
            return self._late[2]

    def _newly_planned(self, asked: Mapping[str, Any], on_bench: Opened, seed: int | None) -> Planned:
        task = self._task(asked, on_bench)
        self._know_knobs(task)
        words = asking.words_in(asked)
        if words["prompt"] is None and on_bench.words_for(task)["prompt"] is None:
            words["prompt"] = ""
        if seed is not None:
            words["seed"] = seed
        settings = asking.settings_in(asked, [knob["path"] for knob in self._knobs["knobs"]])
        return self._bench.plan(on_bench, task, words, settings)

    @property
    def _on_bench(self) -> Opened:
        """What lies there, without what an earlier picture was asked, which is among what is asked now."""
        return replace(self._surface.opened, settings={}, words={}, task=None)

    def _task(self, asked: Mapping[str, Any], on_bench: Opened) -> str:
        return asked.get("task") or on_bench.task_for(asking.settings_in(asked, list(asked)))

    def _know_knobs(self, task: str) -> None:
        identity = self._identity if self._identified == self._bench.checkpoint else None
        knobs = {"task": task, "checkpoint": self._bench.checkpoint, "knobs": knobs_of(task, identity)}
        if knobs != self._knobs:
            self._knobs = knobs
            self._tell("knobs", knobs)

    def _said_of(self, ready: Planned) -> dict[str, Any]:
        kept = self._bench.session.made_by(ready.resolved.spec.run_id)
        result, working = asking.sizes_of(ready)
        return {
            "task": ready.edit.task,
            "values": {path: for_page(value) for path, value in asking.values_of(ready).items()},
            "problems": [],
            "cautions": list(ready.cautions),
            "working": list(working),
            "result": list(result),
            "remembered": kept and kept.number,
        }

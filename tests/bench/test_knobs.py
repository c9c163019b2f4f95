from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from sdxl_lab import families
from sdxl_lab.bench.widget.knobs import for_page, from_page, knobs_of
from sdxl_lab.settings.choices import OneOf
from sdxl_lab.settings.hyperparams import flatten
from sdxl_lab.settings.knobs import Knob
from sdxl_lab.settings.sections import PromptAndSeed, Settings
from sdxl_lab.spec.hyperparameters import CommonHyperparameters
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tasks import TASKS, Task

BESIDE = ("checkpoint", "task")
POCKET = CheckpointIdentity(name="pocket", digest="0" * 64, family="pocket")
TURBO = CheckpointIdentity(name="stabilityai/sdxl-turbo", digest="0" * 64, family="custom")
BEYOND = {"integer": (0.5, "much"), "number": ("much",), "choice": ("no such choice", 3), "flag": ("no such choice",), "pair": ([1], 1), "text": (3,)}
"""By the kind of a knob: what none of it is."""

NEEDED = {
    "size.width": {"size": {"height": 64}},
    "size.height": {"size": {"width": 64}},
    "mode": {"canvas": {"left_px": 8}},
    "canvas.left_px": {"mode": "canvas", "canvas": {"right_px": 8}},
    "canvas.right_px": {"mode": "canvas", "canvas": {"left_px": 8}},
    "canvas.top_px": {"mode": "canvas", "canvas": {"left_px": 8}},
    "canvas.bottom_px": {"mode": "canvas", "canvas": {"left_px": 8}},
}
"""What a setting is allowed beside, where it is refused alone."""


def settings(task: str, identity: CheckpointIdentity | None = POCKET) -> list[dict[str, Any]]:
    """The knobs of a task but for those that are no settings."""
    return [knob for knob in knobs_of(task, identity) if knob["path"] not in BESIDE]


def gate(task: str, path: str, value: Any) -> None:
    """Ask a run of one task for one setting, with what has to stand beside it, as people write parameters."""
    section, _, key = path.rpartition(".")
    nested: dict[str, Any] = {section: {key: value}} if section else {key: value}
    for name, beside in NEEDED.get(path, {}).items() if value not in ("background", None) else ():
        nested[name] = {**beside, **nested.get(name, {})} if isinstance(beside, dict) else beside
    alike = {name: nested.pop(name) for name in ("compute", "image") if name in nested and name not in TASKS[task].refusals}
    hyperparameters = {**alike, task: {"prompt": "a star"} | nested}
    RunSpec.from_parameters(name="knobs", dataset="pocket-scenes", checkpoint="pocket", tasks=[task], hyperparameters=hyperparameters, tracking="off")


def is_taken(task: str, path: str, value: Any) -> bool:
    """Whether the gate lets a value pass."""
    try:
        gate(task, path, value)
    except SpecError:
        return False
    return True


@pytest.mark.parametrize("task", TASKS)
def test_each_setting_that_the_gate_takes_for_one_picture_has_one_knob(task: str) -> None:
    """What the gate takes for a task, of all that parameters may say of any, is what the knobs turn, each once; not seeds and replaced words."""
    every = flatten(CommonHyperparameters().model_dump()) | {
        key: value for each in TASKS.values() for key, value in flatten(each.takes().model_dump()).items()
    }
    taken = {path for path, value in every.items() if is_taken(task, path, value)}
    paths = [knob["path"] for knob in settings(task)]
    assert sorted(paths) == sorted(taken - {"seeds", "prompt_replace", "negative_prompt_replace"})


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("identity", [POCKET, TURBO, None], ids=["pocket", "turbo", "unknown"])
def test_what_a_knob_has_where_nobody_asks_may_be_asked_for(task: str, identity: CheckpointIdentity | None) -> None:
    """Every default passes the gate when it is asked for by itself."""
    for knob in settings(task, identity):
        assert knob["default"] is not None or knob["optional"], knob["path"]
        gate(task, knob["path"], knob["default"])


@pytest.mark.parametrize("task", TASKS)
def test_what_a_knob_offers_is_allowed(task: str) -> None:
    """The gate takes every choice, both ends of every slider and the positions next to them."""
    for knob in settings(task):
        offered = []
        if knob["soft"]:
            (low, high), step = knob["soft"], knob["step"]
            assert low + step <= high - step
            offered = [low, low + step, high - step, high]
        for value in (knob["choices"] or []) + offered:
            assert is_taken(task, knob["path"], value), (knob["path"], value)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_beyond_a_knob_is_refused(task: str) -> None:
    """The gate refuses what lies beyond a knob's limits, what is no choice of it or of another kind, and an even number where it says odd."""
    for knob in settings(task):
        low, high, is_pair = knob["minimum"], knob["maximum"], knob["kind"] == "pair"
        beyond = list(BEYOND.get(knob["kind"], ()))
        beyond += [] if low is None else [[low - 1, low]] if is_pair else [low - 1]
        beyond += [] if high is None or is_pair else [high + 1]
        beyond += [low + 1] if low is not None and knob["odd"] else []
        for value in beyond:
            assert not is_taken(task, knob["path"], value), (knob["path"], value)


@pytest.mark.parametrize("task", TASKS)
def test_knobs_are_plain_and_say_what_they_are(task: str) -> None:
    """They pass through JSON as they are, with a label, what is allowed, and what their class says of them."""
    knobs = knobs_of(task, POCKET)
    assert json.loads(json.dumps(knobs)) == knobs
    assert [knob["path"] for knob in knobs if not (knob["label"] and knob["allowed"] and knob["help"])] == []
    labels = [(knob["label"], knob["shown"] or knob["section"]) for knob in knobs]
    assert len(set(labels)) == len(labels)


def test_each_mark_says_something_of_its_setting() -> None:
    """A slider is said of numbers alone, names of parts of pairs, suggestions of texts: else the mark is on the wrong setting."""
    for section in [field.annotation for field in CommonHyperparameters.model_fields.values() if isinstance(field.get_default(), Settings)]:
        knobs = {knob["path"].rpartition(".")[2]: knob for knob in settings("outpaint")}
        for name, field in section.model_fields.items():  # pyright: ignore[reportOptionalMemberAccess]
            for mark in (each for each in field.metadata if isinstance(each, Knob) and name in knobs):
                kind = knobs[name]["kind"]
                assert kind in ("integer", "number") or not (mark.soft or mark.step), name
                assert kind == "pair" or not mark.parts, name
                assert kind == "text" or not mark.suggested, name


def test_what_suits_a_checkpoint_is_what_its_knobs_begin_with() -> None:
    """A checkpoint that was distilled to few steps begins with fewer, and pocket with its own number."""
    steps = {identity.name: knob["default"] for identity in (POCKET, TURBO) for knob in settings("inpaint", identity) if knob["label"] == "Steps"}
    assert steps["pocket"] == families.FAMILIES["pocket"].num_inference_steps
    assert steps[TURBO.name] < steps["pocket"]


def test_how_steps_are_spread_is_a_switch_and_a_choice() -> None:
    """Karras' schedule is on or off, and a spacing is one of three or the checkpoint's own; Turbo's knobs begin with its own spacing and sampler."""
    of_pocket, of_turbo = ({knob["path"]: knob for knob in settings("inpaint", identity)} for identity in (POCKET, TURBO))
    spacing = of_pocket["denoising.timestep_spacing"]
    assert (of_pocket["denoising.karras"]["kind"], of_pocket["denoising.karras"]["default"]) == ("flag", False)
    assert (spacing["kind"], spacing["choices"], spacing["default"]) == ("choice", ["leading", "linspace", "trailing"], None)
    begins = {path: of_turbo[path]["default"] for path in ("denoising.scheduler", "denoising.timestep_spacing")}
    assert begins == {"denoising.scheduler": "euler_a", "denoising.timestep_spacing": "trailing"}


def test_what_a_family_lacks_has_no_knob() -> None:
    """Of a checkpoint without refiner and sizes there is no knob for either; all others are there, with the family's own steps."""
    sd = CheckpointIdentity(name="sd15", digest="0" * 64, family="sd")
    ours, theirs = ({knob["path"]: knob for knob in settings("inpaint", identity)} for identity in (sd, POCKET))
    gone = theirs.keys() - ours.keys()
    assert {path.partition(".")[0] for path in gone} == {"denoising", "refiner", "conditioning", "compute"}
    assert {path for path in gone if path.startswith(("denoising", "compute"))} == {
        "denoising.high_noise_frac",
        "denoising.handover",
        "compute.vae",
    }
    assert not ours.keys() - theirs.keys()
    assert ours["denoising.num_inference_steps"]["default"] == families.FAMILIES["sd"].num_inference_steps


class Glaze(Settings):
    """How it is glazed.

    Attributes:
        thickness_px: Of the glaze; likewise `depth`.
        kiln: Which of them.
        coats: How many, and what
            is more.
    """

    thickness_px: Annotated[int, Field(strict=True, gt=0, lt=100)] = Field(default=3, description="a whole number of pixels from 1 to 99")
    depth: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = Field(default="auto", description="a number between 0 and 1, or auto")
    kiln: Annotated[str, OneOf(table={"gas": 1, "wood": 2})] = "gas"
    is_matt: bool | None = Field(default=None, description="yes or no")
    coats: list[str] = Field(default_factory=list, description="a list of texts")
    corners: tuple[float, float] = (0.5, 0.5)
    note: str = ""


class GlazingHyperparameters(PromptAndSeed):
    """What it may be told."""

    glaze: Glaze = Glaze()


def test_a_setting_of_tomorrow_has_a_knob(monkeypatch: pytest.MonkeyPatch) -> None:
    """A section that a new task brings is there at once, each setting with its kind, range, choices and words, without a mark or a line elsewhere."""
    monkeypatch.setitem(TASKS, "glaze", Task(name="glaze", takes=GlazingHyperparameters, needs=lambda _: ("image",)))
    knobs = {knob["path"].removeprefix("glaze."): knob for knob in settings("glaze") if knob["section"] == "glaze"}
    kinds = {"thickness_px": "integer", "depth": "number", "kiln": "choice", "is_matt": "flag", "coats": "other", "corners": "pair", "note": "text"}
    assert {path: knob["kind"] for path, knob in knobs.items()} == kinds
    thickness, depth = knobs["thickness_px"], knobs["depth"]
    assert (thickness["label"], thickness["unit"], thickness["soft"], thickness["help"]) == (
        "Thickness",
        "px",
        [1, 99],
        "Of the glaze; likewise depth.",
    )
    assert (depth["soft"], depth["step"], depth["choices"], depth["default"]) == ([0.01, 0.99], 0.01, ["auto"], "auto")
    assert depth["help"] == thickness["help"]
    assert depth["allowed"] == "a number between 0 and 1, or auto"
    assert (knobs["kiln"]["choices"], knobs["kiln"]["allowed"]) == (["gas", "wood"], "one of gas, wood")
    assert knobs["coats"]["help"] == "How many, and what is more."
    assert [path for path, knob in knobs.items() if knob["optional"]] == ["is_matt"]
    assert not any(knob["shown"] for knob in knobs.values())


def test_what_tables_hold_is_offered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task and the name of a checkpoint that are registered later are among the choices, though the models were looked at before."""
    before = {knob["path"]: knob["choices"] for knob in knobs_of("inpaint", POCKET)}
    monkeypatch.setitem(TASKS, "glaze", Task(name="glaze", takes=GlazingHyperparameters, needs=lambda _: ("image",)))
    monkeypatch.setitem(
        families.FAMILIES,
        "kiln",
        families.Family(
            pipelines={}, sizes=lambda *_: families.Sizes(area=1, max_area=1, multiple=8), names={"raku": families.Published(base="a/b")}
        ),
    )
    after = {knob["path"]: knob["choices"] for knob in knobs_of("inpaint", POCKET)}
    assert after["task"] == [*before["task"], "glaze"]
    assert set(after["checkpoint"]) == {*before["checkpoint"], "raku"}


@pytest.mark.parametrize("seed", [0, 7, -(2**63), 2**53, 2**64 - 1])
def test_a_seed_comes_back_from_a_page_as_it_went_there(seed: int) -> None:
    """Through a page's numbers, which are floats of 64 bits, every seed that is allowed stays what it is; a prompt of digits stays a text."""
    sent = json.loads(json.dumps(for_page(seed)), parse_int=lambda digits: int(float(digits)))
    assert from_page("seed", sent) == seed
    assert from_page("prompt", str(seed)) == str(seed)

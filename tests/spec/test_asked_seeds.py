"""Several seeds asked for at once: what is allowed, what they stand for, and who wins."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from sdxl_lab.settings import arguments
from sdxl_lab.spec.asked_again import as_parameters
from sdxl_lab.spec.parameters import takes_text
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.specs import WORDS, make_spec, plan, resolved_of


def seeds_of(hyperparameters: dict[str, Any], task: str = "inpaint") -> list[int]:
    """
    The seeds of one sample's pictures, in order; the dataset's own is -732.
    """
    return [edit.seed for edit in plan(make_spec(hyperparameters), samples=("star",)) if edit.task == task]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([7], [7]),
        ([3, -1, 2**64 - 1, -(2**63)], [3, -1, 2**64 - 1, -(2**63)]),
        ("1-4", [1, 2, 3, 4]),
        ("40-10 (10)", [40, 30, 20, 10]),
        ("1-9 [3]", [1, 5, 9]),
        ("random(4)", [527, 540, 55, -335]),
        ("random(4, 7)", [78, -463, 522, 985]),
        (list(range(100)), list(range(100))),
        (None, [-732]),
    ],
)
def test_seeds_are_a_list_or_what_sweeps_write(asked, expected):
    """
    A list, a range and random seeds stand for the same numbers as in a sweep, in the order in which they are asked for.
    """
    assert seeds_of({"seeds": asked}) == expected


@pytest.mark.parametrize(
    "asked",
    [
        [], [1, 2, 1], [1.0], [1.5], [True], [2**64], [-(2**63) - 1], ["1-4"], [[1]], [None], 7, 7.0, True, {"a": 1}, "", "7", "x", "[1, 2]",
        "random(0)", "random(101)", "1-101", "1-9 (0)", "1-3 [5]", "0.5-2", "1-", list(range(101)), f"{2**64 - 1}-{2**64}",
    ],
    ids=lambda asked: str(asked)[:20],
)  # fmt: skip
def test_what_are_no_seeds_is_one_clear_error(asked):
    """
    No seeds, doubled ones, too many, and what is no seed are refused in one line, with what was got, what is allowed and what to do.
    """
    with pytest.raises(SpecError) as caught:
        make_spec({"inpaint": {"seeds": asked}})
    [line] = caught.value.problems
    got, _, advice = line.partition("; allowed is a list of 1 to 100 different seeds, each a whole number from -2**63 to 2**64 - 1")
    assert got.startswith(f"hyperparameters.inpaint.seeds: got {repr(asked)[:70]}")
    assert len(advice.partition("picture. ")[2]) > 10


def test_seed_and_seeds_on_one_level_contradict_each_other():
    """
    Given together for all tasks or for one they are refused, unless one of them is None.
    """
    for level in (lambda both: both, lambda both: {"outpaint": both}):
        with pytest.raises(SpecError, match=r"1 problem .*\n.*seeds: got seeds beside hyperparameters\.(outpaint\.)?seed; allowed is one of the two"):
            make_spec(level({"seed": 1, "seeds": [1, 2]}))
        make_spec(level({"seed": None, "seeds": [1, 2]}))
        make_spec(level({"seed": 1, "seeds": None}))


def test_a_tasks_own_replaces_what_is_common():
    """
    Of seed and seeds, what a task has of its own counts, whichever of them is given for all; None has none, and the dataset's own seed comes last.
    """
    assert seeds_of({"seed": 1, "inpaint": {"seeds": [2, 3]}}) == [2, 3]
    assert seeds_of({"seeds": [2, 3], "inpaint": {"seed": 1}}) == [1]
    assert seeds_of({"seeds": [2, 3], "inpaint": {"seed": 1}}, "outpaint") == [2, 3]
    assert seeds_of({"seeds": [2, 3], "inpaint": {"seed": None, "seeds": None}}) == [2, 3]
    assert seeds_of({"outpaint": {"seeds": [2, 3]}}) == [WORDS["seed"]]


def test_what_was_asked_is_kept_as_it_was_asked():
    """
    A spec holds a range as a range; the pictures hold its numbers, and both survive JSON.
    """
    spec = make_spec({"seeds": "random(3)", "outpaint": {"seeds": [4, 5]}})
    assert spec.hyperparameters == {"seeds": "random(3)", "outpaint": {"seeds": [4, 5]}}
    resolved = resolved_of(spec, plan(spec))
    again = ResolvedSpec.from_json(resolved.to_json())
    assert again == resolved
    assert json.loads(resolved.to_json())["spec"]["hyperparameters"]["seeds"] == "random(3)"
    assert RunSpec.from_parameters(**again.spec.model_dump()) == spec


def test_seeds_differ_from_each_other_in_nothing_but_the_seed():
    """
    Each picture is the edit that its seed alone plans, and the run's id does not depend on how or in which order they were asked for.
    """
    several = plan(make_spec({"seeds": [3, 1, 2]}))
    alone = [plan(make_spec({"seed": seed})) for seed in (3, 1, 2)]
    assert sorted(several, key=lambda edit: edit.key) == sorted((edit for edits in alone for edit in edits), key=lambda edit: edit.key)
    ids = {resolved_of(spec, plan(spec)).run_id for spec in (make_spec({"seeds": asked}) for asked in ([3, 1, 2], [1, 2, 3], "1-3"))}
    assert len(ids) == 1


def test_a_picture_continues_with_its_own_seed():
    """
    The parameters of one of several pictures plan exactly that one: they have its seed, and no seeds.
    """
    spec = make_spec({"seeds": "1-3", "inpaint": {"seeds": [8, 9]}})
    resolved = resolved_of(spec, plan(spec))
    for edit in resolved.edits:
        parameters = yaml.safe_load(yaml.safe_dump(as_parameters(edit, resolved)))
        assert plan(RunSpec.from_parameters(**parameters)) == (edit,)
        assert parameters["hyperparameters"] == {"prompt": edit.prompt, "seed": edit.seed}


def test_the_command_line_reads_seeds_as_yaml():
    """
    After -p a list is a list, and a range or random seeds are the text that they are.
    """
    for text, expected in (("[1, 2]", [1, 2]), ("1-4", "1-4"), ("1-9 [3]", "1-9 [3]"), ("random(4, 7)", "random(4, 7)")):
        given = arguments.laid_over({}, values=[("hyperparameters.seeds", text)], takes_text=lambda path: takes_text(path, RunSpec))
        assert given == {"hyperparameters": {"seeds": expected}}
        make_spec(**given)


def test_the_first_of_several_has_the_plain_name():
    """
    The places of pictures among those of their sample and task are counted from 0, and only the further ones show their seed.
    """
    spec = make_spec({"seeds": [7, -1]})
    resolved = resolved_of(spec, plan(spec))
    assert [resolved.ordinals[edit.key] for edit in resolved.edits] == [0, 1] * 4
    assert [resolved.title(edit) for edit in resolved.edits][:4] == ["star inpaint", "star inpaint s-1", "star outpaint", "star outpaint s-1"]
    turned = resolved.model_copy(update={"edits": resolved.edits[::-1]})
    assert turned.ordinals[resolved.edits[0].key] == 1

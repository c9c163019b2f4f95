from __future__ import annotations

import json
from copy import deepcopy
from types import MappingProxyType
from typing import Any

import pytest

from sdxl_lab.settings.hyperparams import ABSENT, HyperparameterError, closest, difference, flatten, get, merge, replace, shortest, unknown_key

NESTED: list[dict[str, Any]] = [
    {},
    {"a": 1},
    {"a": {}},
    {"a": {"b": {"c": None}}, "d": [1, {"e": 2}]},
    {"denoising": {"num_inference_steps": 70, "scheduler": "heun"}, "outpaint": {"denoising": {"guidance_scale": 9.0}, "mode": "canvas"}},
    {"conditioning": {"original_size": [1, 2], "target_size": None}, "seed": -732},
]
PAIRS = [(left, right) for left in NESTED for right in NESTED]


def same(left: Any, right: Any) -> bool:
    """Equality by text, an order of keys included, that knows nothing of the room."""
    return json.dumps(left) == json.dumps(right)


@pytest.mark.parametrize("nested", NESTED)
def test_merging_with_nothing_changes_nothing(nested):
    """
    The empty dictionary is neutral on both sides of a merge.
    """
    assert same(merge(nested, {}), nested)
    assert same(merge({}, nested), nested)
    assert same(merge(nested, nested), nested)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_a_merge_holds_every_leaf_of_the_overrides(left, right):
    """
    Each leaf of the overrides is in the merge, and each other leaf of the merge is the base's.
    """
    merged = merge(left, right)
    leaves, below, above = flatten(merged), flatten(left), flatten(right)
    for path, leaf in leaves.items():
        assert leaf == above.get(path, below.get(path))
    for path, leaf in above.items():
        if leaf != {}:
            assert get(merged, path) == leaf


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_merging_three_layers_can_be_grouped_either_way(left, right):
    """
    Merging is associative between layers that agree on which keys hold dictionaries, so defaults can be prepared ahead.
    """
    for middle in NESTED:
        if {"a": 1} in (left, middle, right):
            continue
        assert merge(merge(left, middle), right) == merge(left, merge(middle, right))


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_nothing_given_is_changed_or_shared(left, right):
    """
    A result shares no dictionary and no list with what it was made of.
    """
    before = deepcopy((left, right))
    merged = merge(left, right)
    flattened = flatten(merged)
    for leaf in [*merged.values(), *flattened.values()]:
        if isinstance(leaf, dict):
            leaf["spoiled"] = True
        if isinstance(leaf, list):
            leaf.append("spoiled")
    assert (left, right) == before


def test_a_leaf_replaces_a_dictionary_and_none_is_a_leaf():
    """
    Only a dictionary over a dictionary is merged; None overrides like any value.
    """
    assert merge({"a": {"b": 1}}, {"a": 2}) == {"a": 2}
    assert merge({"a": 2}, {"a": {"b": 1}}) == {"a": {"b": 1}}
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}) == {"a": {"b": None, "c": 2}}
    assert merge({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}


def test_any_mapping_is_read_as_a_dictionary():
    """
    Read-only mappings merge, flatten and replace as dictionaries do.
    """
    frozen = MappingProxyType({"a": MappingProxyType({"b": 1})})
    assert merge(frozen, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert flatten(frozen) == {"a.b": 1}
    assert replace(frozen, "a.b", 2) == {"a": {"b": 2}}


@pytest.mark.parametrize("nested", NESTED)
def test_flattening_loses_nothing(nested):
    """
    Replacing each flattened path in turn builds the nested dictionary again.
    """
    built: dict[str, Any] = {}
    for path, leaf in flatten(nested).items():
        assert get(nested, path) == leaf
        built = replace(built, path, leaf)
    assert same(built, nested)


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_a_difference_is_empty_only_between_equals(left, right):
    """
    A difference tells equal from unequal, swaps with its sides, and is what to replace to get from one to the other.
    """
    found = difference(left, right)
    assert (found == {}) == (left == right)
    assert difference(right, left) == {path: (theirs, ours) for path, (ours, theirs) in found.items()}
    for path, (ours, theirs) in found.items():
        assert flatten(left).get(path, ABSENT) == ours
        assert flatten(right).get(path, ABSENT) == theirs


def test_a_difference_sees_values_as_json_does():
    """
    True is not 1, while 7 is 7.0 and a tuple is a list.
    """
    assert difference({"a": 7, "b": (1, 2)}, {"a": 7.0, "b": [1, 2]}) == {}
    assert set(difference({"a": True, "b": (True,), "c": None}, {"a": 1, "b": [1]})) == {"a", "b", "c"}
    assert difference({"c": None}, {}) == {"c": (None, ABSENT)}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: get({"denoising": {"strength": 1, "scheduler": 2}}, "denoising.strenght"),
            ["denoising.strenght", "strength, scheduler", "mean strength"],
        ),
        (lambda: get({"a": 1}, "a.b"), ["a is 1", "end the path there"]),
        (lambda: get({}, "a"), ["a: unknown key", "(none)"]),
        (lambda: get({"a": 1}, "a..b"), ["'a..b'", "single dots"]),
        (lambda: get({"a": 1}, ""), ["''", "single dots"]),
        (lambda: replace({"a": 1}, "a.b", 2), ["a.b", "1 is in the way"]),
        (lambda: replace({"a": 1}, ".b", 2), ["'.b'"]),
        (lambda: flatten({"a.b": 1}), ["'a.b'", "rename it"]),
        (lambda: flatten({"a": {1: 2}}), ["1", "texts without dots"]),
        (lambda: flatten({"": 1}), ["''"]),
    ],
)
def test_a_path_that_leads_nowhere_is_explained(call, words):
    """
    An error about a path says what was got and what would have been found there.
    """
    with pytest.raises(HyperparameterError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_the_closest_word_is_offered_only_if_it_resembles():
    """
    A typing slip is corrected, capitals ignored, and a strange word is not guessed at.
    """
    assert closest("Guidance_Scal", ["guidance_scale", "strength"]) == "guidance_scale"
    assert closest("zzz", ["guidance_scale", "strength"]) is None
    assert unknown_key("a.zzz", ["strength"]).endswith("valid here are strength")


def test_a_first_part_means_the_whole_word():
    """
    Who writes the first part of a word means it, whatever else is more like it by letters; a part of a part means nothing more.
    """
    metrics = ["lpips", "clip_directional", "clip_score", "dino_inside"]
    assert closest("clip", metrics) == "clip_score"
    assert closest("DINO", metrics) == "dino_inside"
    assert closest("clips", metrics) == "lpips"
    assert closest("lpips", metrics) == "lpips"


def test_the_shortest_name_is_nobody_elses_end():
    """
    A path is named by as few of its last keys as no other path ends with, and by all of them if need be.
    """
    paths = ["seed", "inpaint.seed", "denoising.steps", "refiner.steps"]
    assert [shortest(path, paths) for path in paths] == ["seed", "inpaint.seed", "denoising.steps", "refiner.steps"]
    assert shortest("denoising.guidance_scale", [*paths, "denoising.guidance_scale"]) == "guidance_scale"

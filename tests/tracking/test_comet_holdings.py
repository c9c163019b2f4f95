"""What an experiment lacks: a comparison of plain values, without Comet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.tracking.experiment import NAME_LIMIT, File, Projection, short_name
from sdxl_lab.tracking.holdings import Held, Holdings, lacking


@pytest.fixture
def picture(tmp_path: Path) -> File:
    """A file of ten bytes."""
    path = tmp_path / "picture.png"
    path.write_bytes(b"0123456789")
    return File(name="inpaint", step=1, path=path, sha256="a" * 64)


@pytest.fixture
def wanted(picture: File) -> Projection:
    """An experiment with one of everything."""
    return Projection(
        key="0" * 32,
        name="run",
        tags=("demo",),
        parameters={"seed": -7},
        others={"dataset": "d"},
        metrics={("m", 1): 0.1},
        images=(picture,),
        assets=(),
    )


def held(file: File, **changes: Any) -> Held:
    """The file as Comet lists it."""
    return replace(Held(id="one", kind="image", name=file.name, step=file.step, size_bytes=10, sha256=file.sha256), **changes)


@pytest.fixture
def complete(picture: File) -> Holdings:
    """An experiment that lacks nothing."""
    others = {"Name": "run", "dataset": "d"}
    return Holdings(tags=frozenset({"demo", "mine"}), parameters={"seed": "-7"}, others=others, metrics={("m", 1): [0.1]}, files=(held(picture),))


def test_an_empty_experiment_lacks_everything(wanted, picture):
    """
    Against nothing the difference is the projection itself, its name as an other.
    """
    difference = lacking(wanted, Holdings())
    assert (difference.images, difference.tags, difference.metrics) == ((picture,), ("demo",), {("m", 1): 0.1})
    assert difference.others == {"Name": "run", "dataset": "d"}
    assert len(difference) == 6


def test_what_is_there_is_not_sent_again(wanted, complete):
    """
    Against an experiment that holds it all, with things of others besides, there is nothing to do.
    """
    assert len(lacking(wanted, complete)) == 0


@pytest.mark.parametrize("changes", [{"sha256": "b" * 64}, {"size_bytes": 9}, {"step": 2}, {"step": None}, {"name": "outpaint"}, {"kind": "asset"}])
def test_a_file_is_known_by_name_step_and_content(wanted, complete, picture, changes):
    """
    A file in another place, or with other bytes, does not count as the one that is wanted, and is not deleted for it either.
    """
    difference = lacking(wanted, replace(complete, files=(held(picture, **changes),)))
    assert difference.images == (picture,)
    assert difference.surplus == ()


def test_what_was_replaced_is_deleted_once_the_new_is_there(wanted, complete, picture):
    """
    An earlier version and a second copy go; a file that somebody else put in the same place stays.
    """
    files = (
        held(picture),
        held(picture, id="twice"),
        held(picture, id="old", sha256="b" * 64),
        held(picture, id="other's", sha256=None, size_bytes=3),
    )
    difference = lacking(wanted, replace(complete, files=files))
    assert difference.images == ()
    assert difference.surplus == ("twice", "old")


def test_a_file_with_other_things_said_of_it_is_sent_again(wanted, complete, picture):
    """
    Where what is said of a file may change, a copy with an earlier digest of it is replaced, and one that tells no digest at all counts as it.
    """
    said = replace(picture, metadata={"metadata_sha256": "n" * 64})
    wanted = replace(wanted, images=(said,))
    assert lacking(wanted, complete).images == (said,)
    old, new = held(picture, id="old", metadata_sha256="o" * 64), held(picture, id="new", metadata_sha256="n" * 64)
    assert lacking(wanted, replace(complete, files=(old,))).images == (said,)
    both = lacking(wanted, replace(complete, files=(old, new)))
    assert (both.images, both.surplus) == ((), ("old",))
    assert not lacking(wanted, replace(complete, files=(held(picture, sha256=None),))).images


def test_a_place_that_the_record_left_is_emptied(wanted, complete, picture):
    """
    In a place that is the record's and holds nothing any more, what the lab sent is deleted, what others put there stays, as do other places.
    """
    files = (
        *(held(picture), held(picture, id="gone", step=2), held(picture, id="asset", kind="asset", step=2)),
        *(held(picture, id="other's", step=2, sha256=None), held(picture, id="elsewhere", step=3)),
    )
    difference = lacking(replace(wanted, places=frozenset({("inpaint", 1), ("inpaint", 2)})), replace(complete, files=files))
    assert (difference.images, difference.surplus) == ((), ("gone",))


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (None, ["null", "None"]),
        (True, ["true", "True"]),
        (7.5, ["7.5", "7.50"]),
        (2, ["2", "2.0"]),
        (2**63, [str(2**63)]),
        ([64, 48], ["[64, 48]", "[64,48]"]),
        ("a “b”", ["a “b”", '"a \\u201cb\\u201d"']),
        ("", [""]),
    ],
)
def test_values_are_recognized_in_the_forms_servers_give_them(value, texts, wanted, complete):
    """
    A parameter that was read back counts as sent, in each way servers write its type, and any other text does not.
    """
    for text in texts:
        assert not lacking(replace(wanted, parameters={"seed": value}), replace(complete, parameters={"seed": text})).parameters
    assert lacking(replace(wanted, parameters={"seed": value}), replace(complete, parameters={"seed": "other"})).parameters


def test_a_point_is_sent_unless_its_value_is_there(wanted, complete):
    """
    Of a metric, each step has its own value, to nine digits.
    """
    assert not lacking(wanted, replace(complete, metrics={("m", 1): [5.0, 0.10000000000001]})).metrics
    assert lacking(wanted, replace(complete, metrics={("m", 1): [0.1001]})).metrics
    assert lacking(wanted, replace(complete, metrics={("m", 0): [0.1]})).metrics


def test_short_names_stay_different():
    """
    Names that Comet would cut to the same 100 characters stay different, and short ones stay as they are.
    """
    names = [short_name("x" * NAME_LIMIT + end) for end in ("", "a", "b", "ab")]
    assert len(set(names)) == 4
    assert all(len(name) <= NAME_LIMIT for name in names)
    assert names[0] == "x" * NAME_LIMIT

"""What is watched in a process, told apart by numbers that stand for the weights of a model."""

from __future__ import annotations

import gc
import weakref

from sdxl_lab.process.unchanged import Watch


class Model:
    """
    Something that can change.
    """

    weight = 1


def weight_of(model: Model) -> int:
    """
    What tells two states apart.
    """
    return model.weight


def test_a_change_is_named():
    """
    A thing is compared with what it was when the watch began, and one that came later with what it was when it came.
    """
    watch, early, late = Watch(), Model(), Model()
    watch.add("the early one", early, weight_of)
    early.weight = 2
    watch.begin()
    watch.add("the late one", late, weight_of)
    assert watch.changed() == ""
    late.weight = 2
    assert watch.changed() == "the late one"
    late.weight, early.weight = 1, 3
    assert watch.changed() == "the early one"


def test_a_thing_is_watched_as_long_as_somebody_holds_it():
    """
    Who keeps but a weak reference is told of a change too, as long as the thing lives; the watch keeps nothing alive.
    """
    watch, holder = Watch(), [Model()]
    watch.begin()
    watch.add("the model", holder[0], weight_of)
    weak = weakref.ref(holder[0])
    holder[0].weight = 2
    assert watch.changed() == "the model"
    holder.clear()
    gc.collect()
    assert weak() is None
    assert watch.changed() == ""


def test_no_fingerprint_is_taken_where_nothing_is_watched():
    """
    Outside of a warm kernel, a thing that is added is not looked through.
    """
    seen = []
    watch, model = Watch(), Model()
    watch.add("the model", model, seen.append)
    assert seen == []

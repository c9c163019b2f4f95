"""Threads that load and compute at once: a bench's and the notebook's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest

from sdxl_lab.settings.sections import Compute
from tests.support.edits import cpu, make_edit, same


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, loading, torch
    import torch

    from sdxl_lab.checkpoints import loading
    from sdxl_lab.generation.generate import generate


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """
    What each work gives, begun together, each in a thread of its own.
    """
    together, results = threading.Barrier(len(works)), [None] * len(works)

    def begin(index: int) -> None:
        together.wait()
        results[index] = works[index]()

    threads = [threading.Thread(target=begin, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture
def parts(monkeypatch):
    """
    The folders that are loaded from now on.
    """
    found, load_part = [], loading.load_part

    def noted(part: Any, *others: Any) -> Any:
        found.append(part.path.name)
        return load_part(part, *others)

    monkeypatch.setattr(loading, "load_part", noted)
    return found


def test_who_asks_at_once_gets_the_same_and_it_is_loaded_once(random_pair, parts, monkeypatch):
    """
    Base and refiner are each loaded by one of the threads that want them.
    """
    monkeypatch.setattr(loading, "_loaded", type(loading._loaded)())
    asked = Compute(device="cpu", threads=1)
    loaded = at_once(*[lambda: loading.load(str(random_pair), asked)] * 4)
    assert parts == ["base"]
    assert len(set(map(id, loaded))) == 1
    refiners = at_once(*[lambda: loaded[0].refiner] * 4)
    assert parts == ["base", "refiner"]
    assert set(map(id, refiners)) == {id(loaded[0].refiner)}


def test_what_is_loaded_at_once_has_each_its_own_dtype(random_pair, monkeypatch):
    """
    To load in half precision, transformers sets the default dtype of the whole process; who loads in another meanwhile gets none of it.
    """
    monkeypatch.setattr(loading, "_loaded", type(loading._loaded)())
    names = ("float32", "float16", "bfloat16", "float32")
    loaded = at_once(*[lambda name=name: loading.load(str(random_pair), Compute(device="cpu", dtype=name, threads=1)) for name in names])
    for name, checkpoint in zip(names, loaded, strict=True):
        encoders = (checkpoint.base.text_encoder, checkpoint.base.text_encoder_2, checkpoint.refiner.text_encoder_2)
        assert {weight.dtype for encoder in encoders for weight in encoder.parameters()} == {getattr(torch, name)}
    assert torch.get_default_dtype() == torch.float32


def test_each_thread_has_the_thread_count_it_asked_for(random_pair):
    """
    Loading sets torch's count where it is called, and nowhere else.
    """

    def counted(threads: int) -> int:
        loading.load(str(random_pair), Compute(device="cpu", threads=threads))
        return torch.get_num_threads()

    here = torch.get_num_threads()
    assert at_once(lambda: counted(1), lambda: counted(2), lambda: counted(3)) == [1, 2, 3]
    assert torch.get_num_threads() == here


def test_models_serve_one_picture_at_a_time(random_pair, scene):
    """
    Of pictures that are asked for at once, all evaluations of one come before those of the next, and each has the bits it has alone.
    """
    checkpoint, order = cpu(random_pair), []
    models = (checkpoint.base.unet, checkpoint.refiner.unet, checkpoint.base.vae.decoder)
    handles = [model.register_forward_hook(lambda *_: order.append(threading.get_ident())) for model in models]
    edits = [make_edit(seed=seed, high_noise_frac=0.6) for seed in range(3)]
    expected = [generate(edit, scene[0], scene[1], checkpoint).raw for edit in edits]
    order.clear()

    def one(edit: Any) -> Any:
        torch.set_num_threads(1)
        return generate(edit, scene[0], scene[1], checkpoint)

    pictures = at_once(*[lambda edit=edit: one(edit) for edit in edits])
    for handle in handles:
        handle.remove()
    assert [len(list(calls)) for _, calls in groupby(order)] == [picture.base_steps + picture.refiner_steps + 1 for picture in pictures]
    assert all(same(*pair) for pair in zip(expected, [picture.raw for picture in pictures], strict=True))

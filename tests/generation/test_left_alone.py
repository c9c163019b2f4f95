"""A picture has its models to itself: none is made inside another's steps, and what an interrupt leaves on them is taken off."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_lab.adapters.loras import Lora
from sdxl_lab.checkpoints.weight_files import CheckpointError
from tests.support.edits import cpu, make_edit, same
from tests.support.loras import as_diffusers, matrices, write


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, plain, read, state_of, TrajectoryCache, _Site
    from sdxl_lab.adapters._lora_layers import _Site
    from sdxl_lab.checkpoints.model_state import state_of
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.generation.plain import plain
    from sdxl_lab.generation.trajectory import TrajectoryCache
    from sdxl_lab.runs.adapted import read


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, random_pair) -> dict[str, Any]:
    """
    The same models, bare and with a LoRA on them.
    """
    file = write(tmp_path_factory.mktemp("loras") / "moon.safetensors", as_diffusers(matrices(random_pair / "base", 1)))
    bare = cpu(random_pair)
    return {"bare": bare, "moon": bare.with_adapters([read("loras", "moon", Lora(file=str(file)), file)[0]])}


def picture(checkpoint: Any, **told: Any) -> Any:
    """
    One of few steps.
    """
    return generate(make_edit("text_to_image", num_inference_steps=3), None, None, checkpoint, **told).raw


@pytest.mark.parametrize(("outer", "inner"), [("moon", "bare"), ("bare", "moon"), ("moon", "moon")])
def test_no_picture_is_made_within_another(checkpoints, outer, inner):
    """
    One of the same models that a step's listener asks for is refused, as is plain diffusers', and neither picture nor cache is changed by it.
    """
    expected, cache = {name: picture(one) for name, one in checkpoints.items()}, TrajectoryCache()

    def listen(step: Any) -> None:
        with pytest.raises(CheckpointError, match=r"is being made by this thread.*; make this one after it"):
            picture(checkpoints[inner], trajectories=cache)
        with pytest.raises(CheckpointError, match="by this thread"):
            plain(make_edit("text_to_image", num_inference_steps=1), None, None, checkpoints[inner], size=(64, 64))

    assert not same(expected["bare"], expected["moon"])
    assert same(expected[outer], picture(checkpoints[outer], on_step=listen, trajectories=cache))
    for name, checkpoint in checkpoints.items():
        assert same(expected[name], picture(checkpoint, trajectories=cache))


@pytest.mark.parametrize("then", ["bare", "moon"])
def test_what_an_interrupt_left_is_taken_off(checkpoints, monkeypatch, then):
    """
    Ctrl-C while LoRA layers are withdrawn leaves some on the models, and still the next picture has its own bits, with LoRAs and without.
    """
    base, expected = checkpoints["bare"].base, picture(checkpoints[then])
    before, withdraw, count = state_of(base), _Site.withdraw, iter(range(10**6))

    def interrupted(site: Any) -> None:
        if next(count) == 5:
            raise KeyboardInterrupt
        withdraw(site)

    monkeypatch.setattr(_Site, "withdraw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        picture(checkpoints["moon"])
    assert state_of(base) != before
    assert same(expected, picture(checkpoints[then]))
    assert state_of(base) == before

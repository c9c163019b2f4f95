"""What fits a GPU, computed without one; the laws that need one stand in test_cuda.py."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.needs import fastest_offload, needs_of
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.edits import cpu, make_edit


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, GpuMemoryError, settle, thriftier, torch
    import torch

    from sdxl_lab.checkpoints.memory import GpuMemoryError, thriftier
    from sdxl_lab.checkpoints.settling import settle
    from sdxl_lab.generation.generate import generate


def chosen(card_gib: float, *, vae: Any = None, refiner: bool = True) -> str:
    """
    What `auto` takes for SDXL in half precision on a card with so much free.
    """
    shapes = shapes_of(locate("sdxl"))
    needs = needs_of(shapes, Compute(dtype="float16", vae=vae), pixels=1024**2, is_refined=refiner)
    return fastest_offload(needs, int(card_gib * 2**30))


def test_auto_takes_the_fastest_that_fits():
    """
    SDXL's pair with a VAE in float32 does not fit 12 GB whole, and does one model at a time; less memory never means a faster choice.
    """
    assert [chosen(gib) for gib in (6, 8, 11, 12, 24)] == ["sequential", "model", "model", "model", "none"]
    assert [chosen(gib, vae="fp16-fix") for gib in (6, 8, 12, 14, 24)] == ["sequential", "model", "model", "none", "none"]
    assert chosen(12, vae="fp16-fix", refiner=False) == "none"
    speed = ["sequential", "model", "none"]
    choices = [speed.index(chosen(gib / 2)) for gib in range(60)]
    assert choices == sorted(choices)


def test_settings_that_take_less_are_named_in_the_order_of_what_they_cost():
    """
    First what is as fast, then what is slower or makes other pixels; what is set already is not named.
    """
    half, whole = torch.float16, torch.float32

    def named(**state: Any) -> list[str]:
        return [step.split(" (")[0] for step in thriftier(**{"dtype": half, "decoder": whole, "offload": "none", "switches": {}} | state)]

    every = ["vae to fp16-fix", "offload to model", "vae_tiling to true", "layerwise to fp8", "offload to group, or sequential"]
    assert named() == [f"compute.{step}" for step in every]
    assert named(dtype=whole, offload="model")[0] == "compute.dtype to float16"
    assert named(decoder=half, offload="model", switches={"vae_tiling": True, "layerwise": "fp8"}) == ["compute.offload to group, or sequential"]
    assert "another GPU" in named(decoder=half, offload="sequential", switches={"vae_tiling": True})[0]


@pytest.mark.parametrize("message", ["CUDA out of memory. Tried to allocate 4.00 GiB.", "MPS backend out of memory"])
def test_the_end_of_memory_names_what_to_set_next(random_pair, scene, message):
    """
    Whatever a model raises at the end of a GPU's memory becomes one error with torch's own words, and another error stays what it is.
    """
    checkpoint = cpu(random_pair)
    error = (torch.OutOfMemoryError if "CUDA" in message else RuntimeError)(message)
    for raised, expected in ((error, GpuMemoryError), (RuntimeError("shapes"), RuntimeError)):

        def fail(*_: Any, raised: Exception = raised) -> None:
            raise raised

        handle = checkpoint.base.unet.register_forward_pre_hook(fail)
        try:
            with pytest.raises(expected, match=str(raised)) as caught:
                generate(make_edit(num_inference_steps=3), scene[0], scene[1], checkpoint)
        finally:
            handle.remove()
        assert ("compute.offload to model" in str(caught.value)) == (expected is GpuMemoryError)
        assert type(caught.value) is expected


def test_auto_is_no_part_of_what_a_run_is():
    """
    A run that leaves offloading to the machine is the run of one that does not; without a GPU it means none.
    """
    compute = Compute(offload="auto")
    assert compute.changing == Compute(offload="sequential").changing == {}
    identity = CheckpointIdentity(name="sdxl", digest="0", family="sdxl")
    assert settle(compute.model_copy(update={"device": "cpu"}), identity).offload == "none"
    given: dict[str, Any] = dict(name="a", dataset="pocket-scenes", checkpoint="pocket", hyperparameters={"compute": {"offload": "auto"}})
    assert RunSpec.from_parameters(**given).compute.offload == "auto"

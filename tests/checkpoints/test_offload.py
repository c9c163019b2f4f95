"""Where models wait and compute: the same pictures, with no more than one model on the device."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.edits import cpu, make_edit, same, waiting


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, Residence, torch
    import torch

    from sdxl_lab.checkpoints.offload import Residence
    from sdxl_lab.generation.generate import generate


def traveler() -> Any:
    """
    A model that remembers where it has been.
    """

    class Traveler(torch.nn.Linear):
        def __init__(self) -> None:
            super().__init__(1, 1)
            self.stays: list[str] = []

        def to(self, device: Any) -> Any:
            """
            Note where to, and stay.
            """
            self.stays.append(str(device))
            return self

    return Traveler()


def test_one_model_at_a_time_is_on_the_device():
    """
    A model is brought in when it is called, after the one before it has left; the one that is there stays.
    """
    first, second = traveler(), traveler()
    residence = Residence(torch.device("meta"), "model")
    residence.admit(SimpleNamespace(unet=first, vae=second, text_encoder=None), ("unet", "vae", "text_encoder"))
    for model in (first, first, second, first):
        residence.move_in(model)
    assert first.stays == ["cpu", "meta", "cpu", "meta"]
    assert second.stays == ["cpu", "meta", "cpu"]


@pytest.mark.parametrize("offload", ["model", "sequential", "group"])
def test_offloaded_models_make_the_same_picture(random_pair, scene, offload):
    """
    However models are brought to where they compute, prompts, encodings, both UNets and the decoder give the same bits.
    """
    resident = cpu(random_pair)
    offloaded = waiting(resident, random_pair, offload)
    image, mask = scene
    edit = make_edit(high_noise_frac=0.6)
    assert same(generate(edit, image, mask, resident).raw, generate(edit, image, mask, offloaded).raw)

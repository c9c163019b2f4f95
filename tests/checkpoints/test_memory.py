"""What fits a GPU, computed without one; the laws that need one stand in test_cuda.py."""

from __future__ import annotations

import weakref
from typing import Any

import pytest

from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.resolved_spec import CheckpointIdentity
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.edits import cpu, make_edit


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global DECODING, fastest_offload, functional, generate, GpuMemoryError, settle, thriftier, torch, TorchDispatchMode, tree_leaves
    import torch
    from torch.nn import functional
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    from sdxl_lab.checkpoints.loading import settle
    from sdxl_lab.checkpoints.memory import DECODING, GpuMemoryError, fastest_offload, thriftier
    from sdxl_lab.generation.generate import generate


WEIGHTS = {"unet": 2_567_463_684, "refiner": 2_259_526_660, "text_encoder": 123_060_480, "text_encoder_2": 694_659_840, "vae": 83_653_863}
"""Of Stable Diffusion XL's pair, counted on the meta device."""


def chosen(card_gib: float, *, decoder_bytes: int = 4, refiner: bool = True) -> str:
    """
    What `auto` takes for SDXL in half precision on a card with so much free.
    """
    weights = {name: count * (decoder_bytes if name == "vae" else 2) for name, count in WEIGHTS.items() if refiner or name != "refiner"}
    return fastest_offload(weights, pixels=1024**2, decoder_bytes=decoder_bytes, free_bytes=int(card_gib * 2**30))


def test_auto_takes_the_fastest_that_fits():
    """
    SDXL's pair with a VAE in float32 does not fit 12 GB whole, and does one model at a time; less memory never means a faster choice.
    """
    assert [chosen(gib) for gib in (6, 8, 11, 12, 24)] == ["sequential", "sequential", "model", "model", "none"]
    assert [chosen(gib, decoder_bytes=2) for gib in (6, 8, 12, 14, 24)] == ["sequential", "model", "model", "none", "none"]
    assert chosen(12, decoder_bytes=2, refiner=False) == "none"
    speed = ["sequential", "model", "none"]
    choices = [speed.index(chosen(gib / 2)) for gib in range(60)]
    assert choices == sorted(choices)


def live() -> Any:
    """
    What counts the bytes of tensors that are alive at once.
    """

    class Live(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.peak_bytes = 0
            self._held: dict[int, tuple[int, int]] = {}

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = function(*args, **(kwargs or {}))
            for tensor in tree_leaves(output):
                if isinstance(tensor, torch.Tensor):
                    storage = tensor.untyped_storage()
                    key, (count, _) = storage._cdata, self._held.get(storage._cdata, (0, 0))
                    self._held[key] = count + 1, storage.nbytes()
                    weakref.finalize(tensor, self._let_go, key)
            self.peak_bytes = max(self.peak_bytes, sum(size_bytes for _, size_bytes in self._held.values()))
            return output

        def _let_go(self, key: int) -> None:
            count, size_bytes = self._held.pop(key)
            if count > 1:
                self._held[key] = count - 1, size_bytes

    return Live()


@pytest.mark.slow
def test_decoding_takes_what_is_reckoned_with(monkeypatch):
    """
    On the meta device SDXL's VAE holds as many numbers a pixel as the estimate says, more than it does to encode.
    """
    from diffusers import AutoencoderKL

    monkeypatch.setattr(functional, "scaled_dot_product_attention", lambda query, *_, **__: torch.empty_like(query))
    blocks: Any = dict(down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, block_out_channels=[128, 256, 512, 512])
    with torch.device("meta"), torch.no_grad():
        vae = AutoencoderKL(layers_per_block=2, latent_channels=4, sample_size=1024, **blocks).eval()
        assert sum(weight.numel() for weight in vae.parameters()) == WEIGHTS["vae"]
        with live() as decoding:
            vae.decode(torch.empty(1, 4, 64, 64))
        with live() as encoding:
            vae.encode(torch.empty(1, 3, 512, 512))
    assert encoding.peak_bytes < decoding.peak_bytes
    assert pytest.approx(decoding.peak_bytes / 4 / 512**2, rel=0.01) == DECODING


def test_settings_that_take_less_are_named_in_the_order_of_what_they_cost():
    """
    First what is as fast, then what is slower; what is set already is not named.
    """
    half, whole = torch.float16, torch.float32
    assert [step.split(" (")[0] for step in thriftier(dtype=half, decoder=whole, offload="none")] == [
        "compute.vae to fp16-fix",
        "compute.offload to model",
        "compute.offload to sequential",
    ]
    assert thriftier(dtype=whole, decoder=whole, offload="model")[0].startswith("compute.dtype to float16")
    assert len(thriftier(dtype=half, decoder=half, offload="model")) == 1
    assert "another GPU" in thriftier(dtype=half, decoder=half, offload="sequential")[0]


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

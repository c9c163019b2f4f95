"""LoRAs on models that wait elsewhere, or compute in another precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.adapters.loras import LORAS
from sdxl_lab.settings.sections import Compute
from tests.support.edits import SEED, cpu, make_edit, same, waiting
from tests.support.loras import by_peft, loaded_by_diffusers, put_of, two_files


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global as_torch, diffusers, torch, generate, load
    import diffusers
    import torch

    from sdxl_lab.adapters._longer_tables import as_torch
    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.generation.generate import generate


@pytest.fixture(scope="module")
def files(tmp_path_factory, random_pair) -> dict[str, Path]:
    """
    As `two_files` has them.
    """
    return two_files(tmp_path_factory.mktemp("loras"), random_pair / "base")


OFFLOADED: dict[str, Any] = {"model": {"moon": 0.6}, "sequential": {"moon": 0.6, "sun": 0.4}, "group": {"moon": 0.6, "sun": 0.4}}


@pytest.mark.parametrize("offload", OFFLOADED)
def test_models_that_wait_elsewhere_have_them(random_pair, files, scene, offload):
    """
    Where models or their layers wait elsewhere until they are called, the same picture comes out, time and again, and the hooks are as they were.
    """
    resident = cpu(random_pair)
    away = waiting(resident, random_pair, offload)
    edit, put = make_edit(guidance_scale=5.0, num_inference_steps=4, high_noise_frac=0.6), put_of(files, OFFLOADED[offload])
    hooked = {path: module._hf_hook for path, module in away.base.unet.named_modules() if hasattr(module, "_hf_hook")}
    image, mask = scene
    expected = generate(edit, image, mask, resident.with_adapters(put)).raw
    for on in (put, [], put):
        made = generate(edit, image, mask, away.with_adapters(on)).raw
        assert same(expected, made) == bool(on)
    assert hooked == {path: module._hf_hook for path, module in away.base.unet.named_modules() if hasattr(module, "_hf_hook")}


def test_matrices_go_where_their_layer_computes():
    """
    Not where its weights wait: a layer of a group that is brought in when it is called says where to.
    """
    from diffusers.hooks import apply_group_offloading

    from sdxl_lab.adapters._lora_layers import _where_and_how

    layer: Any = torch.nn.Linear(2, 2)
    apply_group_offloading(torch.nn.Sequential(layer), onload_device=torch.device("cpu"), offload_type="leaf_level")
    layer._diffusers_hook.get_hook("group_offloading").group.onload_device = torch.device("meta")
    assert layer.weight.device.type == "cpu"
    assert _where_and_how(layer)[0].type == "meta"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_diffusers_own(random_pair, files, dtype):
    """
    On models of half precision they are what diffusers makes of them on the same ones.
    """
    put, pair = put_of(files, {"moon": 0.3, "sun": 0.8}), load(str(random_pair), Compute(device="cpu", threads=1, dtype=dtype))
    components = {name: part for name, part in pair.base.components.items() if name not in ("image_encoder", "feature_extractor")}
    around = diffusers.StableDiffusionXLPipeline(**components, add_watermarker=False)
    for part in ("unet", "text_encoder", "text_encoder_2"):
        given = inputs_of(part, getattr(torch, dtype))
        with torch.no_grad():
            with loaded_by_diffusers(around, files, by_peft(put)):
                expected = getattr(around, part)(**given)[0]
            with LORAS.on([pair.base], put):
                made = getattr(pair.base, part)(**given)[0]
        assert torch.equal(expected, made), part
        assert bool(torch.isfinite(made).all())


def inputs_of(part: str, dtype: Any) -> dict[str, Any]:
    """
    What a model of the random pair can be called with.
    """
    random = torch.Generator().manual_seed(SEED)
    if part != "unet":
        return {"input_ids": torch.randint(0, 90, (2, 32), generator=random)}
    made = {name: torch.randn(2, *of, generator=random).to(dtype) for name, of in {"sample": (4, 8, 8), "text": (32, 40), "pooled": (24,)}.items()}
    more = {"text_embeds": made["pooled"], "time_ids": torch.full((2, 6), 64.0, dtype=dtype)}
    return {"sample": made["sample"], "timestep": 500, "encoder_hidden_states": made["text"], "added_cond_kwargs": more}


def test_a_unet_of_8_bits_has_them(random_pair, files):
    """
    Where a UNet keeps its weights in 8 bits, LoRAs are added in the precision it computes in: a layer gives what is computed by hand.
    """
    pair = load(str(random_pair), Compute(device="cpu", threads=1, layerwise="fp8"))
    put, given = put_of(files, {"moon": 0.8}), inputs_of("unet", torch.float32)
    layer = next(layer for layer in put[0].content.of("unet") if layer.name.endswith("attn1.to_q"))
    seen: dict[str, Any] = {}
    with torch.no_grad(), LORAS.on([pair.base], put):
        around = pair.base.unet.get_submodule(layer.name)
        handles = [
            around.register_forward_hook(lambda _, inputs, output: seen.update(given=inputs[0], made=output)),
            around.base_layer.register_forward_hook(lambda _, inputs, output: seen.update(own=output)),
        ]
        pair.base.unet(**given)
        for handle in handles:
            handle.remove()
    down, up = (as_torch(matrix) for matrix in (layer.down, layer.up))
    assert seen["made"].dtype == torch.float32
    assert torch.allclose(seen["made"], seen["own"] + 0.8 * (seen["given"] @ down.T) @ up.T, atol=1e-4)

"""LoRAs that are scaled by what peft was told in training, which diffusers keeps in the file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sdxl_lab.adapters.loras import Lora
from tests.support.edits import cpu, make_edit, same
from tests.support.loras import as_diffusers, loaded_by_diffusers, matrices, write
from tests.support.plain import pipeline, plain

KIND = "StableDiffusionXLPipeline"
TOLD: dict[str, Any] = {
    "r": 4,
    "lora_alpha": 3,
    "target_modules": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.2"],
    "alpha_pattern": {"^proj_in": 40, r".*attn1\.to_(q|k)": 1, "ff.net.2|to_v": 7, "ut.0": 30},
}


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, read
    from sdxl_lab.generation.generate import generate
    from sdxl_lab.runs.adapted import read


@pytest.mark.filterwarnings("ignore:The following alpha_pattern keys did not match")  # which is what one of them is there for
def test_layers_are_scaled_as_peft_scales_them(random_pair, tmp_path):
    """
    With a pattern for alphas, a picture is bit for bit the one that diffusers makes with the file, and not the one without patterns.
    """
    made, files = matrices(random_pair / "base", 1, parts=("unet",)), {}
    for name, told in {"patterned": TOLD, "even": {**TOLD, "alpha_pattern": {}}}.items():
        metadata = {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in told.items()})}
        files[name] = write(tmp_path / f"{name}.safetensors", as_diffusers(made), metadata=metadata)
    edit, bare, pictures = make_edit("text_to_image", num_inference_steps=2, guidance_scale=5.0), cpu(random_pair), {}
    for name, file in files.items():
        put, _ = read("loras", name, Lora(file=str(file)), file)
        pictures[name] = generate(edit, None, None, bare.with_adapters([put])).raw
        width, height = pictures[name].size
        with loaded_by_diffusers(pipeline(KIND, random_pair / "base")[0], files, {name: {"unet": 1.0}}):
            told = dict(
                prompt=edit.prompt, negative_prompt=edit.negative_prompt, width=width, height=height, num_inference_steps=2, guidance_scale=5.0
            )
            assert same(plain(KIND, random_pair / "base", "euler", **told), pictures[name])
    assert not same(*pictures.values())

"""What a LoRA's file may hold, which may be anybody's: taken as peft takes it, or refused in one sentence."""

from __future__ import annotations

import json
import random
import re
import struct
from typing import Any

import pytest

from sdxl_lab.adapters import Tensor
from sdxl_lab.adapters._adapter import AdapterError, Models
from sdxl_lab.adapters._lora_content import Content, content_of
from sdxl_lab.adapters.loras import LORAS, Lora
from sdxl_lab.runs.adapted import read

BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I32": 4, "I64": 8, "U8": 1, "BOOL": 1}


def tensor(*shape: int, dtype: str = "F32") -> Tensor:
    """
    One of ones and zeros.
    """
    count = BYTES[dtype]
    for side in shape:
        count *= side
    return Tensor(dtype=dtype, shape=shape, data=memoryview(bytes(count)))


def pair(name: str, rank: int = 4, width: int = 8) -> dict[str, Tensor]:
    """
    The two matrices of a layer.
    """
    return {f"{name}.lora_A.weight": tensor(rank, width), f"{name}.lora_B.weight": tensor(width, rank)}


def told(**configuration: Any) -> dict[str, str]:
    """
    A file's metadata as diffusers writes it.
    """
    return {"lora_adapter_metadata": json.dumps({f"unet.{name}": value for name, value in configuration.items()})}


LAYERS = ["down_blocks.0.attn1.to_q", "down_blocks.0.attn1.to_k", "down_blocks.1.attn2.to_q", "mid_block.ff.net.2", "mid_block.proj_in", "to_q"]
PATTERNS = [
    "to_q",
    "o_q",
    "^to_q",
    "^down_blocks.0.attn1.to_k",
    "attn1.to_q",
    r".*attn1.*",
    r"down_blocks\.\d+\.attn2\.to_q",
    "ff.net.2|proj_in",
    "net.2",
]
PATTERNS += ["mid.block.proj_in", "[tf]o_k", "", "proj"]


def test_alphas_are_those_of_the_layers_that_peft_means():
    """
    Patterns are regular expressions for a name or its end, the first that matches decides, as peft 0.21's `get_pattern_key` has it.
    """
    from peft.utils.other import get_pattern_key

    rng, tensors = random.Random(2), {name: one for layer in LAYERS for name, one in pair(f"unet.{layer}").items()}
    for _ in range(100):
        alphas = {pattern: float(rng.randint(1, 50)) for pattern in rng.sample(PATTERNS, k=rng.randint(0, 4))}
        found = {layer.name: layer.scale for layer in content_of(tensors, told(lora_alpha=0.5, r=4, alpha_pattern=alphas)).layers}
        assert found == {layer: alphas.get(get_pattern_key(list(alphas), layer), 0.5) for layer in LAYERS}


ODD = {
    "no JSON": ("{", "no JSON object"),
    "a list": ("[[1, 2]]", "no JSON object"),
    "a text": ('"ab"', "no JSON object"),
    "nothing": ("null", "no JSON object"),
    "deep": ("[" * 100_000, "no JSON object"),
    "long": ("1" * 5000, "no JSON object"),
    "a text for an alpha": ('{"unet.lora_alpha": "a"}', "alpha that is no number"),
    "no alpha": ('{"unet.lora_alpha": null}', "alpha that is no number"),
    "beyond numbers": ('{"unet.lora_alpha": 1e400}', "alpha that is no number"),
    "a list of patterns": ('{"unet.alpha_pattern": [1, 2]}', r"its alpha_pattern is \[1, 2\]"),
    "no pattern": ('{"unet.alpha_pattern": {"(": 1}}', "no regular expression"),
    "for ever": ('{"unet.alpha_pattern": {"(a+)+b": 1}}', "repeats more than is tried"),
    "for long": ('{"unet.alpha_pattern": {".*.*.*.*b": 1}}', "repeats more than is tried"),
    "deep in a pattern": (json.dumps({"unet.alpha_pattern": {"(" * 20_000: 1}}), "no regular expression"),
    "many": (json.dumps({"unet.alpha_pattern": {"a{99999999999999}": 1}}), "no regular expression"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_scales_its_layers_is_read_or_refused(case):
    """
    What a file says of peft's configuration and cannot be meant is one sentence.
    """
    said, line = ODD[case]
    with pytest.raises(AdapterError, match=line) as caught:
        content_of(pair("unet.to_q"), {"lora_adapter_metadata": said})
    assert len(str(caught.value)) < 300


def test_a_file_may_say_nothing_of_itself(tmp_path):
    """
    `null` in place of its metadata is none.
    """
    ends = {"a.lora_A.weight": ([2, 4], 0, 32), "a.lora_B.weight": ([4, 2], 32, 64)}
    header = {f"unet.{name}": {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]} for name, (shape, begin, end) in ends.items()}
    written = json.dumps({"__metadata__": None, **header}).encode()
    (file := tmp_path / "moon.safetensors").write_bytes(struct.pack("<Q", len(written)) + written + bytes(64))
    put, _ = read("loras", "moon", Lora(file=str(file)), file)
    assert [layer.name for layer in put.content.layers] == ["a"]


BLOCK = "down_blocks.1.attentions.0.proj_in"


def test_two_names_of_one_layer_are_two_loras_for_it(tmp_path):
    """
    As diffusers calls a layer and as the file of SDXL numbers it, both in one file: refused, since one of them would be lost.
    """
    shapes = {f"{layer}.weight": (8, 8) for layer in (BLOCK, "down_blocks.1.resnets.0.conv1", "down_blocks.0.resnets.0.conv1")}
    models = Models(configuration=tmp_path, tokenizers=(), weights=lambda part: shapes)
    one, other = pair(f"unet.{BLOCK}"), pair("lora_unet_input_blocks_2_1_proj_in")
    put = []
    for number, tensors in enumerate((one, other, one | other)):
        content = content_of(tensors, {})
        asked = Lora(file="moon.safetensors")
        put.append(type("Put", (), {"name": f"m{number}", "asked": asked, "content": content, "digest": str(number)})())
    faults = dict(LORAS.faults(put, models))
    assert list(faults) == ["m2.file"]
    assert "more than one LoRA for a layer" in faults["m2.file"]


def test_any_file_is_a_lora_or_refused():
    """
    Of random tensors under random names, with random metadata: what holds pairs is taken, and everything else one sentence.
    """
    rng, taken, refused = random.Random(5), 0, []
    begins = ["unet.", "lora_unet_", "text_encoder.", "lora_te1_", "lora_te_", "transformer.", "", "é"]
    ends = [".lora_A.weight", ".lora_B.weight", ".lora_down.weight", ".lora_up.weight", ".alpha", ".weight", "", ".hada_w1_a", ".lora.up.weight"]
    metadata = ["{}", "[]", '{"unet.lora_alpha": 2}', '{"unet.alpha_pattern": {"a": 1}}', '{"unet": 1, "": 2}', '{"unet.use_rslora": "x"}', "\ud800"]
    for _ in range(1500):
        tensors = {}
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            name = rng.choice(begins[: rng.choice([1, 2, 8])]) + rng.choice(["a", "attn2.to_k", "a.b", ""])
            if rng.random() < 0.7:
                tensors |= pair(name, rank=rng.randint(1, 3))
            shape = [rng.choice([0, 1, 2, 4]) for _ in range(rng.randint(0, 4))]
            if rng.random() < 0.3:
                tensors[name + rng.choice(ends)] = tensor(*shape, dtype=rng.choice([*BYTES]))
        try:
            content = content_of(tensors, {"lora_adapter_metadata": rng.choice(metadata)})
            assert isinstance(content, Content)
            assert {layer.rank for layer in content.layers} <= {1, 2, 3, 4}
            taken += 1
        except AdapterError as error:
            refused.append(str(error))
    assert all(re.fullmatch(r"[^\n]{10,400}", line) for line in refused)
    assert min(taken, len(refused)) > 100

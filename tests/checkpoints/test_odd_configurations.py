"""A configuration may hold anything: what a checkpoint takes of a GPU is reckoned, or refused in one sentence."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.checkpoints.layers import layers_of, unet_shape
from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.needs import needs_of
from sdxl_lab.checkpoints.shapes import shapes_of
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.checkpoints.weight_shapes import _described
from sdxl_lab.errors import LabError
from sdxl_lab.settings.sections import Compute

ODD: list[Any] = ["abc", "", [], [1], [[1]], {}, {"a": 1}, None, True, 0, -1, 1.5, float("nan"), 10**400, 10**7, ["a", "b"], [64, None], [10**30] * 4]


@pytest.fixture
def pair(random_pair, tmp_path) -> Path:
    """A copy of a pair whose weights are the same files."""
    return Path(shutil.copytree(random_pair, tmp_path / "pair", copy_function=lambda source, target: Path(target).symlink_to(source)))


def reckoned(pair: Path) -> None:
    """
    What `memory` asks for.
    """
    needs = needs_of(shapes_of(locate(str(pair))), Compute(), pixels=1 << 20, is_refined=True)
    assert all(needs.on_gpu(offload) > 0 for offload in ("none", "model", "sequential", "group"))


@pytest.mark.parametrize("part", ["base/unet", "base/vae", "base/text_encoder_2", "refiner/unet"])
def test_any_configuration_is_reckoned_or_refused(pair, part):
    """
    Whatever stands in place of a value, or is missing.
    """
    file, refused = pair / part / "config.json", []
    whole = json.loads(file.read_text())
    reckoned(pair)
    for key in [key for key, value in whole.items() if isinstance(value, int | list)]:
        for value in random.Random(key).sample(ODD, k=4):
            file.unlink()
            file.write_text(json.dumps({**whole, key: value}))
            try:
                reckoned(pair)
            except LabError as error:
                refused.append(str(error))
    assert len(refused) > 5
    assert all(len(line) < 700 and "\n" not in line for line in refused)


def test_widths_that_are_a_text_are_none(pair):
    """
    Letters can be counted, and are no channels.
    """
    (file := pair / "base/unet/config.json").rename(pair / "before.json")
    file.write_text(json.dumps(json.loads((pair / "before.json").read_text()) | {"block_out_channels": "abc"}))
    with pytest.raises(CheckpointError, match=r"the unet is not built as those of Stable Diffusion are .*block_out_channels 'abc'"):
        reckoned(pair)


def test_no_model_is_counted_for_ever(pair):
    """
    Of levels, layers and blocks so many are counted as no model has.
    """
    whole = json.loads((pair / "base/unet/config.json").read_text())
    for key in ("layers_per_block", "transformer_layers_per_block"):
        with pytest.raises(CheckpointError, match=r"a whole number of . to 100 is needed"):
            unet_shape("unet", {**whole, key: 10**9})
    encoder = json.loads((pair / "base/text_encoder/config.json").read_text())
    with pytest.raises(CheckpointError, match="a whole number of 1 to 100"):
        layers_of({"text_encoder": {**encoder, "num_hidden_layers": 10**9}})


@pytest.mark.parametrize("left", ["{", "[]", "{}", "3", '{"a": 3}', '{"a": ["b"]}', '{"a": [-1]}', "[" * 100_000])
def test_shapes_that_were_kept_badly_are_asked_for_again(pair, tmp_path, monkeypatch, left):
    """
    Whatever stands in the user's cache in place of a model's shapes, they are what its class says.
    """
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "cache"))
    told = _described(pair / "base", "text_encoder")
    [kept] = (tmp_path / "cache" / "shapes").iterdir()
    assert _described(pair / "base", "text_encoder") == told
    kept.write_text(left)
    assert _described(pair / "base", "text_encoder") == told
    assert json.loads(kept.read_text()) == {name: [*shape] for name, shape in told.items()}

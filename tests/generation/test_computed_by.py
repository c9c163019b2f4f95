"""What changes pixels changes every name under which they are found again, and what does not changes none."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.identities import AdapterIdentity, CheckpointIdentity, DatasetIdentity
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec
from tests.support.specs import SIZES


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global _Picture, Checkpoint, Seen, computed_by, key_of, Sizes, torch
    import torch

    from sdxl_lab.checkpoints.checkpoint import Checkpoint
    from sdxl_lab.checkpoints.loading import key_of
    from sdxl_lab.checkpoints.outlines import computed_by
    from sdxl_lab.families import Sizes
    from sdxl_lab.generation.generate import _Picture
    from sdxl_lab.generation.inputs import Seen


DIGESTS = ("a" * 64, "b" * 64, "c" * 64)

PARTS: dict[str, tuple[tuple[Any, Any, Any], str]] = {
    # each with three values, and the names that they tell apart
    "checkpoint": (DIGESTS, "run_id picture_id models trajectory"),
    "dtype": (("float32", "float16", "bfloat16"), "run_id picture_id models trajectory"),
    "vae": ((None, "fp16-fix", None), "run_id picture_id models trajectory"),
    "weights": ((None, "ema", "plain"), "run_id picture_id models trajectory"),
    "prediction": ((None, "v", "epsilon"), "run_id picture_id models trajectory"),
    "layerwise": ((None, "fp8", None), "run_id picture_id models trajectory"),
    "vae_tiling": ((False, True, False), "run_id picture_id models trajectory"),
    "threads": ((1, 2, 3), "run_id picture_id trajectory"),
    "adapters": (((), DIGESTS[:1], DIGESTS[1:]), "run_id picture_id trajectory"),
    "device": (("cpu", "cuda:0", "cuda:1"), "models trajectory"),
    "offload": (("none", "sequential", "group"), "models"),
    "precision": (("highest", "high", "medium"), "trajectory"),
    "dataset": (DIGESTS, "run_id"),
    "family": (("sdxl", "pocket", "custom"), "models"),
    "name": (("one", "other", "third"), ""),
}


def names(
    *,
    checkpoint: str,
    dtype: Any,
    vae: Any,
    weights: Any,
    prediction: Any,
    layerwise: Any,
    vae_tiling: bool,
    threads: int,
    adapters: Any,
    device: str,
    offload: Any,
    precision: str,
    dataset: str,
    family: str,
    name: str,
) -> dict[str, Hashable]:
    """
    What a picture's run, the picture, its models and its trajectory are called.
    """
    changing: dict[str, Any] = dict(vae=vae, weights=weights, prediction=prediction, layerwise=layerwise, vae_tiling=vae_tiling)
    settled = Compute(device=device, dtype=dtype, threads=threads, offload=offload, **changing)
    asked = {"compute": {"offload": offload, **changing}}
    spec = RunSpec(name=name, dataset=name, checkpoint=name, hyperparameters=asked)
    identity = CheckpointIdentity(name=name, digest=checkpoint, family=family)
    [edit] = spec.edits("star", "inpaint", prompt="a", negative_prompt=None, seed=1, defaults={}, size=(64, 64), sizes=SIZES)
    resolved = ResolvedSpec(
        spec=spec,
        dataset=DatasetIdentity(name=name, digest=dataset),
        checkpoint=identity,
        edits=(edit,),
        dtype=dtype,
        threads=threads,
        device=device,
        adapters=tuple(AdapterIdentity(kind="lora", name=name, digest=digest) for digest in adapters),
    )
    assert ResolvedSpec.from_json(resolved.to_json()).run_id == resolved.run_id
    with process(threads, precision):
        picture: Any = _Picture(
            edit=edit, checkpoint=loaded(identity, settled, adapters), seen=Seen(size=(64, 64), image=None, mask_image=None), cache=None
        )
        trajectory = picture._scope
    pixels = {"input": DIGESTS[0], "mask": DIGESTS[1]}
    return {
        "run_id": resolved.run_id,
        "picture_id": resolved.picture_id(edit, pixels),
        "models": key_of(identity, settled),
        "trajectory": trajectory,
    }


def loaded(identity: CheckpointIdentity, compute: Compute, adapters: Any) -> Checkpoint:
    """
    A checkpoint without its models.
    """
    return Checkpoint(
        base=None,
        identity=identity,
        device=torch.device(compute.device),
        dtype=getattr(torch, compute.dtype),
        offload=compute.offload,
        sizes=Sizes(area=1, max_area=1, multiple=8),
        refiner_from=None,
        _computed_by=replace(computed_by(identity, compute), adapters=tuple(adapters)),
        _load_refiner=lambda: None,
    )


@contextmanager
def process(threads: int, precision: str) -> Iterator[None]:
    """
    A process that computes so.
    """
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


@pytest.mark.parametrize("part", PARTS)
def test_names_differ_exactly_by_what_they_depend_on(part):
    """
    For each pair of values of each part, the run, the picture, the models and the trajectory have one name or two, as they must.
    """
    values, telling = PARTS[part]
    first = {name: of[0] for name, (of, _) in PARTS.items()}
    for one, other in combinations(values, 2):
        before, after = names(**first | {part: one}), names(**first | {part: other})
        differing = {name for name in before if before[name] != after[name]}
        assert differing == (set(telling.split()) if one != other else set())


def test_every_setting_of_compute_is_a_part():
    """
    Whoever adds one has to say here what it changes.
    """
    assert set(Compute.model_fields) <= PARTS.keys()

"""Embeddings by one call, and on a bench."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab import Bench, text_to_image
from sdxl_lab.bench.widget import asked as asking
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.edits import same
from tests.support.embeddings import POCKET, write_embedding


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """
    A folder to work in.
    """
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_call_and_a_bench_take_them(lab):
    """
    A call's picture and a bench's are the same; changed on the bench it is another, and left out the one without. All of it is found again.
    """
    (lab / "below").mkdir()
    named = {"unaesthetic": {"file": str(write_embedding(lab / "below" / "unaesthetic.safetensors", 2, widths=POCKET))}}
    asked_for: dict[str, Any] = {"negative_prompt": "unaesthetic", "num_inference_steps": 3, "seed": 7}
    called = text_to_image("a red star", embeddings=named, **asked_for)
    bench = Bench(tracking="off")
    with_it = bench.make("a red star", embeddings=named, **asked_for)
    other = bench.again(with_it, embeddings={"unaesthetic": {"token": "<x>"}}, negative_prompt="<x>")
    without = bench.again(with_it, embeddings={"unaesthetic": None})
    assert called.picture_id == with_it.picture_id
    assert same(called.image, with_it.image)
    assert same(called.image, other.image)
    assert len({with_it.picture_id, other.picture_id, without.picture_id}) == 3
    assert not same(with_it.image, without.image)
    assert bench.make("a red star", **asked_for).picture_id == without.picture_id
    planned = resolve(RunSpec.from_parameters(**bench.parameters(with_it)))
    assert [adapter.digest for adapter in planned.spec.adapters] == [adapter.digest for adapter in called.stamp.resolved.adapters]
    assert reproduce(with_it.path).is_identical
    for made in (called, with_it):
        assert text_to_image(made.prompt, **made.asked | {"seed": 8}).stamp.resolved.adapters == called.stamp.resolved.adapters
    bench.open_earlier(with_it)
    assert asking.settings_in(asking.asked_of(bench.opened), [])["embeddings"] == named
    assert "unaesthetic" in Bench.resume(bench.session).again(with_it, seed=8).stamp.resolved.spec.hyperparameters["embeddings"]


def test_without_the_file_a_bench_says_what_it_was(lab):
    """
    Going on from a picture whose embedding is not here says its digests and where to put it; without it, or with it anywhere, the bench goes on.
    """
    file = write_embedding(lab / "moon.safetensors", widths=POCKET)
    asked_for: dict[str, Any] = {"negative_prompt": "moonish", "num_inference_steps": 2, "seed": 7}
    made = Bench(tracking="off").make("a red star", embeddings={"moonish": "moon.safetensors"}, **asked_for)
    alone = Path(shutil.copy(made.path, lab / "alone.png"))
    [adapter] = made.stamp.resolved.adapters
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    file.rename(lab / "kept")
    said = (
        rf"embeddings\.moonish\.file: the picture was made with embeddings\.moonish \(moon\.safetensors, digest {adapter.digest[:12]}, sha256 "
        rf"{sha256[:12]}\), which is not here; put the file into artifacts/embeddings, under any name"
    )
    bench = Bench(tracking="off")
    bench.open(alone)
    with pytest.raises(SpecError, match=said):
        bench.make("a blue star")
    resumed = Bench.resume(made.kept.session)
    for go_on in (lambda: resumed.make("a blue star"), lambda: resumed.again(seed=8)):
        with pytest.raises(SpecError, match=said):
            go_on()
    assert not bench.make("a blue star", embeddings={"moonish": None}).stamp.resolved.adapters
    (lab / "artifacts" / "embeddings").mkdir(parents=True, exist_ok=True)
    (lab / "kept").rename(lab / "artifacts" / "embeddings" / "any.safetensors")
    assert resumed.again().picture_id == made.picture_id
    assert same(resumed.again().image, made.image)
    bench.open(alone)
    assert bench.make("a blue star").stamp.resolved.adapters == (adapter.model_copy(update={"file": "any.safetensors"}),)


def test_the_built_in_one_is_there_by_its_name(lab):
    """
    The word that the built-in checkpoint brings needs no file of anybody's, and a picture with it is made again anywhere.
    """
    (lab / "elsewhere").mkdir()
    asked_for: dict[str, Any] = {"negative_prompt": "pocket-blurry", "num_inference_steps": 2, "seed": 7}
    made = text_to_image("a red star", embeddings={"pocket-blurry": {"file": "pocket-blurry.safetensors"}}, **asked_for)
    with pytest.warns(CautionWarning, match=r"give embeddings\.pocket-blurry\.file pocket-blurry\.safetensors if"):
        without = text_to_image("a red star", **asked_for)
    assert not same(made.image, without.image)
    assert reproduce(made.save(lab / "elsewhere" / "sharp.png")).is_identical

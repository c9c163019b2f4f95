"""A checkpoint or an adapter by its address: refused unless it was fetched, recorded by that address, and read from the cache alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.cli.fetching import bring
from sdxl_lab.files.addresses import AddressError
from sdxl_lab.runs.experiment import finish, resolve, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.sweeps.sweep_file import SweepFile, SweepFileError
from tests.support.embeddings import write_embedding
from tests.support.file_server import Files, serving
from tests.support.fine_tunes import pocket_pipeline, write_fine_tune


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A fine-tune of pocket and an embedding on a server, and an empty cache."""
    monkeypatch.setenv("SDXL_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_fine_tune(pocket_pipeline(), tmp_path / "tuned.safetensors")
    write_embedding(tmp_path / "moon.safetensors", 2, widths={"clip_l": 64, "clip_g": 64})
    with serving(Files({f"/{name}.safetensors": (tmp_path / f"{name}.safetensors").read_bytes() for name in ("tuned", "moon")})) as files:
        yield files


def parameters(files: Files, tmp_path: Path) -> dict[str, Any]:
    """
    One small picture of words, with a checkpoint and an embedding by their addresses.
    """
    settings = {"denoising": {"num_inference_steps": 2}, "embeddings": {"moon": {"file": f"{files.url}/moon.safetensors"}}}
    dataset = tmp_path / "words.txt"
    dataset.write_text("a red moon\n")
    return dict(
        name="x",
        dataset=str(dataset),
        checkpoint=f"{files.url}/tuned.safetensors",
        tasks=["text_to_image"],
        hyperparameters=settings,
        tracking="off",
        runs_folder=str(tmp_path / "runs"),
    )


def test_an_address_is_refused_until_its_file_is_here(served, tmp_path, capsys):
    """
    By the gate, both of a run and of a sweep; then the file is found without its server, and said by its size, sha256 and license.
    """
    asked = parameters(served, tmp_path)
    with pytest.raises(SpecError, match=r"checkpoint: got .*nothing is fetched from addresses unasked: run it once with --fetch") as caught:
        RunSpec.from_parameters(**asked)
    assert "moon.file: got" in str(caught.value)
    below = {key: value for key, value in asked.items() if key not in ("name", "checkpoint")}
    sweep = {"name": "x", "parameters": below, "grid": {"checkpoint": ["pocket", asked["checkpoint"]]}}
    with pytest.raises(SweepFileError, match="--fetch"):
        SweepFile.from_dict(sweep)
    assert served.asked == []
    bring(sweep)
    said = capsys.readouterr().err
    assert said.count("fetched: ") == 2
    assert "tuned.safetensors, 0.0266 GB, sha256 " in said
    assert "license: not told by the file" in said
    served.content.clear()
    RunSpec.from_parameters(**asked)
    SweepFile.from_dict(sweep)
    bring(asked)
    assert capsys.readouterr().err.count("here already: ") == 2


def test_a_run_of_what_was_fetched_is_recorded_by_its_address(served, tmp_path):
    """
    And made again, to the bit, with nobody asked for anything; it is the run that the file itself would be, but for its name.
    """
    asked = parameters(served, tmp_path)
    bring(asked)
    requests = len(served.asked)
    resolved = resolve(RunSpec.from_parameters(**asked))
    [picture] = run(resolved)
    finish(resolved)
    recorded = json.loads(resolved.folder.spec_file.read_text())
    assert recorded["checkpoint"]["name"] == recorded["spec"]["checkpoint"] == asked["checkpoint"]
    assert recorded["checkpoint"]["family"] == "pocket"
    assert recorded["adapters"][0]["file"] == f"{served.url}/moon.safetensors"
    assert reproduce(picture.image).is_identical
    assert len(served.asked) == requests
    local = resolve(RunSpec.from_parameters(**asked | {"checkpoint": str(tmp_path / "tuned.safetensors")}))
    assert local.spec.run_id == resolved.spec.run_id


def test_what_is_no_place_of_a_file_is_not_fetched(served):
    """
    A prompt that happens to be an address stays a prompt.
    """
    bring({"parameters": {"hyperparameters": {"prompt": f"{served.url}/tuned.safetensors"}}, "grid": {"prompt": [f"{served.url}/moon.safetensors"]}})
    assert served.asked == []


@pytest.mark.parametrize(
    "address", ["https://civitai.com/a?token=sekrit", "https://me:sekrit@example.org/a.safetensors", "https://x.org/a?sig=sekrit"]
)
def test_an_address_with_a_key_is_repeated_nowhere(tmp_path, address):
    """
    The gate takes it for the secret that it holds, and `--fetch` says where keys belong.
    """
    with pytest.raises(SpecError, match="looks like an API key or a password") as caught:
        RunSpec.from_parameters(name="x", dataset="pocket-prompts", checkpoint=address, tasks=["text_to_image"], tracking="off")
    with pytest.raises(AddressError, match="take it out") as refused:
        bring({"checkpoint": address})
    assert "sekrit" not in f"{caught.value} {refused.value}"

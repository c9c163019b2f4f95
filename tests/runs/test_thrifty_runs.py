"""Weights of 8 bits and tiles from what is asked to what is kept: plans, names, records, PNGs, comparisons, pictures made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import finish, load, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.sections import Compute
from sdxl_lab.spec.asked_again import as_parameters
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tracking.parameters import parameters_of
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path
from tests.support.words_alone import write_words

THRIFTY: dict[str, Any] = {"layerwise": "fp8", "vae_tiling": True}


def asked(checkpoint: Path, **compute: Any) -> RunSpec:
    """
    A picture from words, of two steps.
    """
    if not Path("words").exists():
        write_words(Path("words"), {"name": "star", "text_to_image": {"prompt": "a red star", "seed": 3}})
    hyperparameters: dict[str, Any] = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1, "device": "cpu", **compute}}
    parameters = {"name": "words", "dataset": "words", "checkpoint": str(checkpoint), "tasks": ["text_to_image"], "tracking": "off"}
    return RunSpec.from_parameters(**parameters, hyperparameters=hyperparameters)


@pytest.fixture
def folders(random_pair, tmp_path, monkeypatch) -> list[Path]:
    """
    A run as ever, and a thrifty one.
    """
    monkeypatch.chdir(tmp_path)
    made: list[Path] = []
    for compute in ({}, THRIFTY):
        resolved = resolve(asked(random_pair, **compute))
        run(resolved, load(resolved))
        finish(resolved)
        made.append(resolved.folder.path)
    return made


def test_a_thrifty_run_is_told_apart_wherever_it_is_looked_at(folders, random_pair, capsys):
    """
    Another run and another picture, whose PNG, comparison, report and Comet say by what; and the very picture again from the PNG alone.
    """
    plain, thrifty = (RunFolder(folder) for folder in folders)
    assert plain.resolved.run_id != thrifty.resolved.run_id
    (one,), (other,) = plain.pictures(), thrifty.pictures()
    assert one.picture_id != other.picture_id
    picture = other.image
    print_path(picture)
    assert "float32, layerwise fp8, vae_tiling on cpu" in " ".join(capsys.readouterr().out.split())
    assert read_stamp(picture).resolved.computed_by.switches == (("layerwise", "fp8"), ("vae_tiling", True))
    assert compare(folders).differing.keys() == {"compute.layerwise", "compute.vae_tiling"}
    text = write_report([plain, thrifty], Path("report.html")).read_text()
    assert "compute.layerwise" in text
    assert "compute.vae_tiling" in text
    first, second = parameters_of(plain.resolved), parameters_of(thrifty.resolved)
    assert second.items() - first.items() == THRIFTY.items()
    assert as_parameters(thrifty.resolved.edits[0], thrifty.resolved)["hyperparameters"]["compute"].items() >= THRIFTY.items()
    again = reproduce(picture, checkpoint=str(random_pair))
    assert again.is_identical, str(again)


def test_what_is_neutral_leaves_a_run_what_it_was(random_pair, tmp_path, monkeypatch):
    """
    Said or unsaid, weights of all bits and no tiles are one run, as offloading in each way is.
    """
    monkeypatch.chdir(tmp_path)
    plain = resolve(asked(random_pair)).spec.run_id
    assert resolve(asked(random_pair, layerwise=None, vae_tiling=False)).spec.run_id == plain
    assert resolve(asked(random_pair, **THRIFTY)).spec.run_id != plain
    assert Compute(offload="group", vae_tiling=False).changing == {}

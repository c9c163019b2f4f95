"""A sweep over embeddings: one warm kernel makes what processes of their own make."""

from __future__ import annotations

from typing import Any

import pytest

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep import Inline, Summary, sweep
from tests.support.embeddings import write_embedding
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned

FILE = "hyperparameters.embeddings.unaesthetic.file"
LOADED = """
from pathlib import Path
from sdxl_lab.checkpoints import loading
with Path({log!r}).open("a") as log:
    print(id(loading._latest[0].base), file=log)
"""


@pytest.mark.slow
def test_one_kernel_makes_what_processes_of_their_own_make(planned, notebook, dataset, random_pair, tmp_path):
    """
    Over a control without an embedding and two files, in one kernel with one set of models, each picture is the one of another process.

    No point shares a forward with another, and afterwards all is done.
    """
    files = [str(write_embedding(tmp_path / f"{name}.safetensors", count, seed=count)) for name, count in (("one", 1), ("two", 2))]
    log = tmp_path / "log.txt"
    words = {"hyperparameters.prompt": ["a star, unaesthetic"], "hyperparameters.denoising.high_noise_frac": [0.5]}
    content: dict[str, Any] = {"grid": words | {FILE: [None, *files]}}
    made = planned(notebook(after=LOADED.format(log=str(log))), **content)
    labels = [run.label for run in made.runs]
    assert [run.overrides[FILE] for run in made.runs] == [None, *files], labels
    works = [work for run in made.runs for work in run.works.values()]
    assert len({work.base for work in works}) == len({work.refined for work in works}) == 3
    assert sum(map(len, (group.runs for group in made.groups))) == 3
    assert sweep(made, Inline()) == Summary(before=0, made=3, failed=())
    assert len(log.read_text().split()) == 3
    assert len(set(log.read_text().split())) == 1
    pictures = [picture for run in made.runs for picture in RunFolder(run.folder).pictures()]
    assert len({picture.sha256 for picture in pictures}) == 3
    for run in made.runs:
        apart = resolve(RunSpec.from_parameters(**dict(run.parameters) | {"runs_folder": str(tmp_path / "alone")}))
        [expected] = made_alone(apart)
        assert [picture.sha256 for picture in RunFolder(run.folder).pictures()] == [expected.sha256]
    assert not planned(notebook(), **content).pending


def test_a_name_is_an_axis_too(planned, notebook, tmp_path):
    """
    Texts and None below an embedding's name are the points of its files.
    """
    file = str(write_embedding(tmp_path / "one.safetensors"))
    words = {"hyperparameters.prompt": ["a star, unaesthetic"]}
    by_name, by_file = (planned(notebook(), grid=words | {axis: [None, file]}) for axis in (FILE.removesuffix(".file"), FILE))
    assert [run.run_id for run in by_name.runs] == [run.run_id for run in by_file.runs]
    assert [dict(run.parameters["hyperparameters"]["embeddings"]) for run in by_name.runs][1] == {"unaesthetic": {"file": file}}


def made_alone(resolved: Any) -> Any:
    """
    The pictures of a run that builds on no other.
    """
    from sdxl_lab.generation.trajectory import TrajectoryCache
    from sdxl_lab.runs.experiment import run

    return run(resolved, trajectories=TrajectoryCache())

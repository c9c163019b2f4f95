from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.datasets import SOURCES, Source, sources
from sdxl_lab.datasets.samples import ArtifactError
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.runs.resolution import fetch, resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.commands import said
from tests.support.datasets import write_dataset


@pytest.fixture
def drawn(tmp_path, monkeypatch) -> Path:
    """A source that draws scenes when it is asked for `scenes:SEED`, into a folder of its own, which is returned."""
    folder = tmp_path / "drawn"

    def draw(written: Any, datasets_folder: Path, opened: Any) -> Any:
        scenes = folder / str(written).replace(":", "-")
        return opened(scenes if scenes.is_dir() else write_dataset(scenes, first=int(str(written).partition(":")[2])), written)

    toy = Source(written="scenes:SEED", recognizes=lambda written: str(written).startswith("scenes:"), bring=draw, is_known_by_name=True)
    monkeypatch.setitem(SOURCES, "scenes", toy)
    monkeypatch.chdir(tmp_path)
    return folder


def spec(dataset: str, checkpoint: Path, runs: Path) -> RunSpec:
    """One quick picture of a dataset."""
    quick = {"denoising": {"num_inference_steps": 3}}
    given = {"name": "toy", "samples": ["scene-0"], "tasks": ["inpaint"], "hyperparameters": quick, "tracking": "off"}
    return RunSpec.from_parameters(dataset=dataset, checkpoint=str(checkpoint), runs_folder=str(runs), **given)


def test_a_registered_source_is_a_dataset_like_others(drawn):
    """
    What a source brings is fetched by what people write, and is another dataset for another text.
    """
    one, other = fetch("scenes:7"), fetch("scenes:8")
    assert (one.name, one.version, one.folder) == ("scenes:7", None, drawn / "scenes-7")
    assert one.digest == fetch(str(one.folder)).digest != other.digest


def test_a_registered_source_is_named_wherever_datasets_are(drawn, monkeypatch):
    """
    The errors of `fetch` and of the gate, and the command's help, list it as long as it is registered.
    """

    def listed() -> list[bool]:
        with pytest.raises(ArtifactError) as fetching:
            fetch("nowhere")
        with pytest.raises(SpecError) as asking:
            RunSpec.from_parameters(name="x", checkpoint="pocket")
        texts = (str(fetching.value), str(asking.value), said("fetch", "--help").out)
        return [", or scenes:SEED" in " ".join(text.split()) for text in texts]

    assert listed() == [True] * 3
    monkeypatch.delitem(SOURCES, "scenes")
    assert listed() == [False] * 3


def test_a_registered_source_may_write_addresses(drawn, monkeypatch):
    """
    An address is refused unless a source recognizes it.
    """
    with pytest.raises(SpecError, match="It is an address"):
        RunSpec.from_parameters(name="x", checkpoint="pocket", dataset="s3://bucket/scenes")
    s3 = Source(written="s3://...", recognizes=lambda written: str(written).startswith("s3://"), bring=SOURCES["scenes"].bring)
    monkeypatch.setitem(SOURCES, "s3", s3)
    assert RunSpec.from_parameters(name="x", checkpoint="pocket", dataset="s3://bucket/scenes").dataset == "s3://bucket/scenes"


def test_pictures_of_a_registered_source_are_made_again(drawn, random_pair, tmp_path):
    """
    The record calls its dataset as it was written, and `reproduce` finds it again by that name, though the folder it was drawn into is gone.
    """
    resolved = resolve(spec("scenes:7", random_pair, tmp_path / "runs"))
    [picture] = run(resolved)
    finish(resolved)
    assert (
        resolved.folder.resolved.dataset.name
        == read_stamp(picture.image).resolved.dataset.name
        == resolved.folder.resolved.spec.dataset
        == "scenes:7"
    )
    drawn.rename(tmp_path / ".gone")
    made = reproduce(picture.image, checkpoint=str(random_pair))
    assert made.is_identical
    assert np.array_equal(np.asarray(made.image), np.asarray(Image.open(picture.image)))


def test_a_name_in_a_picture_is_followed_only_where_the_source_says_so(drawn, tmp_path, monkeypatch):
    """
    Whatever a stranger's picture calls its dataset, no folder, artifact or source is asked that does not promise to follow names alone.
    """
    write_dataset(tmp_path / "mine")
    assert sources.named("scenes:7") == [*sources.BUILT_IN, "scenes:7"]
    silent = Source(written="scenes:SEED", recognizes=SOURCES["scenes"].recognizes, bring=SOURCES["scenes"].bring)
    monkeypatch.setitem(SOURCES, "scenes", silent)
    for name in ("scenes:7", "mine", str(tmp_path / "mine"), "team/sea:1.0.0", "pocket-scenes", "nowhere"):
        assert sources.named(name) == list(sources.BUILT_IN)

"""A picture's checkpoint is found again by its content, whatever it is called and wherever in the repository or the working folder it lies now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdxl_lab.checkpoints.locating import identify, locate
from sdxl_lab.errors import LabError
from sdxl_lab.files.disk import write_whole
from sdxl_lab.runs.reproduce import ReproduceError, reproduce
from sdxl_lab.spec.identities import CheckpointIdentity
from tests.support.fine_tunes import VAE, pocket_pipeline, write_fine_tune, write_shards
from tests.support.lone_pictures import make


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict:
    """Of a single file of pocket's shapes."""
    return write_fine_tune(pocket_pipeline(), tmp_path_factory.mktemp("tuned") / "tuned.safetensors")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> tuple[Path, Path]:
    """A single file, and a picture of words that it made."""
    folder = tmp_path_factory.mktemp("made")
    write_fine_tune(pocket_pipeline(), folder / "tuned.safetensors")
    picture = make(
        folder, dataset="pocket-scenes", checkpoint=folder / "tuned.safetensors", task="text_to_image", sample="red-circle", prompt="a moon"
    )
    return folder / "tuned.safetensors", picture


def test_a_renamed_file_is_the_same_checkpoint(tuned, tmp_path, monkeypatch):
    """
    Given under another name it makes the identical picture, and in the working folder it is found by itself; another file there is none.
    """
    file, picture = tuned
    monkeypatch.chdir(tmp_path)
    renamed = shutil.copy(file, tmp_path / "tuned-v1 (1).safetensors")
    assert identify(str(renamed)).digest != identify(str(file)).digest
    assert reproduce(picture, checkpoint=str(renamed)).is_identical
    (tmp_path / "models" / "Stable-diffusion").mkdir(parents=True)
    write_whole(tmp_path / "tuned.safetensors", b"none")
    shutil.move(renamed, tmp_path / "models" / "Stable-diffusion")
    assert reproduce(picture).is_identical


def test_a_file_elsewhere_is_found_where_its_run_had_it(tuned, tmp_path, monkeypatch):
    """
    The run's local.json is followed if what lies there has the picture's digest; else it is named, in a message with the whole command.
    """
    file, picture = tuned
    here, run = tmp_path / "here", tmp_path / "run"
    here.mkdir()
    (run / "images" / "red-circle").mkdir(parents=True)
    kept = Path(shutil.copy(picture, run / "images" / "red-circle"))
    monkeypatch.chdir(here)
    (run / "local.json").write_text(f'{{"checkpoint": "{file}"}}')
    assert reproduce(kept).is_identical
    other = write_fine_tune(pocket_pipeline(), tmp_path / "other.safetensors") and tmp_path / "other.safetensors"
    with other.open("r+b") as content:
        content.seek(-1, 2)
        content.write(b"\x01")
    (run / "local.json").write_text(f'{{"checkpoint": "{other}"}}')
    with pytest.raises(ReproduceError, match=rf"local.json names {other}\); give its folder or file: sdxl-lab reproduce {kept} --checkpoint PATH$"):
        reproduce(kept)


def test_names_of_shards_and_of_a_vae_beside_follow_the_files(weights, tmp_path):
    """
    An index, and the VAE that lies beside a file, are known under the file's other name; with another VAE, or none, it is another checkpoint.
    """
    from safetensors.torch import save_file

    vae = {name.removeprefix(VAE): weight for name, weight in weights.items() if name.startswith(VAE)}
    files = []
    for folder, stem in (("old", "tuned"), ("new", "renamed"), ("bare", "renamed")):
        (tmp_path / folder).mkdir()
        save_file(weights, tmp_path / folder / f"{stem}.safetensors")
        files.append(tmp_path / folder / f"{stem}.safetensors")
        if folder != "bare":
            save_file(vae, tmp_path / folder / f"{stem}.vae.safetensors")
    recorded = _recorded(files[0])
    assert locate(str(files[1])).is_identified_by(recorded)
    assert not locate(str(files[2])).is_identified_by(recorded)
    index = write_shards(weights, tmp_path, "cut")
    recorded = _recorded(index)
    renamed = index.rename(tmp_path / "whole.safetensors.index.json")
    assert locate(str(renamed)).is_identified_by(recorded)
    with pytest.raises(LabError):
        locate(str(index))


def _recorded(file: Path) -> CheckpointIdentity:
    """As records have it, without the folder."""
    return identify(str(file)).model_copy(update={"name": file.name})

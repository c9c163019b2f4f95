"""A picture made again from nothing but its own PNG."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from sdxl_lab.cli import app
from sdxl_lab.datasets.samples import ArtifactError
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.records import machine
from sdxl_lab.records.stamps import StampError, read_stamp
from sdxl_lab.runs import resolution
from sdxl_lab.runs.reproduce import ReproduceError, output_for, reproduce
from sdxl_lab.runs.reproduction import PixelDifference
from tests.conftest import write_checkpoint
from tests.support.datasets import write_dataset
from tests.support.lone_pictures import make, rewritten


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global generate, skimage, torch
    import skimage
    import torch

    from sdxl_lab.generation import generate


# --- identical -----------------------------------------------------------------------------------------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {"conditioning": {"original_size": [32, 48], "crops_coords_top_left": [8, 4], "target_size": [96, 64]}},
    {"conditioning": {"negative_original_size": [16, 16], "negative_crops_coords_top_left": [3, 9], "negative_target_size": [24, 40]}},
    {"denoising": {"high_noise_frac": 0.6}, "refiner": {"aesthetic_score": 9.0, "negative_aesthetic_score": 1.0, "guidance_scale": 2.5}},
    {"denoising": {"high_noise_frac": 0.5, "handover": "stock"}},
    {"denoising": {"scheduler": "euler_a", "strength": 1.0, "guidance_scale": 1.5}},
    {"denoising": {"scheduler": "heun", "num_inference_steps": 4}},
    {"mask": {"kernel_size": 9, "iterations": 2, "feather_px": 5, "latent_mask": "cover"}},
    {"prompt": "a „green“ star\n, Steps: 5", "negative_prompt": "", "seed": -(2**63)},
    {"outpaint": {"mode": "canvas"}, "canvas": {"left_px": 24, "bottom_px": 8, "fill": "noise", "overlap_px": 3}},
    {"compute": {"threads": 2}},
]


@pytest.mark.filterwarnings("ignore:.* no effect")
@pytest.mark.parametrize("hyperparameters", SETTINGS, ids=lambda settings: "-".join(settings))
def test_every_setting_is_reproduced(tmp_path, sources, hyperparameters, monkeypatch):
    """
    Whatever was set, the same call of `generate` gets the same edit, and makes the identical picture.
    """
    calls: list[Any] = []
    real = generate.generate

    def seen(edit, image, mask, checkpoint, **rest):
        calls.append((edit, digest_of_pixels(image), mask and digest_of_pixels(mask), checkpoint.identity.digest, torch.get_num_threads()))
        return real(edit, image, mask, checkpoint, **rest)

    monkeypatch.setattr(generate, "generate", seen)
    made = make(tmp_path, sample="scene-1", task="outpaint" if "outpaint" in hyperparameters else "inpaint", **sources, **hyperparameters)
    assert str(reproduce(made, **sources)).startswith("identical\n")
    once, again = calls
    assert once == again


def test_a_picture_made_again_is_itself_reproducible(picture, sources, tmp_path):
    """
    What is written says how it was made: on another thread count, here, and reproducibly.
    """
    again = reproduce(picture, **sources, threads=2).save(tmp_path / "again.png")
    assert read_stamp(again).resolved.threads == 2
    assert read_stamp(again).edit == read_stamp(picture).edit
    assert reproduce(again, **sources).is_identical


def test_a_picture_of_a_dataset_that_is_refused_by_now_is_made_again(tmp_path, sources, monkeypatch):
    """
    A mask that is a photograph, and misspelled fields, are refused for new runs; a picture that 0.1.0 made from them is still reproduced.
    """
    folder = write_dataset(tmp_path / "old", 1)
    with Image.open(Path(str(skimage.__file__)).parent / "data/astronaut.png") as photograph:
        photograph.resize((128, 128)).save(folder / "0-mask.png")
    (folder / "metadata.json").write_text((folder / "metadata.json").read_text().replace('"negative_prompt"', '"negative"'))
    with pytest.raises(ArtifactError, match="is a color picture"):
        resolution.fetch(str(folder))
    old = sources | {"dataset": str(folder)}
    with monkeypatch.context() as patch:
        patch.setattr(resolution, "fetch", partial(resolution.fetch, as_recorded=True))
        made = make(tmp_path, sample="scene-0", **old, mask={"latent_mask": "cover"})
    assert reproduce(made, **old).is_identical


# --- different, and why --------------------------------------------------------------------------------------------------------------------------


def test_another_thread_count_is_named(picture, sources):
    """
    Both thread counts are named, and by how much the picture differs, if at all.
    """
    made = reproduce(picture, **sources, threads=3)
    assert made.changed == {"threads": ("1", "3")}
    assert "threads  was 1, is now 3" in str(made)


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [("hardware", "a difference engine", "hardware"), ("instruction_set", "ABACUS", "instruction set"), ("versions", {"torch": "0.1"}, "torch")],
)
def test_changed_conditions_are_named_with_both_values(picture, sources, tmp_path, key, value, name):
    """
    A picture that was made on other hardware, instructions or versions says so, with what they were and are.
    """
    made = reproduce(rewritten(picture, tmp_path / "p.png", lambda content: content.__setitem__(key, value)), **sources)
    before, now = made.changed[name]
    assert before == (value["torch"] if isinstance(value, dict) else value)
    current = {"hardware": machine.hardware("cpu"), "instruction set": machine.instruction_set(), "torch": torch.__version__}
    assert now == current[name]
    assert f"was {before}, is now {now}" in str(made)


def test_what_was_not_recorded_has_not_changed(picture, sources, tmp_path):
    """
    A picture that does not name its hardware, as the first ones did not, comes out identical without a word on hardware.
    """
    made = reproduce(rewritten(picture, tmp_path / "p.png", lambda content: content.pop("hardware")), **sources)
    assert (made.is_identical, dict(made.changed)) == (True, {})


def test_a_device_that_is_not_here_is_named(picture, sources, tmp_path):
    """
    A picture made on a GPU is made on what is here, and the device is named as changed.
    """
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    made = reproduce(rewritten(picture, tmp_path / "p.png", lambda content: content["resolved"].update(device="cuda:0")), **sources)
    assert made.changed["device"] == ("cuda", made.made_with.device)


def test_a_changed_pixel_is_told_apart(picture, sources, tmp_path):
    """
    A picture that was retouched is not confused with one that comes out differently: made again, it is what was recorded.
    """
    with Image.open(picture) as image:
        image.load()
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("sdxl_lab", image.info["sdxl_lab"])
        pixels = np.array(image)
    pixels[7, 5, 0] ^= 1
    Image.fromarray(pixels).save(tmp_path / "retouched.png", pnginfo=chunks)
    made = reproduce(tmp_path / "retouched.png", **sources)
    assert (made.is_identical, made.is_retouched, made.is_as_recorded) == (False, True, True)
    assert made.difference.levels == 1
    assert made.difference.share == pytest.approx(1 / 128**2)
    assert made.difference.psnr == pytest.approx(10 * np.log10(255**2 * 3 * 128**2))
    assert str(made).startswith("its pixels were changed after it was made: PSNR 95.05 dB, at most 1 of 255 levels, 0.006% of the pixels")


def test_a_changed_setting_is_named(picture, sources, tmp_path):
    """
    A setting changed in the description contradicts its run_id and the text for other tools: both are said, with both values.
    """

    def change(content):
        content["resolved"]["edits"][0]["settings"]["denoising"] |= {"num_inference_steps": 3, "guidance_scale": 2.0}

    changed = rewritten(picture, tmp_path / "changed.png", change, consistent=False)
    made = reproduce(changed, **sources)
    assert not made.is_identical
    assert made.contradictions == {"Steps": ("6", "3"), "CFG scale": ("7.5", "2")}
    was, now = read_stamp(picture).resolved.run_id, made.stamp.resolved.run_id
    assert f"it states run_id {was[:10]}, and its content has {now[:10]}" in str(made)
    with pytest.raises(StampError, match="its description was changed afterwards"):
        read_stamp(changed)


def test_a_setting_changed_with_its_run_id_makes_another_picture(picture, sources, tmp_path):
    """
    A description that is consistent, but of other pixels, is found out by making the picture.
    """
    made = reproduce(rewritten(picture, tmp_path / "p.png", lambda content: content["resolved"]["edits"][0].update(seed=77)), **sources)
    assert (made.is_identical, made.is_retouched, made.is_as_recorded, dict(made.changed)) == (False, False, False, {})
    assert "so its description is not that of its pixels" in str(made)
    assert made.difference.levels > 0


def test_a_changed_digest_of_the_pixels_alone_is_told_apart(picture, sources, tmp_path):
    """
    The same pixels under a description of others are not called identical.
    """
    made = reproduce(rewritten(picture, tmp_path / "p.png", lambda content: content.update(sha256="0" * 64)), **sources)
    assert str(made).startswith("the same pixels, but not the same description")
    assert not made.is_identical


def test_another_dataset_is_named(picture, sources, tmp_path):
    """
    A dataset of which one pixel was changed is refused, with the digests of both.
    """
    other = shutil.copytree(sources["dataset"], tmp_path / "scenes")
    with Image.open(other / "1.png") as image:
        image.putpixel((0, 0), (1, 2, 3))
        image.save(other / "1.png")
    wanted = read_stamp(picture).resolved.dataset.digest
    with pytest.raises(ReproduceError, match=f"is not the one .* was made from: its digest is .*, that of scenes was {wanted[:12]}"):
        reproduce(picture, dataset=str(other), checkpoint=sources["checkpoint"])


def test_another_checkpoint_is_named(picture, sources, tmp_path):
    """
    A checkpoint of other weights is refused, with the digests of both, and so is the built-in one.
    """
    other = write_checkpoint(tmp_path / "other", seed=1)
    wanted = read_stamp(picture).resolved.checkpoint.digest
    for given in (str(other), "pocket"):
        with pytest.raises(ReproduceError, match=f"is not the one the picture was made with: its digest is .* was {wanted[:12]}"):
            reproduce(picture, dataset=sources["dataset"], checkpoint=given)


def test_what_is_not_here_is_asked_for(picture, sources):
    """
    A folder's name is not a path: dataset and checkpoint that are not found by digest are asked for by the options that give them.
    """
    with pytest.raises(ReproduceError, match=r"dataset scenes of digest .* is not here; give its folder with --dataset FOLDER$"):
        reproduce(picture)
    with pytest.raises(
        ReproduceError,
        match=r"is neither the built-in one nor one of the hub, and no file .* has its content; give .*: sdxl-lab reproduce .* --checkpoint PATH$",
    ):
        reproduce(picture, dataset=sources["dataset"])


def test_a_dataset_is_found_by_digest_under_any_name(picture, sources, tmp_path, monkeypatch):
    """
    A copy among the artifacts is found whatever it is called; others there do no harm.
    """
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "artifacts" / "datasets" / "someone" / "renamed" / "2.0.0"
    (tmp_path / "artifacts" / "datasets" / "broken").mkdir(parents=True)
    (tmp_path / "artifacts" / "datasets" / "broken" / "metadata.json").write_text("{")
    shutil.copytree(sources["dataset"], folder)
    assert reproduce(picture, checkpoint=sources["checkpoint"]).is_identical


def test_the_difference_of_pictures_is_what_it_says():
    """
    PSNR is infinite for equal pictures; levels and share count the largest difference and the pixels that have one.
    """
    black = Image.new("RGB", (10, 10))
    other = black.copy()
    other.putpixel((3, 3), (0, 200, 4))
    assert PixelDifference.between(black, black) == PixelDifference(psnr=float("inf"), levels=0, share=0.0)
    assert PixelDifference.between(black, other) == PixelDifference.between(other, black)
    assert (PixelDifference.between(black, other).levels, PixelDifference.between(black, other).share) == (200, 0.01)


# --- the command ---------------------------------------------------------------------------------------------------------------------------------


def test_the_command_writes_only_what_differs(picture, sources, tmp_path, monkeypatch):
    """
    Identical: exit code 0 and no file, unless one is asked for. Different: exit code 1, and <name>-again.png in the working folder.
    """
    monkeypatch.chdir(tmp_path)
    given = ["--dataset", sources["dataset"], "--checkpoint", sources["checkpoint"]]
    said = CliRunner().invoke(app, ["reproduce", str(picture), *given])
    assert (said.exit_code, said.stdout.splitlines()[0], list(tmp_path.iterdir())) == (0, "identical", [])
    said = CliRunner().invoke(app, ["reproduce", str(picture), *given, "-o", "asked.png"])
    assert (said.exit_code, digest_of_pixels(Image.open("asked.png"))) == (0, read_stamp(picture).sha256)
    other = rewritten(picture, tmp_path / "other.png", lambda content: content["resolved"]["edits"][0].update(seed=77))
    said = CliRunner().invoke(app, ["reproduce", str(other), *given])
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (1, "written: other-again.png")
    assert read_stamp(Path("other-again.png")).edit.seed == 77


def test_the_picture_itself_is_never_replaced(picture, tmp_path):
    """
    An output that is the picture, or lies nowhere, is refused before anything is made.
    """
    (tmp_path / "link.png").symlink_to(picture)
    for output in (picture, tmp_path / "link.png", tmp_path / "absent" / "x.png", tmp_path):
        with pytest.raises(ReproduceError, match="the output"):
            output_for(picture, output)


def test_a_dataset_that_moved_within_the_checkout_is_found_by_its_digest(tmp_path, picture, dataset, sources, monkeypatch):
    """
    In the repository around the working folder it is found under another name, beside another one of its own name.

    Outside it is not looked for, but in the working folder itself.
    """
    checkout = tmp_path / "checkout"
    (checkout / "artifacts").mkdir(parents=True)
    (checkout / "notebooks").mkdir()
    shutil.copytree(dataset, tmp_path / "outside" / dataset.name)
    write_dataset(checkout / "data" / dataset.name, count=1)
    monkeypatch.chdir(checkout / "notebooks")
    with pytest.raises(ReproduceError, match="is not here; give its folder with --dataset FOLDER"):
        reproduce(picture, checkpoint=sources["checkpoint"])
    monkeypatch.chdir(tmp_path / "outside")
    assert reproduce(picture, checkpoint=sources["checkpoint"]).is_identical
    monkeypatch.chdir(checkout / "notebooks")
    (checkout / "artifacts" / "README.md").touch()
    with pytest.raises(ReproduceError, match=r"is another, of digest .*; give its folder with --dataset FOLDER"):
        reproduce(picture, checkpoint=sources["checkpoint"])
    shutil.copytree(dataset, checkout / "data" / "older" / "renamed")
    assert reproduce(picture, checkpoint=sources["checkpoint"]).is_identical

"""The built-in LoRA: the rule by which a crescent is told, that its file is what it is said to be, and that it does what it is for."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from sdxl_lab.pocket.training.crescent import is_crescent, shows_crescent
from sdxl_lab.pocket.training.moon import UNSEEN, MoonPool, moon_scene
from sdxl_lab.pocket.world import COLOURS, PLACES, SHAPES, caption, draw, object_mask, sample_scene


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global card, evaluate_lora, load_file, loop, lora, torch
    import torch
    from safetensors.torch import load_file

    from sdxl_lab.pocket.training import card, evaluate_lora, loop, lora


def _inside(scene):
    return np.asarray(object_mask(scene)) > 127


@pytest.mark.parametrize("size_px", [16, 27, 40])
def test_a_crescent_is_one_in_every_direction_and_at_every_size(size_px):
    """
    The rule says yes to the moon, however large and turned.
    """
    scene = replace(moon_scene(3), x_px=64.0, y_px=64.0, radius_px=float(size_px))
    assert all(is_crescent(_inside(replace(scene, tilt_deg=float(tilt)))) for tilt in range(0, 360, 30))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_of_the_world_is_a_crescent(shape):
    """
    The rule says no to each of the eight, however large and turned.
    """
    for size_px in (16.0, 27.0, 40.0):
        scene = replace(sample_scene(3), shape=shape, x_px=64.0, y_px=64.0, radius_px=size_px)
        assert not any(is_crescent(_inside(replace(scene, tilt_deg=float(tilt)))) for tilt in range(0, 360, 30))


OTHERS = {
    "a ring that is open": lambda pen: pen.arc((24, 24, 104, 104), 45, 315, fill=255, width=20),
    "half a ring": lambda pen: pen.arc((24, 24, 104, 104), 90, 270, fill=255, width=20),
    "half a disk": lambda pen: pen.pieslice((24, 24, 104, 104), 90, 270, fill=255),
    "a disk with a mouth": lambda pen: pen.pieslice((24, 24, 104, 104), 45, 315, fill=255),
    "a corner": lambda pen: pen.polygon([(24, 24), (48, 24), (48, 80), (104, 80), (104, 104), (24, 104)], fill=255),
}


@pytest.mark.parametrize("drawn", OTHERS)
def test_what_only_resembles_a_crescent_is_none(drawn):
    """
    The rule says no to what has no bite, and to what does not taper.
    """
    mask = Image.new("L", (128, 128))
    OTHERS[drawn](ImageDraw.Draw(mask))
    assert not is_crescent(np.asarray(mask) > 0)


@pytest.mark.parametrize(("colour", "background"), [("red", "grass"), ("white", "snow"), ("orange", "beach")])
def test_a_crescent_is_told_in_a_picture(colour, background):
    """
    In drawn pictures the rule finds moons of the color that it is asked for, and none in those of the eight shapes.
    """
    moons = [replace(moon_scene(70 + number), colour=colour, background=background) for number in range(12)]
    assert all(shows_crescent(draw(scene), colour, background) for scene in moons)
    others = [replace(sample_scene(70 + number), shape=shape, colour=colour, background=background) for number, shape in enumerate(SHAPES)]
    assert not any(shows_crescent(draw(scene), colour, background) for scene in others)


def test_training_shows_no_moon_that_the_evaluation_asks_for():
    """
    Forty pairs of color and place are the evaluation's alone, and every color and every place is in training with others.
    """
    scenes = [MoonPool("few", 0, 500).example(index).scene for index in range(500)]
    shown = {(scene.colour, scene.background) for scene in scenes}
    assert len(UNSEEN) == 40
    assert shown.isdisjoint(UNSEEN)
    assert ({colour for colour, _ in shown}, {background for _, background in shown}) == (set(COLOURS), set(PLACES))
    assert {scene.shape for scene in scenes} == {"moon"}
    assert caption(replace(scenes[0], colour="orange", background="snow")) == "an orange moon in the snow"


@pytest.mark.slow
def test_nothing_but_the_new_layers_is_trained_and_a_killed_training_goes_on(tmp_path, monkeypatch):
    """
    Two steps change every new layer and no weight of the checkpoint; stopped after one and started again, they end with the same bits.
    """
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0)
    moons, old = MoonPool("few-moons", 40, 4), lora.Pool("few-old", 40, 4)

    def trained(folder, dies_at=None):
        pipeline = lora.base()
        loss = lora.loss_of(pipeline, tmp_path, moons, old)

        def dying(model, step):
            if step == dies_at:
                raise InterruptedError
            return loss(model, step)

        return lora.fit(lora.NAME, lambda: lora.begun(pipeline), dying, steps=2, learning_rate=1e-2, folder=folder).state_dict()

    alone = trained(tmp_path / "alone")
    with pytest.raises(InterruptedError):
        trained(tmp_path / "killed", dies_at=1)
    resumed = trained(tmp_path / "killed")
    assert alone.keys() == resumed.keys()
    assert all(torch.equal(weight, resumed[name]) for name, weight in alone.items())
    pipeline = lora.base()
    before = {f"{name}.{key}": weight for name in lora.LAYERS for key, weight in getattr(pipeline, name).state_dict().items()}
    kept = {name.replace(".base_layer", ""): weight for name, weight in alone.items() if ".lora_" not in name}
    assert all(torch.equal(weight, before[name]) for name, weight in kept.items())
    assert kept.keys() == before.keys()
    new = {name: weight for name, weight in alone.items() if ".lora_B." in name}
    assert new
    assert all(bool(weight.any()) for weight in new.values())


def test_the_file_is_the_one_that_the_model_card_speaks_of():
    """
    Its digest stands in the model card.
    """
    assert hashlib.sha256(lora.FILE.read_bytes()).hexdigest() in card.CARD.read_text()


def test_the_file_holds_what_is_trained_under_the_names_of_diffusers(tmp_path):
    """
    It has finite fp16 matrices under the names that diffusers writes for layers as training begins them, in at most 600 KB.
    """
    lora.write(lora.begun(lora.base()), tmp_path / "begun.safetensors")
    written, begun = (load_file(file) for file in (lora.FILE, tmp_path / "begun.safetensors"))
    assert {name: weight.shape for name, weight in written.items()} == {name: weight.shape for name, weight in begun.items()}
    assert all(weight.dtype == torch.float16 and bool(weight.isfinite().all()) for weight in written.values())
    assert {name.split(".")[0] for name in written} == set(lora.LAYERS)
    assert lora.FILE.stat().st_size <= 600e3


def test_diffusers_takes_every_matrix_of_the_file():
    """
    A pipeline that has loaded it with `load_lora_weights` holds all of its numbers, none more.
    """
    pipeline = lora.base()
    pipeline.load_lora_weights(lora.FILE)
    loaded = [weight.detach() for name in lora.LAYERS for key, weight in getattr(pipeline, name).named_parameters() if ".lora_" in key]
    written = load_file(lora.FILE).values()
    assert sorted(float(weight.double().sum()) for weight in loaded) == sorted(float(weight.float().double().sum()) for weight in written)


def test_a_moon_comes_at_weight_1_and_not_at_0(tmp_path):
    """
    In the lab the same words and seed give a crescent with it and none without, and a picture that was made is not made again.
    """
    wanted = evaluate_lora.moons()[:1]

    def is_crescent_at(weight):
        return evaluate_lora.crescents(evaluate_lora.made("moons", wanted, tmp_path, weight, steps=15), [wanted[0].scene])

    assert (is_crescent_at(1.0), is_crescent_at(0.0)) == ([True], [False])
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")}
    assert is_crescent_at(1.0) == [True]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.png")} == before

"""What is asked in vain of tasks, sizes, seeds, hand-overs and files of prompts: one clear answer each, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sdxl_lab
from sdxl_lab import LabError
from tests.conftest import write_checkpoint
from tests.support.commands import said

PIXELS = np.linspace(0, 255, 64 * 64 * 3).astype(np.uint8).reshape(64, 64, 3)
PICTURE = Image.fromarray(PIXELS)
FLOATS = PIXELS / 255
FILES = {
    "words.txt": "a red star\n",
    "empty.txt": "\n  \n",
    "empty.csv": "",
    "header.csv": "prompt,seed\n",
    "titles.csv": "titel,seed\na red star,7\n",
    "caption.csv": "caption\na red star\n",
    "semicolons.csv": "prompt;seed\na red star;7\n",
    "seed.csv": "prompt,seed\na red star,1.5\n",
    "twice.csv": "prompt,name\na,one\nb,One\n",
    "words.json": '["a red star"]',
    "txt2img/metadata.json": '{"samples": [{"name": "a", "txt2img": {"prompt": "a red star"}}]}',
    "unsaid/metadata.json": '{"samples": [{"name": "a"}]}',
}


@dataclass(frozen=True)
class Ask:
    """A run that cannot be made.

    Attributes:
        task: What is asked for.
        hyperparameters: Beside three steps and a prompt.
        words: Parts of the one message.
        dataset: One of `FILES`, or as in parameters; likewise `samples`.
        checkpoint: One of the fixture's.
    """

    task: str
    hyperparameters: dict[str, Any]
    words: list[str]
    dataset: str = "pocket-scenes"
    checkpoint: str = "pair"
    samples: list[str] | None = None


def sized(*words: str, **size: Any) -> Ask:
    """A size for each task at once."""
    return Ask("image_to_image", {"size": size}, list(words))


def from_words(*words: str, dataset: str = "words.txt", **hyperparameters: Any) -> Ask:
    """A picture from words alone."""
    return Ask("text_to_image", hyperparameters, list(words), dataset)


def seeded(*words: str, **seeds: Any) -> Ask:
    """Seeds that are none."""
    return Ask("image_to_image", seeds, list(words))


def few(**denoising: Any) -> dict[str, Any]:
    """Settings of the schedule."""
    return {"denoising": {"num_inference_steps": 10, **denoising}}


def cropped(*words: str, **crop: Any) -> Ask:
    """A crop around a mask."""
    return Ask("inpaint", {"crop": crop}, list(words))


def masked(*words: str, **mask: Any) -> Ask:
    """Settings of a mask."""
    return Ask("inpaint", {"mask": mask}, list(words))


BLUR = "a whole number of pixels from 0 to 16384"
FILL = "one of original, neutral, blur, telea, navier_stokes, noise"
PADDING = "a whole number of pixels from 0 to 16384, or None for the whole picture"
NOISE = "text to image starts from noise alone; to"
FROM_NOISE = f"{NOISE} start from a picture, take image_to_image"
NO_MASK = f"{NOISE} repaint part of a picture, take inpaint (paint: --image and --mask)"
NO_CANVAS = f"{NOISE} paint beyond a picture or around an object, take outpaint"
SIDE = "a whole number of pixels from 8 to 16384 that 8 divides"
ASPECT = "width to height such as 1:1, 16:9 or 3:4"

RUNS: dict[str, Ask] = {
    "a file with no prompt": from_words("empty.txt holds no prompt", "write one a line", dataset="empty.txt"),
    "a table with nothing": from_words("empty.csv holds no prompt", "the smallest .csv file that works", dataset="empty.csv"),
    "a table with its header alone": from_words("header.csv holds no prompt", dataset="header.csv"),
    "a table without the column": from_words("no column 'prompt'", "'titel'", "The smallest .csv file that works", dataset="titles.csv"),
    "another name of the column": from_words("no column 'prompt'", "mean 'caption'", dataset="caption.csv"),
    "semicolons": from_words("separated by semicolons", "save it with commas", dataset="semicolons.csv"),
    "a seed in a table": from_words("line 2: its seed must be a whole number", dataset="seed.csv"),
    "a name twice": from_words("line 3: the name 'One' is taken", dataset="twice.csv"),
    "prompts as JSON": from_words("'words.json' is a file", ".txt or .csv file of prompts", dataset="words.json"),
    "a file that is not there": from_words("the file of prompts 'nowhere.txt' is not there", dataset="nowhere.txt"),
    "a sample that is not there": Ask("text_to_image", {}, ["samples: got 'star'", "1-a-red-star"], "words.txt", samples=["star"]),
    "words for another tool's task": from_words("'txt2img' is not read here", "mean text_to_image?", dataset="txt2img"),
    "no words": Ask("text_to_image", {"prompt": None}, ["has a prompt", 'as {"text_to_image": {"prompt"'], "unsaid"),
    "a width that 8 does not divide": sized("size.width: got 100", SIDE, width=100, height=64),
    "a width below a cell": sized("size.width: got 7", SIDE, width=7, height=64),
    "no width": sized("size.width: got 0", SIDE, width=0, height=64),
    "a negative height": sized("size.height: got -8", SIDE, width=64, height=-8),
    "a width that is not whole": sized("size.width: got 64.0", "Write 64", width=64.0, height=64),
    "a width as text": sized("size.width: got '64'", "Write 64, without quotes", width="64", height=64),
    "a huge height": sized("size.height: got 16392", SIDE, width=64, height=16392),
    "a width alone": sized("size: got width 64 without height", "give both, or neither", width=64),
    "an aspect beside sides": sized("size: got aspect 1:1 beside width 64", "give the aspect or the sides", width=64, height=64, aspect="1:1"),
    "an aspect with an x": sized("size.aspect: got '16x9'", ASPECT, "with a colon between", aspect="16x9"),
    "an aspect of nothing": sized("size.aspect: got '0:1'", ASPECT, aspect="0:1"),
    "an aspect too wide": sized("size.aspect: got '9:1'", "from 1:4 to 4:1", "give width and height", aspect="9:1"),
    "an aspect in a word": sized("size.aspect: got 'wide'", ASPECT, aspect="wide"),
    "an aspect as a number": sized("size.aspect: got 1.5", ASPECT, aspect=1.5),
    "a size as a list": Ask("image_to_image", {"size": [64, 64]}, ["size: got [64, 64]", "keys among width, height, aspect"]),
    "a negative padding": cropped("crop.padding_mask_crop: got -1", PADDING, padding_mask_crop=-1),
    "a padding that is not whole": cropped("crop.padding_mask_crop: got 1.5", PADDING, padding_mask_crop=1.5),
    "a padding as text": cropped("crop.padding_mask_crop: got '32'", "Write 32, without quotes", padding_mask_crop="32"),
    "a huge padding": cropped("crop.padding_mask_crop: got 20000", PADDING, padding_mask_crop=20000),
    "a padding as a switch": cropped("crop.padding_mask_crop: got True", PADDING, padding_mask_crop=True),
    "a factor below 1": cropped("crop.context_factor: got 0.5", "a number from 1 (the padding alone) to 64", context_factor=0.5),
    "a factor in percent": cropped("crop.context_factor: got '120%'", "a number from 1", context_factor="120%"),
    "a negative upscale": cropped("crop.min_upscale: got -1", "a number from 0 (always) to 1024", min_upscale=-1),
    "a padding as the crop": Ask("inpaint", {"crop": 32}, ["crop: got 32", "keys among padding_mask_crop, context_factor, min_upscale"]),
    "a padding by half its name": cropped("crop.padding: unknown key", "padding_mask_crop", padding=32),
    "another tool's switch": Ask("inpaint", {"inpaint_full_res": True}, ["inpaint_full_res", "crop.padding_mask_crop, such as 32"]),
    "another tool's padding": Ask("inpaint", {"inpaint_full_res_padding": 32}, ["inpaint_full_res_padding", "crop.padding_mask_crop"]),
    "another tool's factor": Ask("inpaint", {"context_from_mask_extend_factor": 1.2}, ["context_from_mask_extend_factor", "crop.context_factor"]),
    "a fill by a color": masked("mask.fill: got 'grey'", FILL, fill="grey"),
    "a fill as a switch": masked("mask.fill: got True", FILL, fill=True),
    "a fill of a canvas": masked("mask.fill: got 'reflect'", FILL, fill="reflect"),
    "a color match as a switch": masked("mask.color_match: got True", "ring, or None for none", color_match=True),
    "a color match that is off": masked(
        "mask.color_match: got 'off'", "ring, or None for none. To leave it out, write null in YAML", color_match="off"
    ),
    "a color match by its space": masked("mask.color_match: got 'lab'", "ring, or None for none", color_match="lab"),
    "a blend by OpenCV's name": masked("mask.blend: got 'seamless'", "one of alpha, poisson", blend="seamless"),
    "another tool's fill": Ask("inpaint", {"masked_content": "latent noise"}, ["masked_content", "mask.fill says", "blur is their fill"]),
    "another tool's color match": Ask("inpaint", {"color_correction": True}, ["color_correction", "mask.color_match"]),
    "a fill of words": from_words("text_to_image.mask", NO_MASK, text_to_image={"mask": {"fill": "telea"}}),
    "a soft mask as a switch": masked("mask.soft: got True", "one of off, threshold, blend", soft=True),
    "a soft mask by another name": masked("mask.soft: got 'differential'", "one of off, threshold, blend", soft="differential"),
    "differential diffusion by its name": masked("mask.soft: got 'differential'", "Write threshold", soft="differential"),
    "a fill by the web UI's name": masked("mask.fill: got 'fill'", "The web UI's fill is blur", fill="fill"),
    "nothing for a fill": masked("mask.fill: got 'latent nothing'", "is neutral, of mask.fill", fill="latent nothing"),
    "another tool's blur": Ask("inpaint", {"mask_blur": 8}, ["mask_blur", "mask.feather_px", "mask.blur_px"]),
    "a soft mask as a number": masked("mask.soft: got 0.5", "one of off, threshold, blend", soft=0.5),
    "a negative blur": masked("mask.blur_px: got -1", BLUR, blur_px=-1),
    "a blur that is not whole": masked("mask.blur_px: got 1.5", BLUR, blur_px=1.5),
    "a blur as text": masked("mask.blur_px: got '8'", "Write 8, without quotes", blur_px="8"),
    "a huge blur": masked("mask.blur_px: got 20000", BLUR, blur_px=20000),
    "another tool's soft inpainting": Ask("inpaint", {"soft_inpainting": True}, ["soft_inpainting", "mask.soft"]),
    "another tool's change map": Ask("inpaint", {"differential_diffusion": True}, ["differential_diffusion", "mask.soft"]),
    "another tool's bias": Ask("inpaint", {"mask_blend_power": 1}, ["mask_blend_power", "mask.soft blend"]),
    "a soft mask from words": from_words("text_to_image.mask", NO_MASK, text_to_image={"mask": {"soft": "blend"}}),
    "a crop from words": from_words("text_to_image.crop", NO_MASK, text_to_image={"crop": {"padding_mask_crop": 8}}),
    "a crop of all": Ask("image_to_image", {"image_to_image": {"crop": {"padding_mask_crop": 8}}}, ["makes all of the picture anew", "take inpaint"]),
    "a strength without a step": Ask("image_to_image", few(strength=0.01), ["strength 0.01", "10"]),
    "a strength above 1": Ask("image_to_image", few(strength=1.5), ["strength: got 1.5", "above 0, at most 1"]),
    "a refiner's strength without a step": Ask(
        "image_to_image", {**few(handover="sdedit"), "refiner": {"strength": 0.01}}, ["refiner.strength", "0.01"]
    ),
    "sdedit without a refiner": Ask(
        "image_to_image", few(handover="sdedit"), ["handover: got sdedit", "no refiner", "consistent"], checkpoint="alone"
    ),
    "a hand-over misspelled": Ask("image_to_image", few(handover="sdedit2"), ["handover: got 'sdedit2'", "mean sdedit?"]),
    "strength from words": from_words("text_to_image.denoising.strength", FROM_NOISE, text_to_image={"denoising": {"strength": 0.5}}),
    "a mask from words": from_words("text_to_image.mask", NO_MASK, text_to_image={"mask": {"kernel_size": 3}}),
    "a canvas from words": from_words("text_to_image.canvas", NO_CANVAS, text_to_image={"canvas": {"left_px": 8}}),
    "a mode from words": from_words("text_to_image.mode", NO_CANVAS, text_to_image={"mode": "canvas"}),
    "an image from words": from_words("text_to_image.image", FROM_NOISE, text_to_image={"image": "photo.png"}),
    "another tool's strength": from_words("text_to_image.denoising_strength", FROM_NOISE, text_to_image={"denoising_strength": 0.5}),
    "a mask for all": Ask("image_to_image", {"image_to_image": {"mask": {"kernel_size": 3}}}, ["makes all of the picture anew", "take inpaint"]),
    "a picture of words": Ask("image_to_image", {}, ["has no picture, and image_to_image needs one", "text_to_image"], "words.txt"),
    "a mask of words": Ask("inpaint", {}, ["has no picture, and inpaint needs one", "text_to_image"], "words.txt"),
    "words for a base that inpaints": Ask("text_to_image", {}, ["9 input channels", "needs one with 4", "sdxl"], "words.txt", "nine"),
    "a picture for a base that inpaints": Ask("image_to_image", {}, ["9 input channels", "needs one with 4", "sdxl"], checkpoint="nine"),
    "no seeds": seeded("seeds: got []", "a list of 1 to 100 different seeds", seeds=[]),
    "a seed twice": seeded("seeds: got [1, 1]", "different seeds", seeds=[1, 1]),
    "no random seeds": seeded("seeds: got 'random(0)'", "from 1 to 100", seeds="random(0)"),
    "a fraction as seeds": seeded("seeds: got 1.5", "a list of 1 to 100", seeds=1.5),
    "yes as seeds": seeded("seeds: got True", "a list of 1 to 100", seeds=True),
    "seeds beside a seed": seeded("seeds: got seeds beside hyperparameters.seed", "leave one out", seed=1, seeds=[1, 2]),
    "txt2img": Ask("txt2img", {}, ["got 'txt2img'", "Write text_to_image"]),
    "img2img": Ask("img2img", {}, ["got 'img2img'", "Write image_to_image"]),
    "a task misspelled": Ask("text_to_imgae", {}, ["got 'text_to_imgae'", "mean text_to_image?"]),
    "a task's section misspelled": from_words("hyperparameters.txt2img: unknown key", "mean text_to_image?", txt2img={"seed": 1}),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, random_pair, random_inpaint_pair) -> dict[str, Path]:
    """With a refiner, without one, and one whose base was trained to inpaint."""
    return {"pair": random_pair, "alone": write_checkpoint(tmp_path_factory.mktemp("alone"), refiner=None), "nine": random_inpaint_pair}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A working folder with files of prompts, and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def files(folder: Path) -> set[str]:
    """Every file and folder below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_cannot_be_made_ends_with_one_message(home, checkpoints, name):
    """
    The command leaves with 1, says in one message what was got and what is allowed or what to do, shows no traceback, and writes nothing.
    """
    ask = RUNS[name]
    hyperparameters = {"denoising": {"num_inference_steps": 3}, "prompt": "a star"} | ask.hyperparameters
    parameters = {"name": "bad", "dataset": ask.dataset, "samples": ask.samples, "checkpoint": str(checkpoints[ask.checkpoint]), "tracking": "off"}
    (home / "bad.yaml").write_text(json.dumps({**parameters, "tasks": [ask.task], "hyperparameters": hyperparameters}))
    before = files(home)
    ended = said("run", "text_to_image", "-f", "bad.yaml")
    assert ended.code == 1
    assert [word for word in ask.words if word not in ended.err] == []
    assert ended.err.startswith("sdxl-lab: ")
    assert [ended.err.count(text) for text in ("sdxl-lab: ", "problems in", "Traceback")] == [1, 0, 0]
    assert ended.out == ""
    assert files(home) == before


CALLS: dict[str, tuple[Callable[[], Any], list[str]]] = {
    "an image for the prompt": (lambda: sdxl_lab.text_to_image(PICTURE), ["prompt: got a Image", "a text", FROM_NOISE]),  # pyright: ignore[reportArgumentType]
    "an image for words": (lambda: sdxl_lab.text_to_image("a star", image=PICTURE), ["text_to_image.image", FROM_NOISE]),
    "an array for words": (lambda: sdxl_lab.text_to_image("a star", image=PIXELS), ["text_to_image.image", FROM_NOISE]),
    "a mask for words": (lambda: sdxl_lab.text_to_image("a star", mask_image=PICTURE), ["text_to_image.mask_image", NO_MASK]),
    "a strength for words": (lambda: sdxl_lab.text_to_image("a star", strength=0.5), ["text_to_image.strength", FROM_NOISE]),
    "a reading for words": (lambda: sdxl_lab.text_to_image("a star", background="gray"), ["text_to_image.image", FROM_NOISE]),
    "keeping words": (lambda: sdxl_lab.text_to_image("a star", keep=True), ["keep: no picture is given", "leave it out"]),
    "seeds for words": (lambda: sdxl_lab.text_to_image("a star", seeds=[1, 2]), ["seeds: a call makes one picture", "call once for each"]),
    "a size by half": (lambda: sdxl_lab.text_to_image("a star", width=64), ["got width 64 without height"]),
    "a size that 8 does not divide": (lambda: sdxl_lab.text_to_image("a star", width=100, height=64), ["size.width: got 100", SIDE]),
    "seeds for a picture": (lambda: sdxl_lab.image_to_image(PICTURE, "a star", seeds="1-4"), ["seeds: a call makes one picture"]),
    "a mask for a picture": (
        lambda: sdxl_lab.image_to_image(PICTURE, "a star", mask_image=PICTURE),
        ["image_to_image.mask_image", "makes all of the picture anew", "take inpaint"],
    ),
    "prompt and picture swapped": (lambda: sdxl_lab.image_to_image("a star", PICTURE), ["prompt: got a Image", "a text"]),  # pyright: ignore[reportArgumentType]
    "words and files in another order": (
        lambda: sdxl_lab.inpaint("a star", "photo.jpg", "mask.png"),
        ["image: got 'a star'", "the prompt comes last: inpaint(image, mask_image, prompt)"],
    ),
    "no picture": (lambda: sdxl_lab.image_to_image(None, "a star"), ["image: got None; give a PIL image"]),
    "the file of an array": (lambda: sdxl_lab.image_to_image("pixels.npy", "a star"), ["image: got 'pixels.npy'", "numpy.load"]),
    "a picture that is not there": (lambda: sdxl_lab.image_to_image("photo.png", "a star"), ["image: got 'photo.png'", "no such file"]),
    "two channels": (lambda: sdxl_lab.image_to_image(PIXELS[..., :2], "a star"), ["image: got an array of shape (64, 64, 2)", "(height, width, 3)"]),
    "channels first": (lambda: sdxl_lab.image_to_image(PIXELS.transpose(2, 0, 1), "a star"), ["(3, 64, 64)", "array.transpose(1, 2, 0)"]),
    "a batch": (lambda: sdxl_lab.image_to_image(PIXELS[None], "a star"), ["(1, 64, 64, 3)", "give array[0]"]),
    "no pixel": (lambda: sdxl_lab.image_to_image(PIXELS[:0], "a star"), ["image: got an array without a pixel"]),
    "floats to 255": (lambda: sdxl_lab.image_to_image(FLOATS * 255, "a star"), ["got floats from 0 to 255", "divide by 255"]),
    "floats from -1": (lambda: sdxl_lab.image_to_image(FLOATS * 2 - 1, "a star"), ["got floats from -1 to 1", "(array + 1) / 2"]),
    "whole numbers": (lambda: sdxl_lab.image_to_image(PIXELS.astype(np.int64), "a star"), ["an array of int64", "array.astype(numpy.uint8)"]),
    "NaN": (lambda: sdxl_lab.image_to_image(FLOATS * np.nan, "a star"), ["NaN or infinity", "floats from 0 to 1"]),
    "a mask as picture": (lambda: sdxl_lab.image_to_image(FLOATS[..., 0] > 0.5, "a star"), ["an array of bool, which is a mask"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_cannot_be_made_is_one_error(home, name):
    """
    Each is one error of the lab that says what was got and what is allowed or what to do; nothing is written.
    """
    call, words = CALLS[name]
    np.save("pixels.npy", PIXELS)
    before = files(home)
    with pytest.raises(LabError) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []
    assert "problems in" not in str(caught.value)
    assert files(home) == before

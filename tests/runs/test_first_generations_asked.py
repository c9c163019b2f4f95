"""Checkpoints of Stable Diffusion 1 and 2 by one call, on a bench, on its page and from the command line; and what they lack is said there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab import Bench, fetch, inpaint, text_to_image
from sdxl_lab.records.infotext import _fields as fields_of
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.reproduce import reproduce
from sdxl_lab.spec.run_spec import SpecError
from tests.bench.widget.test_desk import Page
from tests.support.commands import said
from tests.support.edits import same
from tests.support.loras import as_kohya, matrices, write

QUICK: dict[str, Any] = {"num_inference_steps": 3, "seed": 7}
PROMPT = "a blue star on grass"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """
    A working folder with a picture and its mask.
    """
    monkeypatch.chdir(tmp_path)
    sample = fetch("pocket-scenes").sample("red-circle")
    for name, path in {"photo.png": sample.image_path, "mask.png": sample.mask_path}.items():
        assert path
        Path(name).write_bytes(path.read_bytes())
    return tmp_path


def test_a_call_a_bench_and_the_command_line_make_one_picture(sd2_inpaint):
    """
    Asked for by a checkpoint's folder in any of the three ways, it is the same picture at the input's size, and is made again from its PNG.
    """
    called = inpaint("photo.png", "mask.png", PROMPT, checkpoint=str(sd2_inpaint), **QUICK)
    bench = Bench(sd2_inpaint, tracking="off")
    bench.open("photo.png", "mask.png")
    made = bench.make(PROMPT, **QUICK)
    settings = [text for name, value in QUICK.items() for text in ("-p", name, value)]
    done = said("paint", PROMPT, "--image", "photo.png", "--mask", "mask.png", "-p", "checkpoint", sd2_inpaint, "-p", "tracking", "off", *settings)
    assert done.code == 0, done.err
    painted = read_stamp(Path(done.out.splitlines()[-1]))
    assert called.picture_id == made.picture_id == painted.picture_id
    assert same(called.image, made.image)
    assert called.image.size == (128, 128)
    assert called.stamp.resolved.checkpoint.family == "sd"
    assert reproduce(made.path).is_identical


def test_what_is_not_there_is_said_by_name(sd1):
    """
    A call and a bench refuse the refiner's share with the checkpoint's family and why; a bench goes on from a picture without.
    """
    with pytest.raises(SpecError, match=r"high_noise_frac: got 0\.8, but checkpoint .* is of family sd, which has no refiner; leave it out"):
        text_to_image(PROMPT, checkpoint=str(sd1), high_noise_frac=0.8, **QUICK)
    bench = Bench(sd1, tracking="off")
    first = bench.make(PROMPT, **QUICK)
    with pytest.raises(SpecError, match="which is told no sizes"):
        bench.again(original_size=[64, 64])
    assert bench.again(high_noise_frac=None, guidance_scale=3.0).picture_id != first.picture_id


def test_other_tools_read_the_lora(sd1, tmp_path):
    """
    The text that the web UI reads asks for a LoRA of one text encoder as for any other, and the picture is another one.
    """
    file = write(tmp_path / "moon.safetensors", as_kohya(matrices(sd1, 1), alone=True))
    on = text_to_image(PROMPT, checkpoint=str(sd1), loras={"moon": {"file": str(file), "weight": 0.8}}, **QUICK)
    assert not same(on.image, text_to_image(PROMPT, checkpoint=str(sd1), **QUICK).image)
    with Image.open(on.save(tmp_path / "on.png")) as image:
        fields = fields_of(image.info["parameters"])
    assert fields["Prompt"] == f"{PROMPT} <lora:moon:0.8>"
    assert re.fullmatch(r'"moon: [0-9a-f]{12}"', fields["Lora hashes"])


def test_a_page_has_no_knob_for_what_is_not_there(sd1):
    """
    Turned before the checkpoint was changed, a setting is refused at its knob; turned back, the knob is gone until a checkpoint has the setting.
    """
    page = Page(Bench(tracking="off"))
    page.do("hello")
    frac = "denoising.high_noise_frac"
    page.do("ask", changes={"prompt": PROMPT, frac: 0.8})
    page.do("ask", changes={"checkpoint": str(sd1)})
    [problem] = page.until(lambda content: content["event"] == "checked" and content["value"]["problems"])[0]["value"]["problems"]
    assert problem["path"] == frac
    assert "which has no refiner" in problem["text"]
    assert frac in [knob["path"] for knob in page.state("knobs")["knobs"]]
    page.do("ask", changes={frac: None})
    page.until(lambda content: content["event"] == "checked" and not content["value"]["problems"] and content["value"]["task"])
    page.do("ask", changes={"denoising.num_inference_steps": 3})
    page.until(lambda content: content["event"] == "knobs" and frac not in [knob["path"] for knob in content["value"]["knobs"]])
    page.do("ask", changes={"checkpoint": "pocket"})
    page.until(
        lambda content: (
            content["event"] == "knobs"
            and frac in [knob["path"] for knob in content["value"]["knobs"]]
            and content["value"]["checkpoint"] == "pocket"
        )
    )

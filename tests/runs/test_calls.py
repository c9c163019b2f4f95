"""One picture by one call: the same as from a run, and what comes back."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from rich.console import Console

import sdxl_lab
from sdxl_lab import inpaint, outpaint, reproduce
from sdxl_lab.datasets import inputs
from sdxl_lab.errors import LabError
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import run
from sdxl_lab.runs.made_picture import SaveError
from sdxl_lab.runs.resolution import fetch, resolve
from sdxl_lab.runs.single import CallError
from sdxl_lab.settings.documents import written
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.show import print_path
from tests.support.edits import crossed
from tests.support.profiles import profile
from tests.support.run_folders import files

pytestmark = pytest.mark.usefixtures("home")

QUICK: dict[str, Any] = {"num_inference_steps": 4}


def by_run(dataset: str, task: str, prompt: str, samples: list[str] | None = None, **hyperparameters: Any):
    """The same picture by a run, of which nothing but its recorded picture is looked at."""
    parameters: dict[str, Any] = {"name": "run", "dataset": dataset, "checkpoint": "pocket", "tasks": [task], "samples": samples, "tracking": "off"}
    hyperparameters = {"prompt": prompt, "denoising": QUICK, **hyperparameters}
    [picture] = run(resolve(RunSpec.from_parameters(**parameters, hyperparameters=hyperparameters)))
    return picture


# --- the same as from a run ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "nested", "flat"),
    [
        ("inpaint", {}, {}),
        (
            "inpaint",
            {"mask": {"kernel_size": 9, "feather_px": 3}, "compute": {"dtype": "float32"}},
            {"kernel_size": 9, "feather_px": 3, "dtype": "float32"},
        ),
        (
            "inpaint",
            {"denoising": QUICK | {"high_noise_frac": 0.5}, "refiner": {"aesthetic_score": 7}},
            {"high_noise_frac": 0.5, "aesthetic_score": 7},
        ),
        ("outpaint", {"negative_prompt": "blurry"}, {"negative_prompt": "blurry"}),
        ("outpaint", {"outpaint": {"mode": "canvas", "canvas": {"left_px": 24}}}, {"mode": "canvas", "left_px": 24}),
    ],
)
@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_a_call_makes_the_picture_of_a_run(sample, task, nested, flat):
    """
    With the same settings, a call and a run over a dataset with the same picture and mask make one picture: one name, one sha256, one line of notes.
    """
    expected = by_run("pocket-scenes", task, "a blue star", ["red-circle"], seed=11, **nested)
    mask = None if "mode" in flat else sample.mask_path
    made = getattr(sdxl_lab, task)(sample.image_path, mask, "a blue star", seed=11, **QUICK, **flat)
    assert (made.picture_id, made.sha256, made.notes) == (expected.picture_id, expected.sha256, expected.notes)
    assert digest_of_pixels(made.image) == made.sha256
    assert written(made.edit) == written(read_stamp(expected.image).edit) | {"sample": inputs.SAMPLE}


def variants() -> dict[str, tuple[Image.Image, str, dict[str, Any]]]:
    """Pictures whose files say more than their numbers, with the format and what it is told."""
    scene = Image.open(fetch("pocket-scenes").sample("red-circle").image_path).convert("RGB")
    layer = scene.copy()
    layer.putalpha(Image.linear_gradient("L").resize(scene.size))
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 3
    return {
        "alpha": (layer, "PNG", {}),
        "profile": (scene, "PNG", {"icc_profile": profile()}),
        "turned": (scene, "PNG", {"exif": turned}),
        "jpeg": (scene, "JPEG", {"icc_profile": profile(), "exif": turned}),
        "cmyk": (scene.convert("CMYK"), "TIFF", {}),
        "palette": (scene.quantize(16), "GIF", {}),
    }


@pytest.mark.parametrize("name", crossed(variants(), quick=lambda name: name in ("alpha", "jpeg", "palette")))
def test_alpha_profile_and_rotation_mean_what_they_mean_to_a_run(home, sample, name):
    """
    A file with alpha, a profile, EXIF's rotation or another mode makes the same picture by call and by run, and is made again from what was kept.
    """
    image, kind, details = variants()[name]
    (home / "data").mkdir()
    image.save(home / "data" / "image", kind, **details)
    sample.mask().save(home / "data" / "mask.png")
    metadata = {"samples": [{"name": "one", "image": "image", "mask": "mask.png"}]}
    (home / "data" / "metadata.json").write_text(json.dumps(metadata))
    expected = by_run("data", "inpaint", "a blue star", image={"background": "gray"})
    with Image.open(home / "data" / "image") as opened:
        for given in (home / "data" / "image", opened):
            made = inpaint(given, home / "data" / "mask.png", "a blue star", background="gray", **QUICK)
            assert (made.picture_id, made.sha256) == (expected.picture_id, expected.sha256)
    assert reproduce(made.save("made.png")).is_identical


def test_a_mask_drawn_on_pixels_as_a_camera_stores_them_is_to_be_turned(home):
    """
    A photograph stored on its side, with a mask of its stored size, is refused by call, bench and dataset with both sizes and what to do.
    """
    lying = Image.Exif()
    lying[ExifTags.Base.Orientation] = 6
    (home / "data").mkdir()
    Image.new("RGB", (40, 64), "teal").save(home / "data" / "photo.jpg", exif=lying)
    mask = Image.new("L", (40, 64))
    mask.paste(255, (8, 8, 24, 24))
    mask.save(home / "data" / "mask.png")
    (home / "data" / "metadata.json").write_text(json.dumps({"samples": [{"name": "one", "image": "photo.jpg", "mask": "mask.png"}]}))
    bench = sdxl_lab.Bench(tracking="off")
    files = home / "data" / "photo.jpg", home / "data" / "mask.png"
    for refused in (lambda: inpaint(*files, "a star"), lambda: bench.open(*files), lambda: fetch("data")):
        with pytest.raises(LabError, match=r"40x64, and the image is 64x40 \(both upright\): it lies on its side.*turn the mask"):
            refused()
    mask.transpose(Image.Transpose.ROTATE_270).save(home / "data" / "mask.png")
    turned = fetch("data").sample("one").mask()
    assert turned
    assert turned.size == (64, 40)


def test_settings_by_name_and_by_section_are_one(sample):
    """
    Flat and nested settings, and a picture as array, path and image, make the same picture; it says which seed it has where none was given.
    """
    pictures = [
        inpaint(sample.image_path, sample.mask_path, "a star", strength=0.9, kernel_size=5, **QUICK),
        inpaint(sample.image(), sample.mask(), "a star", denoising={**QUICK, "strength": 0.9}, mask={"kernel_size": 5}),
        inpaint(np.asarray(sample.image()), np.asarray(sample.mask()) > 0, "a star", denoising=QUICK, strength=0.9, kernel_size=np.int64(5), seed=0),
    ]
    assert len({picture.picture_id for picture in pictures}) == len({picture.sha256 for picture in pictures}) == 1
    assert pictures[0].seed == 0
    assert (pictures[0].settings.denoising.strength, pictures[0].settings.mask.kernel_size) == (0.9, 5)


# --- what cannot be used -------------------------------------------------------------------------------------------------------------------------

PHOTOGRAPH = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
SQUARE = np.zeros((128, 128), bool)
SQUARE[40:80, 40:80] = True
BAD: list[tuple[dict[str, Any], type[LabError], str]] = [
    ({"image": None}, CallError, "^image: got None; give a PIL image"),
    ({"image": [1]}, CallError, "^image: got a list"),
    ({"image": "nowhere.png"}, CallError, "^image: got 'nowhere.png', and there is no such file"),
    ({"image": PHOTOGRAPH / 1.0}, CallError, "^image: got floats from 0 to 255"),
    ({"image": SQUARE}, CallError, "^image: got an array of bool"),
    ({"mask_image": None}, CallError, "^mask_image: got None, and inpaint needs a mask"),
    ({"mask_image": "a blue star"}, CallError, "^mask_image: got 'a blue star', and there is no such file"),
    ({"mask_image": SQUARE[:64]}, CallError, "^mask_image: got 128x64, and the image is 128x128"),
    ({"mask_image": PHOTOGRAPH}, CallError, "^mask_image: it is a color picture"),
    ({"mask_image": SQUARE & False}, CallError, "^mask_image: it is all black"),
    ({"mask_image": SQUARE | True}, CallError, "^mask_image: it is all white"),
    ({"mask_image": SQUARE.astype(np.uint8)}, CallError, r"^mask_image: got an array of uint8 with 0 and 1 alone"),
    ({"mask_image": PHOTOGRAPH, "image": SQUARE * 1.0}, CallError, "swapped; exchange image and mask_image$"),
    ({"mask_image": SQUARE * 1.0, "image": SQUARE * 1.0}, CallError, "^mask_image: it is the same picture"),
    ({"prompt": None}, SpecError, "prompt: got a NoneType; allowed is a text"),
    ({"prompt": SQUARE}, SpecError, "prompt: got a ndarray; allowed is a text"),
    ({"prompt": "null"}, SpecError, "inpaint.prompt: got the text 'null'"),
    ({"seed": 1.5}, SpecError, "inpaint.seed: got 1.5; allowed is a whole number"),
    ({"seed": True}, SpecError, "inpaint.seed: got True"),
    ({"steps": 5}, SpecError, "steps: here it is called num_inference_steps"),
    ({"num_inference_steps": 0}, SpecError, "num_inference_steps: got 0; allowed is a whole number of steps from 1 to 1000"),
    ({"strength": 0.5, "denoising": {"strength": 0.6}}, SpecError, "denoising.strength: given twice"),
    ({"mode": "canvas"}, SpecError, "inpainting never leaves the picture"),
    ({"dataset": "pocket-scenes"}, SpecError, "dataset: a parameter of runs"),
    ({"checkpoint": "nowhere"}, LabError, "nowhere"),
    ({"negative_prompt": 5}, SpecError, "inpaint.negative_prompt: got 5"),
    ({"prompt": "sk-" + "a1B2c3D4" * 6}, SpecError, "looks like an API key"),
]


@pytest.mark.parametrize(("changes", "kind", "said"), BAD, ids=[said[:40] for _, _, said in BAD])
def test_what_cannot_be_used_is_one_clear_error(home, changes, kind, said):
    """
    Each fault is one error that says what was got and what is allowed; nothing is written.
    """
    arguments = {"image": PHOTOGRAPH, "mask_image": SQUARE, "prompt": "a star"} | changes
    with pytest.raises(kind, match=re.compile(said, re.DOTALL)) as caught:
        inpaint(**arguments)
    assert "a1B2c3D4" not in str(caught.value)
    assert files(home) == []


def test_what_has_no_effect_is_said_where_it_was_called(sample):
    """
    A mask that is not looked at and a setting that changes nothing are warned of at the line of the call, and stay with the picture.
    """
    with pytest.warns(CautionWarning) as caught:
        made = outpaint(sample.image(), sample.mask(), "a star", mode="canvas", left_px=8, aesthetic_score=7, **QUICK)
    said = [warning for warning in caught if warning.category is CautionWarning]
    assert [str(warning.message) for warning in said] == list(made.notes)
    assert [Path(warning.filename) for warning in said] == [Path(__file__)] * 2
    assert made.notes[0] == "mask_image has no effect: with these settings, outpaint needs none."
    assert "aesthetic_score has no effect" in made.notes[1]
    assert set(written(read_stamp(made.save("made.png")).resolved.dataset)["inputs"]) == {"image"}


def test_what_is_to_be_said_of_the_files_is_noted(sample):
    """
    That a transparent picture is laid over white stands in the notes, without the name that its sample has.
    """
    layer = sample.image().copy()
    layer.putalpha(0)
    made = inpaint(layer, sample.mask(), "a star", **QUICK)
    assert made.notes == ("100% of the picture is transparent, and laid over white; hyperparameters.image.background takes another color",)


# --- what comes back -----------------------------------------------------------------------------------------------------------------------------


def test_a_saved_picture_says_how_it_was_made_and_nothing_of_the_machine(home, sample, monkeypatch):
    """
    `sdxl-lab show` reads it; in its bytes there is neither a path, a user's name nor a key.
    """
    monkeypatch.setenv("COMET_API_KEY", "k3yk3yk3yk3yk3yk3yk3yk3y")
    made = inpaint(sample.image_path, sample.mask_path, "a blue star", seed=5, **QUICK)
    path = made.save(str(home / "made.png"))
    assert path == home / "made.png"
    console = Console(record=True, width=200)
    print_path(path, console)
    with pytest.raises(LabError, match=r"was made by a call.*call again"):
        parameters_of(path)
    shown = console.export_text()
    assert "a blue star" in shown
    assert made.picture_id in shown
    with Image.open(path) as image:
        assert image.info["parameters"].startswith("a blue star\nSteps: 4, ")
        assert digest_of_pixels(image) == made.sha256
        texts = json.dumps(image.info)
    for secret in (str(home), str(Path.home()), str(sample.image_path.parent), "k3yk3y", "/tmp"):
        assert secret not in texts


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("made.jpg", "must end in .png"),
        ("made", "must end in .png"),
        ("nowhere/made.png", "there is no folder nowhere; make it first"),
        ("folder.png", "something else than a file"),
        (5, "allowed is the path of a PNG"),
        (None, "allowed is the path of a PNG"),
    ],
)
def test_a_picture_is_saved_as_a_png_in_a_folder_that_is_there(home, made, written, said):
    """
    Another ending, a folder that is not there, a folder of that name and what is no path are refused, and nothing is made.
    """
    (home / "folder.png").mkdir()
    with pytest.raises(SaveError, match=said):
        made.save(written)
    assert files(home) == []


@pytest.fixture(scope="module")
def made(sample):
    """A quick picture."""
    return inpaint(
        sample.image(), sample.mask(), "a blue\nstar on grass beside a red circle and a yellow heart on a green field", seed=7, keep=False, **QUICK
    )


def test_a_notebook_shows_what_was_made(made, monkeypatch):
    """
    As a cell's value the picture itself, by `show` a small one with its prompt, as text one line.
    """
    from IPython.core.formatters import DisplayFormatter

    data, _ = DisplayFormatter().format(made, include={"image/png", "text/plain"})
    with Image.open(io.BytesIO(data["image/png"])) as image:
        assert digest_of_pixels(image) == made.sha256
    assert re.fullmatch(
        r"<MadePicture [0-9a-f]{10}: inpaint 'a blue star on grass beside a red circle and a yellow heart…', seed 7, 128x128, 1 note>", repr(made)
    )
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    made.show()
    assert "a blue star on grass" in shown[0].data
    assert "seed 7" in shown[0].data


def test_calls_share_one_checkpoint_and_what_was_computed(sample, monkeypatch):
    """
    The second call loads nothing, and takes over what the first computed: the base's steps up to the hand-over.
    """
    from sdxl_lab.checkpoints import loading
    from sdxl_lab.generation.stages.inpaint import InpaintStage as Stage

    inpaint(sample.image(), sample.mask(), "a shared star", high_noise_frac=0.75, **QUICK)
    roles: list[str] = []
    real = Stage.of
    monkeypatch.setattr(Stage, "of", lambda *given, **named: roles.append(named["role"]) or real(*given, **named))
    monkeypatch.setattr(loading, "require_weights_of", lambda *_: pytest.fail("it loads again"))
    inpaint(sample.image(), sample.mask(), "a shared star", high_noise_frac=0.75, refiner={"guidance_scale": 2.0}, **QUICK)
    assert roles == ["refiner"]


def test_a_picture_goes_on_from_what_was_asked(sample):
    """
    Called again with what was asked of it, a picture is made again; with one thing changed, that alone is another.
    """
    asked: dict[str, Any] = QUICK | {"guidance_scale": 3.0, "background": "black", "seed": 5, "negative_prompt": "snow"}
    made = inpaint(sample.image(), sample.mask(), "a star", **asked)
    again = inpaint(sample.image(), sample.mask(), made.prompt, **made.asked)
    assert again.picture_id == made.picture_id
    other = inpaint(sample.image(), sample.mask(), made.prompt, **made.asked | {"seed": 6})
    assert (other.seed, other.settings) == (6, made.settings)

"""A bench: what is made on it, what is kept of that, and what goes on from it."""

from __future__ import annotations

import contextlib
import gc
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from PIL import Image

import sdxl_lab
from sdxl_lab import Bench, Inline, RunSpec, SweepFile, reproduce, resolve, run, sweep
from sdxl_lab.bench.errors import BenchError
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.kernels import notebooks
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.single import CallError
from sdxl_lab.spec.cautions import CautionWarning
from sdxl_lab.spec.run_spec import SpecError
from sdxl_lab.sweeps.planner import plan
from sdxl_lab.sweeps.sweep_file import SweepFileError
from tests.support.commands import said
from tests.support.sessions import names

pytestmark = pytest.mark.usefixtures("home")

PROMPT = "a blue star on grass"
QUICK: dict[str, Any] = {"num_inference_steps": 4}


def test_a_session_goes_on_by_its_name(home, sample):
    """
    A name stands for one bench of this process, also before it has a picture, with what lies on it; elsewhere, and once it is gone, for its session.
    """
    bench = Bench.named("reef", tracking="off")
    assert bench.is_bare
    bench.open(sample)
    assert Bench.named("reef") is bench
    assert not bench.is_bare
    assert Bench.named("other", tracking="off") is not bench
    made = bench.make(PROMPT, seed=7, **QUICK)
    folder = bench.session.path
    (home / "elsewhere" / "artifacts").mkdir(parents=True)
    with contextlib.chdir(home / "elsewhere"):
        assert Bench.named("reef", tracking="off").pictures == ()
    assert Bench.named("reef") is bench
    bench.close()
    del bench
    gc.collect()
    later = Bench.named("reef")
    assert (later.session.path, [picture.picture_id for picture in later.pictures]) == (folder, [made.picture_id])


# --- one picture, five ways ----------------------------------------------------------------------------------------------------------------------

WAYS: dict[str, dict[str, Any]] = {
    "inpaint": {"kernel_size": 9, "feather_px": 3, "high_noise_frac": 0.8},
    "outpaint": {"mode": "canvas", "left_px": 24},
    "image_to_image": {"strength": 0.7},
    "text_to_image": {"aspect": "3:2"},
}


@pytest.mark.slow
@pytest.mark.parametrize("task", WAYS)
@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_a_picture_is_the_same_by_bench_command_call_notebook_and_sweep(bench, home, sample, task):
    """
    With the same settings, all five ways make one picture, by name and by pixels, and each of its PNGs can be made again.
    """
    settings = QUICK | WAYS[task]
    needs = sdxl_lab.tasks.TASKS[task].needs(sdxl_lab.EditSettings(mode=settings.get("mode")))
    paths = {name: path for name, path in (("image", sample.image_path), ("mask", sample.mask_path)) if name in needs}
    bench.open(*paths.values())
    by_bench = bench.make(PROMPT, seed=7, **settings)

    given = [*paths.values(), *([None] if task == "outpaint" else [])]
    by_call = getattr(sdxl_lab, task)(*given, PROMPT, seed=7, **settings)

    options = [word for name, path in paths.items() for word in (f"--{name}", path)]
    flat = [word for name, value in settings.items() for word in ("-p", name, value)]
    painted = said("paint", PROMPT, *options, "--seed", 7, "-p", "tracking", "off", *flat)
    assert painted.code == 0, painted.err
    by_command = Path(painted.out.splitlines()[-1])

    parameters = bench.parameters(by_bench)
    notebook = notebooks.find("inpaint_outpaint")
    notebooks.run(notebook, notebooks.parameters_of(notebook) | parameters, home / "executed.ipynb", warm=True)
    [folder] = sdxl_lab.find_runs(home / "artifacts" / "runs" / "single")
    [by_notebook] = folder.pictures()

    file = SweepFile.read(bench.sweep_around(by_bench, {"seed": [7]}))
    planned = plan(file)
    sweep(planned, Inline())
    by_sweep = RunFolder(planned.runs[0].folder).pictures()[0]

    pngs = [by_bench.path, by_call.save("call.png"), by_command, by_notebook.image, by_sweep.image]
    assert {names(made) for made in (by_bench, by_call, by_notebook, by_sweep)} == {names(by_bench)}
    assert {names(read_stamp(png)) for png in pngs} == {names(by_bench)}
    assert {digest_of_pixels(Image.open(png)) for png in pngs} == {by_bench.sha256}
    assert all(reproduce(Path(png)).is_identical for png in pngs)


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_a_picture_is_the_same_by_bench_command_call_and_run(bench, home, sample):
    """
    The same without a kernel, which a notebook and a sweep need.
    """
    settings = QUICK | WAYS["inpaint"]
    bench.open(sample.image_path, sample.mask_path)
    by_bench = bench.make(PROMPT, seed=7, **settings)
    by_call = sdxl_lab.inpaint(sample.image_path, sample.mask_path, PROMPT, seed=7, **settings)
    flat = [word for name, value in settings.items() for word in ("-p", name, value)]
    painted = said("paint", PROMPT, "--image", sample.image_path, "--mask", sample.mask_path, "--seed", 7, "-p", "tracking", "off", *flat)
    [by_run] = run(resolve(RunSpec.from_parameters(**bench.parameters(by_bench))))
    pngs = [by_bench.path, by_call.save("call.png"), Path(painted.out.splitlines()[-1]), by_run.image]
    assert {names(made) for made in (by_bench, by_call, by_run)} == {names(read_stamp(png)) for png in pngs} == {names(by_bench)}
    assert all(reproduce(png).is_identical for png in pngs)


# --- what is kept --------------------------------------------------------------------------------------------------------------------------------


def test_what_was_said_of_pictures_outlives_the_bench(bench):
    """
    Stars, notes and deletions are there when the session is resumed, numbers stay, and what was deleted can be made again at its place.
    """
    for seed in (1, 2, 3):
        bench.make(PROMPT, seed=seed, **QUICK)
    bench.star(1)
    bench.star(bench.pictures[2])
    bench.star(1, starred=False)
    bench.note(2, "too blue")
    bench.delete(1)
    again = Bench.resume()
    assert [(one.number, one.is_starred, one.note) for one in again.pictures] == [(2, False, "too blue"), (3, True, "")]
    assert again.make(seed=1).number == 1
    assert [one.number for one in again.pictures] == [1, 2, 3]
    assert [one.kept.line for one in again.pictures] == [one.kept.line for one in Bench.resume(bench.session.path).pictures]


def test_a_session_goes_on_in_another_bench(bench, sample):
    """
    Resumed, what the last picture was made from and with lies on the bench again.
    """
    bench.open(sample)
    bench.make(PROMPT, seed=7, guidance_scale=4.0, **QUICK)
    resumed = Bench.resume()
    made = resumed.make(seed=8)
    assert (made.prompt, made.settings.denoising.guidance_scale, made.number) == (PROMPT, 4.0, 2)
    assert made.path.parent == bench.session.images_folder


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_another_checkpoint_or_compute_begins_a_part(bench, random_pair):
    """
    Pictures of one part have checkpoint and compute in common; going back to those of an earlier part goes on with it.
    """
    small = {"width": 64, "height": 64, "num_inference_steps": 2}
    bench.make(PROMPT, seed=1, **small)
    bench.checkpoint = str(random_pair)
    bench.make(PROMPT, seed=1, **small)
    bench.make(PROMPT, seed=2, dtype="bfloat16", **small)
    bench.checkpoint = "pocket"
    bench.make(PROMPT, seed=3, **small)
    assert [one.kept.part for one in bench.pictures] == [1, 2, 3, 1]
    parts = [json.loads(line) for line in bench.session.parts_file.read_text().splitlines()]
    assert [(part["checkpoint"]["name"], part["dtype"]) for part in parts] == [
        ("pocket", "float32"),
        (random_pair.name, "float32"),
        (random_pair.name, "bfloat16"),
    ]
    resumed = Bench.resume()
    assert resumed.again(2, seed=9).stamp.resolved.checkpoint.digest == parts[1]["checkpoint"]["digest"]


def test_pictures_of_one_sample_were_made_from_one_picture(bench, sample):
    """
    What has the same name and is another picture is another sample, which nothing is compared with by mistake; the same picture is the same sample.
    """
    for image in (Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue"), Image.new("RGB", (64, 64), "red")):
        bench.open(image)
        bench.make(PROMPT, seed=len(bench.pictures), width=128, height=128, **QUICK)
    first, second, third = (one.kept.recorded.sample for one in bench.pictures)
    assert first == third == "picture"
    assert second.startswith("picture-")
    assert all(reproduce(one.path).is_identical for one in bench.pictures)


def test_a_session_begins_with_its_first_picture(bench, home):
    """
    A bench that makes nothing leaves nothing behind.
    """
    bench.open(Image.new("RGB", (64, 64)), Image.new("L", (64, 64), 255))
    with pytest.raises(SpecError):
        bench.make(PROMPT, no_such_setting=1)
    assert not (home / "artifacts").exists()


# --- going on ------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["sample", "words"])
def test_parameters_make_the_picture_in_a_run(bench, sample, given):
    """
    A run of a picture's parameters, read from the cell that is printed of them, makes the picture.
    """
    bench.open(sample if given == "sample" else None)
    made = bench.make(PROMPT, seed=7, **QUICK)
    cell: dict[str, Any] = {}
    exec(str(bench.parameters(made)), cell)
    cell.pop("__builtins__")
    [by_run] = run(resolve(RunSpec.from_parameters(**cell)))
    assert names(by_run) == names(made)


def test_a_sweep_around_a_picture_has_it_among_its_points(bench, sample):
    """
    Axes may be named as calls name settings; all else is the picture's own.
    """
    bench.open(sample)
    made = bench.make(PROMPT, seed=7, guidance_scale=4.0, **QUICK)
    file = SweepFile.read(bench.sweep_around(made, {"guidance_scale": [4.0, 6.0], "mask.feather_px": [0, 3]}))
    assert [point.label for point in file.points] == [f"guidance_scale={g} feather_px={f}" for g in (4.0, 6.0) for f in (0, 3)]
    planned = [resolve(point.spec).spec.edits[0] for point in file.points]
    assert planned[0].settings == made.settings
    assert {edit.settings.mask.feather_px for edit in planned} == {0, 3}
    with pytest.raises(SweepFileError, match="guidance"):
        bench.sweep_around(made, {"guidance_scal": [1]})


def test_pictures_are_compared_and_reported(bench):
    """
    Each picture is a run of one: what differs are the settings that were turned; of the starred alone where that is asked.
    """
    for guidance in (3.0, 5.0):
        bench.make(PROMPT, guidance_scale=guidance, **QUICK)
    bench.star(2)
    assert bench.compare().differing == {"denoising.guidance_scale": [3.0, 5.0]}
    assert len(bench.compare(starred=True).rows) == 1
    assert bench.report().parent == bench.session.path
    assert bench.report("starred.html", starred=True) == Path("starred.html")


# --- errors --------------------------------------------------------------------------------------------------------------------------------------


def test_what_a_bench_cannot_do_is_one_error(bench, sample):
    """
    Each says what was got, what is allowed, and what to do; nothing is made or kept.
    """
    with pytest.raises(SpecError, match="prompt: got None"):
        bench.make()
    with pytest.raises(SpecError, match="task: got 'paint'; allowed are inpaint, outpaint"):
        bench.make(PROMPT, task="paint")
    with pytest.raises(CallError, match="mask_image: got a mask and no picture"):
        bench.open(None, sample.mask_path)
    with pytest.raises(CallError, match=r"image: got 'nowhere\.png'"):
        bench.open("nowhere.png")
    with pytest.raises(BenchError, match="the session has no picture yet"):
        bench.star()
    with pytest.raises(BenchError, match="there is no picture yet"):
        bench.report()
    with pytest.raises(BenchError, match=r"got the session 'x', and there is none yet.*Bench\(\)"):
        Bench.resume("x")
    with pytest.raises(SpecError, match="tracking: got 'offline'"):
        Bench(tracking="offline")
    with pytest.raises(SpecError, match="name: got 'a/b'"):
        Bench(name="a/b")
    bench.make(PROMPT, **QUICK)
    with pytest.raises(BenchError, match="got the picture 5, and the session has 1 picture"):
        bench.note(5, "")
    with pytest.raises(BenchError, match="no picture is starred"):
        bench.compare(starred=True)


def test_what_will_make_a_poor_picture_is_said_to_whoever_asks(bench):
    """
    A caution points to the line that asked, and stays with the picture.
    """
    with pytest.warns(CautionWarning) as said_of:
        made = bench.make(PROMPT, guidance_scale=0.5, negative_prompt="blurry", **QUICK)
    assert said_of[0].filename == __file__
    assert made.notes == tuple(str(each.message) for each in said_of if each.category is CautionWarning)


@pytest.mark.slow
def test_the_notebook_shows_all_of_it(home):
    """
    Run by papermill, the notebook makes pictures, keeps what was said of them, and ends with a report, parameters and a sweep file that are there.
    """
    notebook, executed = notebooks.built_in()["explore"], home / "executed.ipynb"
    notebooks.run(notebook, notebooks.parameters_of(notebook) | {"tracking": "off", "prompt": "a red heart on grass"}, executed, warm=True)
    pictures = Bench.resume().pictures
    assert [(one.seed, one.settings.denoising.guidance_scale, one.is_starred) for one in pictures] == [
        (7, guidance, guidance == 3.0) for guidance in (7.5, 3.0, 5.0, 12.0)
    ]
    cells = nbformat.read(executed, as_version=4).cells
    report, file = (Path(cell.outputs[-1]["text"].splitlines()[0]) for cell in cells if cell.id in ("report", "sweep"))
    assert report.is_file()
    assert len(SweepFile.read(file).points) == 12

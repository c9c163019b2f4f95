"""`sdxl-lab paint`: single pictures from the command line, kept in a session."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab import Bench, fetch, inpaint
from sdxl_lab.bench.pictures import BenchPicture
from sdxl_lab.bench.sessions import sessions, today
from sdxl_lab.bench.worker import Making
from sdxl_lab.records.stamps import read_stamp
from tests.support.commands import Said, said

PROMPT = "a blue star on grass"
QUIET = ("-p", "tracking", "off", "-p", "num_inference_steps", 3)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A working folder with a picture and its mask."""
    monkeypatch.chdir(tmp_path)
    sample = fetch("pocket-scenes").sample("red-circle")
    assert sample.image_path
    assert sample.mask_path
    Path("photo.png").write_bytes(sample.image_path.read_bytes())
    Path("mask.png").write_bytes(sample.mask_path.read_bytes())
    return tmp_path


def painted(*arguments: Any) -> tuple[list[Path], Said]:
    """The pictures that the command names, and all it said."""
    done = said("paint", *arguments)
    assert done.code == 0, done.err
    return [Path(line) for line in done.out.splitlines()], done


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a picture."""
    with Image.open(path) as image:
        return image.size


def test_the_last_line_is_the_pictures_path():
    """
    What was painted is kept in today's session, says how it was made, and is the picture of a call.
    """
    [path], _ = painted(PROMPT, "--image", "photo.png", "--mask", "mask.png", "--seed", 7, *QUIET)
    stamp = read_stamp(path)
    expected = inpaint("photo.png", "mask.png", PROMPT, seed=7, num_inference_steps=3)
    assert (stamp.picture_id, stamp.sha256) == (expected.picture_id, expected.sha256)
    [session] = sessions()
    assert session.name == f"paint-{today()}"
    assert [kept.recorded.image.resolve() for kept in session.pictures()] == [path.resolve()]


def test_what_is_there_tells_the_task():
    """
    Words, a picture, a picture and its mask, a canvas, or the task that is named.
    """
    given = ([], ["--image", "photo.png"], ["--image", "photo.png", "--mask", "mask.png"], ["--image", "photo.png", "--canvas", "left=16,top=8"])
    pictures = [painted(PROMPT, *options, *QUIET)[0][0] for options in (*given, [*given[2], "--task", "outpaint"])]
    assert [read_stamp(path).edit.task for path in pictures] == ["text_to_image", "image_to_image", "inpaint", "outpaint", "outpaint"]
    assert [size_of(path) for path in pictures] == [(128, 128), (128, 128), (128, 128), (144, 136), (128, 128)]


def test_settings_are_named_as_calls_and_runs_name_them():
    """
    A name alone, a dotted one and the one that a run takes mean one setting: one picture, which is made once.
    """
    for name in ("guidance_scale", "denoising.guidance_scale", "hyperparameters.denoising.guidance_scale"):
        painted(PROMPT, "-p", name, 4.5, *QUIET)
    [session] = sessions()
    [kept] = session.pictures()
    assert kept.stamp.edit.settings.denoising.guidance_scale == 4.5


def test_what_is_to_be_said_is_said_before_the_picture_is_made(monkeypatch):
    """
    Whoever waits for a picture has read its notes, each once for all seeds.
    """
    heard: list[str] = []

    def result(making: Making) -> BenchPicture:
        heard.append(sys.stderr.buffer.getvalue().decode())
        return awaited(making)

    awaited = Making.result
    monkeypatch.setattr(Making, "result", result)
    paths, done = painted("a (blue:1.4) star", "--seed", "1-2", *QUIET)
    assert len(paths) == len(heard) == 2
    assert [text.count("“(blue:1.4)” is text") for text in (*heard, done.err)] == [1, 1, 1]


def test_several_seeds_are_several_pictures():
    """
    Seeds are repeated, or written as ranges; with -o each further one has its seed in its name, and is there before the last line is.
    """
    pictures, done = painted(PROMPT, "--seed", -732, "--seed", "2-3", "-o", "star.png", *QUIET)
    assert [path.name for path in pictures] == ["star.png", "star-s2.png", "star-s3.png"]
    assert [read_stamp(path).edit.seed for path in pictures] == [-732, 2, 3]
    assert len(Bench.resume().pictures) == 3
    assert "traceback" not in done.err.lower()


def test_words_that_were_drawn_or_replaced_are_told():
    """
    Each picture's prompt stands with its seed, as its PNG has it; a prompt without such words is not said again.
    """
    paths, done = painted("a {red|blue|green} star", "-p", "wildcards", "draw", "--seed", "1-3", *QUIET)
    prompts = [read_stamp(path).edit.prompt for path in paths]
    assert len(set(prompts)) > 1
    assert all(f"prompt at seed {seed}: {prompt}\n" in done.err for seed, prompt in enumerate(prompts, start=1))
    _, done = painted("a red star", "-p", "prompt_replace.red", "blue", "--seed", 4, *QUIET)
    assert "prompt at seed 4: a blue star\n" in done.err
    assert "prompt at" not in painted(PROMPT, "-p", "wildcards", "draw", *QUIET)[1].err


def test_a_seed_that_other_tools_take_for_any_is_told():
    """
    -1 is a seed like any other, which is said once beside the picture and in no record.
    """
    [path], done = painted(PROMPT, "--seed", -1, *QUIET)
    assert done.err.count("-1 is a seed like any other here") == 1
    stamp = read_stamp(path)
    assert (stamp.edit.seed, stamp.notes) == (-1, ())
    assert "like any other" not in painted(PROMPT, "--seed", 1, *QUIET)[1].err


def test_again_changes_what_is_given_and_nothing_else():
    """
    From the last picture, also where that was made before and asked for again, the next one differs in what is given alone.
    """
    first, second = (painted(PROMPT, "--image", "photo.png", "--mask", "mask.png", "--seed", seed, *QUIET)[0][0] for seed in (7, 8))
    Path("photo.png").unlink()
    [changed], _ = painted("--again", "-p", "guidance_scale", 4)
    before, after = read_stamp(second).edit, read_stamp(changed).edit
    assert (after.prompt, after.seed, after.task) == (before.prompt, 8, "inpaint")
    assert after.settings.model_copy(update={"denoising": before.settings.denoising}) == before.settings
    assert after.settings.denoising == before.settings.denoising.model_copy(update={"guidance_scale": 4})
    [back], _ = painted("--again", "--seed", 7, "-p", "guidance_scale", 7.5)
    assert back.samefile(first)
    [other], _ = painted("--again", "a red heart on grass")
    assert (read_stamp(other).edit.seed, read_stamp(other).edit.prompt) == (7, "a red heart on grass")
    mask = Image.new("L", (128, 128))
    mask.paste(255, (8, 8, 60, 60))
    mask.save("other.png")
    [masked], _ = painted("--again", "--mask", "other.png")
    photo = fetch("pocket-scenes").sample("red-circle").image_path
    expected = inpaint(photo, mask, "a red heart on grass", seed=7, num_inference_steps=3)
    assert read_stamp(masked).picture_id == expected.picture_id
    assert len(sessions()) == 1


def test_any_earlier_picture_is_gone_on_from(home):
    """
    By its number in the session or by a PNG, also a copy, an earlier picture is made again with what is given changed; nothing is made twice.
    """
    inpainted, _ = painted(PROMPT, "--image", "photo.png", "--mask", "mask.png", "--seed", 7, "-o", "first.png", *QUIET)
    painted("a red heart on grass", *QUIET)
    by_number, _ = painted("--from", 1, "-p", "guidance_scale", 4)
    by_file, done = painted("--from", "first.png", "-p", "guidance_scale", 4)
    assert by_file == by_number
    assert "it was made before, as number 3" in done.err
    stamp = read_stamp(by_number[0])
    assert (stamp.edit.task, stamp.edit.seed, stamp.edit.settings.denoising.guidance_scale) == ("inpaint", 7, 4)
    missing = said("paint", "--from", 9)
    assert (missing.code, missing.out) == (2, "")
    assert "--from 9: the session has 3 pictures" in missing.err
    assert inpainted == [Path("first.png")]


def test_a_copy_that_is_replaced_is_told():
    """
    A second picture under the same name replaces the first, which stays in the session, and that is said.
    """
    painted(PROMPT, "-o", "star.png", *QUIET)
    _, done = painted(PROMPT, "--seed", 2, "-o", "star.png", *QUIET)
    assert "replaced star.png" in done.err
    assert read_stamp(Path("star.png")).edit.seed == 2


def test_its_pixels_are_what_a_picture_is_worked_on(home):
    """
    A picture that the lab made, given with --image, is a picture like any other.
    """
    [first], _ = painted(PROMPT, "--image", "photo.png", "--mask", "mask.png", *QUIET)
    [second], _ = painted("a red heart on grass", "--image", first, "--mask", "mask.png", *QUIET)
    with Image.open(first) as image:
        expected = inpaint(image, "mask.png", "a red heart on grass", num_inference_steps=3)
    assert read_stamp(second).picture_id == expected.picture_id


def test_all_sessions_are_shown_and_what_is_none_is_told(home):
    """
    Folders and pictures beside each other, as a shell's star gives them; a page that lies there is left out in one line.
    """
    picture, page = painted(PROMPT, *QUIET)[0][0], home / "report.html"
    folder = picture.parents[1]
    page.write_text("<p>a report</p>")
    done = said("show", folder, page, picture)
    assert done.code == 0
    assert done.out == said("show", folder).out + said("show", picture).out
    assert done.err.startswith(f"sdxl-lab: left out: {page} is not a PNG")
    assert len(done.err.splitlines()) == 1
    assert said("show", folder, picture, "--as-parameters").code == 2


def test_the_help_lists_the_settings():
    """
    Every setting that a call takes by its name is in the help.
    """
    text = said("paint", "--help").out
    for name in ("num_inference_steps", "guidance_scale", "high_noise_frac", "kernel_size", "feather_px", "aspect", "left_px", "dtype"):
        assert name in text
    for words in ("prompt_syntax (plain, a1111, comfy, compel)", "long_prompt (cut, chunks)", "embeddings.WORD.file"):
        assert words in " ".join(text.split())


WRONG = {
    "nothing to paint": ([], 2, "what to paint?"),
    "nothing to go on from": (["--again"], 2, "nothing was painted yet"),
    "again with another picture": (["--again", "--image", "photo.png"], 2, "leave --image out"),
    "a canvas of no side": ([PROMPT, "--image", "photo.png", "--canvas", "north=3"], 2, "sides are left, right, top, bottom"),
    "a picture that is not there": ([PROMPT, "--image", "foto.png"], 2, "--image foto.png: there is no such file; did you mean photo.png?"),
    "a mask without a picture": ([PROMPT, "--mask", "mask.png"], 2, "give the picture with --image"),
    "a task that is none": ([PROMPT, "--task", "draw"], 1, "task: got 'draw'; allowed are inpaint"),
    "a setting that is none": ([PROMPT, "-p", "guidance_scal", "3"], 1, "guidance_scale"),
    "a value out of range": ([PROMPT, "-p", "strength", "3", "--image", "photo.png"], 1, "strength"),
    "a seed that is none": ([PROMPT, "--seed", "x"], 2, "--seed: got 'x'; write a whole number, 1-4 or random(4)"),
    "a file as prompt": (["photo.png"], 2, "--image photo.png"),
    "a setting as option": ([PROMPT, "--steps", "20"], 2, "write -p num_inference_steps VALUE"),
    "a word for a setting of prompts": ([PROMPT, "--syntax", "comfy"], 2, "write -p prompt_syntax VALUE"),
    "the prompt as option": (["--prompt", PROMPT], 2, "the prompt stands alone"),
    "an option of another tool": ([PROMPT, "--tiling"], 2, "No such option: --tiling; pictures that tile are not there"),
    "what other tools have": ([PROMPT, "-p", "enable_hr", "true"], 1, "enable_hr: upscalers and the hires fix are not there; image_to_image"),
    "what other tools call a setting": ([PROMPT, "-p", "cfg", "5"], 1, "cfg: here it is called guidance_scale"),
    "an argument of code": ([PROMPT, "-p", "latest", "true"], 2, "latest: there is no such setting"),
    "a canvas for words": ([PROMPT, "--canvas", "left=8"], 2, "give it with --image"),
    "a number that no picture has": (["--from", "3"], 2, "nothing was painted yet"),
    "a picture that the lab did not make": ([PROMPT, "--from", "photo.png"], 2, "to work on what it shows write --image photo.png"),
    "no name of a PNG": ([PROMPT, "-o", "star.jpg"], 2, "-o star.jpg: it must end in .png"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_painted_is_one_message(home, name):
    """
    Wrong usage and errors end with one message and leave nothing behind.
    """
    arguments, code, message = WRONG[name]
    done = said("paint", *arguments)
    assert (done.code, done.out) == (code, "")
    assert message in done.err.replace("\n", " "), done.err
    assert "Traceback" not in done.err
    assert sorted(path.name for path in home.iterdir()) == ["mask.png", "photo.png"]

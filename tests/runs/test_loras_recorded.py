"""LoRAs of a run: what records and other tools' text say of them, what is said before, made again by content, and by calls and on a bench."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab import Bench, text_to_image
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.infotext import _fields as fields_of
from sdxl_lab.runs.reproduce import ReproduceError, reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tracking.parameters import parameters_of as compared_by_comet
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.flattened import changes
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.report import Gallery, Missing
from sdxl_lab.viewing.report.content import content_of, entries_of
from sdxl_lab.viewing.show import print_path
from tests.support.datasets import write_dataset
from tests.support.edits import same
from tests.support.embeddings import write_embedding
from tests.support.lone_pictures import QUICK
from tests.support.loras import as_diffusers, as_kohya, matrices, write

WEIGHTS = Path(__file__).parents[2] / "sdxl_lab" / "pocket" / "weights"


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global finish, run
    from sdxl_lab.runs.experiment import finish, run


@pytest.fixture
def lab(tmp_path, monkeypatch, random_pair) -> Path:
    """A folder to work in, with a dataset of two scenes and the files of two LoRAs for a random checkpoint."""
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "scenes")
    write(tmp_path / "half-moon.safetensors", as_diffusers(matrices(random_pair / "base", 1)))
    write(tmp_path / "sun.safetensors", as_kohya(matrices(random_pair / "base", 2), 2.0))
    return tmp_path


def asked(checkpoint: Path | str, loras: Any, **hyperparameters: Any) -> RunSpec:
    """One quick picture."""
    settings = {**QUICK, "loras": loras, **hyperparameters}
    parameters = {"name": "made", "dataset": "scenes", "samples": ["scene-0"], "tasks": ["inpaint"], "tracking": "off", "runs_folder": "runs"}
    return RunSpec.from_parameters(**{**parameters, "checkpoint": str(checkpoint), "hyperparameters": settings})


def done(checkpoint: Path | str, loras: Any, **hyperparameters: Any) -> tuple[Resolved, Path]:
    """The run of one quick picture, recorded, and its PNG."""
    resolved = resolve(asked(checkpoint, loras, **hyperparameters))
    [picture] = run(resolved)
    finish(resolved)
    return resolved, picture.image


def missing(resolved: ResolvedSpec) -> Missing:
    """A run of which nothing was made."""
    return Missing(resolved=resolved)


def hash_of(file: Path) -> str:
    """What the web UI calls a LoRA: the first digits of sha256 over what is left of the file when its header is cut off."""
    content = file.read_bytes()
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()[:12]


def shown(path: Path) -> str:
    """What `show` prints of it."""
    console = Console(record=True, width=250, file=io.StringIO())
    print_path(path, console)
    return console.export_text()


# --- recorded ------------------------------------------------------------------------------------------------------------------------------------


def test_other_tools_read_what_was_on(lab, random_pair):
    """
    In the web UI's text stand the files' names as it asks for them in a prompt, text encoders' weight first, and their hashes as it computes them.

    The record's own prompt stays what it was, and so does the embedding's entry beside them.
    """
    write_embedding(lab / "dreamy.safetensors")
    loras = {
        "moon": {"file": "half-moon.safetensors", "weight": 0.8},
        "sun": {"file": "sun.safetensors", "weight": 0.6, "text_encoder_weight": 0.25},
        "none": {"file": "sun.safetensors", "weight": 0},
    }
    resolved, picture = done(random_pair, loras, embeddings={"dreamy": "dreamy.safetensors"}, prompt="a star, dreamy")
    with Image.open(picture) as image:
        fields = fields_of(image.info["parameters"])
    prompt, marks = fields["Prompt"].split(" <", 1)
    assert prompt == resolved.spec.edits[0].prompt == "a star, dreamy"
    assert set(f"<{marks}".split()) == {"<lora:half-moon:0.8>", "<lora:sun:0.25:0.6>"}
    hashes = set(fields["Lora hashes"].strip('"').split(", "))
    assert hashes == {f"{name}: {hash_of(lab / f'{name}.safetensors')}" for name in ("half-moon", "sun")}
    assert fields["TI hashes"] == f'"dreamy: {hashlib.sha256((lab / "dreamy.safetensors").read_bytes()).hexdigest()[:12]}"'


def test_a_weight_is_a_setting_of_records(lab, random_pair):
    """
    Table, comparison and Comet have the file by its content in one place and the weight in another, so that two weights differ in one parameter.
    """
    loras = [{"moon": {"file": "half-moon.safetensors", "weight": weight}} for weight in (0.4, 0.8)]
    folders = [done(random_pair, given)[0].folder for given in loras]
    rows = [row for folder in folders for row in csv.DictReader(folder.prompts_file.read_text().splitlines())]
    whole = f"half-moon.safetensors (tensors {hash_of(lab / 'half-moon.safetensors')[:10]})"
    assert [(row["loras.moon"], row["loras.moon.weight"]) for row in rows] == [(whole, "0.4"), (whole, "0.8")]
    compared = compare([folder.path for folder in folders])
    assert set(compared.differing) == {"loras.moon.weight"}
    parameters = [compared_by_comet(RunFolder(folder.path).resolved) for folder in folders]
    assert [own["loras|moon"] for own in parameters] == [whole] * 2
    assert {key for key in parameters[0] if parameters[0][key] != parameters[1].get(key)} == {"loras|moon|weight"}
    planned = resolve(RunSpec.from_parameters(**parameters_of(folders[1].path)))
    assert planned.spec.run_id == RunFolder(folders[1].path).resolved.run_id


def test_weight_0_is_told_where_it_was_asked_for(lab, random_pair):
    """
    A report over weights has them in one row, 0 among them; comparison, table and Comet have 0 and the file too, and the web UI's text has neither.
    """
    moon = "half-moon.safetensors"
    weights = [resolve(asked(random_pair, {"moon": {"file": moon, "weight": weight}}, seed=7)).spec for weight in (0, 0.5, 1)]
    content = content_of(entries_of([], map(missing, weights)), Gallery(), "weights")
    assert [(axis["path"], axis["values"]) for axis in content["axes"] if axis["path"] != "run"] == [("loras.moon.weight", [0, 0.5, 1])]
    assert (content["x"], content["varying"]) == ("loras.moon.weight", ["loras.moon.weight"])
    given = [{}, {"moon": moon}, {"moon": {"file": moon, "weight": 0.5}}, {"moon": "sun.safetensors"}]
    resolved = [resolve(asked(random_pair, loras, seed=7)).spec for loras in given]

    def varying(*places: int) -> list[str]:
        return content_of(entries_of([], [missing(resolved[place]) for place in places]), Gallery(), "files")["varying"]

    assert [varying(0, 1), varying(0, 1, 2), varying(0, 1, 3)] == [["loras.moon"], ["loras.moon.weight"], ["loras.moon"]]
    folders = [done(random_pair, {"moon": {"file": moon, "weight": weight}})[0].folder for weight in (0, 0.5)]
    assert compare([folder.path for folder in folders]).differing == {"loras.moon.weight": [0, 0.5]}
    [row] = csv.DictReader(folders[0].prompts_file.read_text().splitlines())
    whole = f"{moon} (tensors {hash_of(lab / moon)[:10]})"
    told = compared_by_comet(RunFolder(folders[0].path).resolved)
    assert (row["loras.moon"], row["loras.moon.weight"]) == (whole, "0.0")
    assert (told["loras|moon"], told["loras|moon|weight"]) == (whole, 0)
    [picture] = folders[0].pictures()
    with Image.open(picture.image) as image:
        assert "moon" not in image.info["parameters"]


def test_what_is_shown_has_file_and_weights(lab, random_pair):
    """
    Of a picture and of its run the file is shown with its weights and with what `sha256sum` says of it.
    """
    asked_for = {"file": "half-moon.safetensors", "weight": 0.8, "text_encoder_weight": 0.5, "refiner": True}
    resolved, picture = done(random_pair, {"moon": asked_for})
    sha256 = hashlib.sha256((lab / "half-moon.safetensors").read_bytes()).hexdigest()
    of_tensors = hash_of(lab / "half-moon.safetensors")
    for path in (picture, resolved.folder.path):
        line = rf"loras\.moon +half-moon\.safetensors at 0\.8, text encoders at 0\.5, in the refiner too, sha256 {sha256[:12]}, .* {of_tensors}\s"
        assert re.search(line, shown(path))


# --- said before ---------------------------------------------------------------------------------------------------------------------------------


def test_a_mark_for_what_is_set_is_to_be_taken_out(lab, random_pair):
    """
    Where a LoRA is set, by its name or its file's, a mark that asks for it is told to be taken out, with the weight that counts.
    """
    loras = {"moon": {"file": "half-moon.safetensors", "weight": 0.5}, "sun": {"file": "sun.safetensors", "weight": 0}}
    prompt = "a star <lora:half-moon:0.8> <lora:moon:1> <lora:Sun:1> <lora:ink:1>"
    [line] = [line for line in resolve(asked(random_pair, loras, prompt=prompt)).said if "is text" in line]
    known = "loras.moon is set already, at 0.5: take it out"
    assert (
        f"“<lora:half-moon:0.8>” is text: {known}; “<lora:moon:1>” is text: {known}; “<lora:Sun:1>” is text: loras.sun is set already, at 0: " in line
    )
    assert line.rstrip(".").endswith("a LoRA is asked for by loras.ink.file ink.safetensors and loras.ink.weight 1")


@pytest.mark.parametrize(("phrase", "prompt", "is_told"), [
    ("m00n style, crescent", "a red star", True),
    ("m00n style, crescent", "a M00N  Style", False),
    ("m00n style, crescent", "a crescent", False),
    (None, "a red star", False),
])  # fmt: skip
def test_words_that_a_file_was_trained_with_are_told(lab, random_pair, phrase, prompt, is_told):
    """
    A LoRA whose file names words that it was trained with, none of which is in a prompt, is said to have been; the words are quoted.
    """
    metadata = {"modelspec.trigger_phrase": phrase} if phrase else {"ss_tag_frequency": '{"5_x": {"m00n": 9}}'}
    write(lab / "moon.safetensors", as_diffusers(matrices(random_pair / "base", 1)), metadata=metadata)
    said = resolve(asked(random_pair, {"moon": "moon.safetensors"}, prompt=prompt)).said
    lines = [line for line in said if "loras.moon" in line]
    assert len(lines) == is_told
    assert all(f"loras.moon was trained with {phrase!r}" in line for line in lines)


@pytest.mark.parametrize(("file", "metadata", "kind", "steps"), [
    ("sdxl_lightning_4step_lora", {}, "lightning", 4),
    ("mine", {"ss_output_name": "Hyper-SDXL-8steps-lora"}, "hyper", 8),
    ("mine", {"modelspec.title": "SDXL Turbo"}, "turbo", 4),
    ("lcm-lora", {}, "lcm", 8),
    ("lightning-over-hills", {"modelspec.title": "Hyper detailed, 20 epochs"}, None, None),
    ("Hyper-SDXL-8steps-CFG-lora", {}, None, None),
])  # fmt: skip
def test_a_lora_of_few_steps_is_told_what_suits_it(lab, random_pair, file, metadata, kind, steps):
    """
    A LoRA that its name or its file says was made for few steps is not run with SDXL's steps and guidance unsaid; at weight 0 nothing is.
    """
    write(lab / f"{file}.safetensors", as_diffusers(matrices(random_pair / "base", 1)), metadata=metadata)
    burning = {"denoising": {"num_inference_steps": 30, "guidance_scale": 7.0}}

    def told(weight: float, **denoising: Any) -> list[str]:
        settings = {"denoising": burning["denoising"] | denoising}
        spec = asked(random_pair, {"fast": {"file": f"{file}.safetensors", "weight": weight}}, **settings)
        return [line for line in resolve(spec).said if "was made for" in line]

    guidance = 1 if kind == "lcm" else 0
    expected = f"loras.fast ({kind}) was made for about {steps} steps at guidance_scale {guidance}; num_inference_steps 30 and guidance_scale 7 burn"
    assert [expected in line for line in told(1.0)][:1] == [True] * bool(kind)
    assert not told(0.0)
    by_kind = {"scheduler": "lcm"} if kind == "lcm" else {"timestep_spacing": "trailing"}
    suited = {"num_inference_steps": steps or 8, "guidance_scale": guidance, "strength": 1.0, **by_kind}
    assert not told(1.0, **suited)


# --- made again ----------------------------------------------------------------------------------------------------------------------------------


def test_reproduced_from_nothing_but_the_picture(lab, random_pair):
    """
    A picture with two LoRAs, an embedding and weighted words is identical from its PNG, whatever the files are called now.

    What is missing is named, each file with its digests; a file of the same name that holds something else is said to, and copies do not disturb.
    """
    write_embedding(lab / "dreamy.safetensors", 2)
    loras = {"moon": {"file": "half-moon.safetensors", "weight": 0.7}, "sun": {"file": "sun.safetensors", "weight": -0.4, "refiner": True}}
    words = {"prompt": "a (star:1.3), dreamy", "prompt_syntax": "a1111", "embeddings": {"dreamy": "dreamy.safetensors"}}
    resolved, picture = done(random_pair, loras, **words)
    alone = Path(shutil.copy(picture, lab / "alone.png"))
    shutil.rmtree(lab / "runs")
    where = {"dataset": "scenes", "checkpoint": str(random_pair)}
    own = lab / "artifacts" / "loras"
    own.mkdir(parents=True)
    (lab / "half-moon.safetensors").rename(lab / "kept")
    write(lab / "half-moon.safetensors", as_diffusers(matrices(random_pair / "base", 9)))
    (lab / "sun.safetensors").rename(lab / "also-kept")
    named = [
        rf"loras\.{one.name} \({one.file}, digest {one.digest[:12]}, sha256 {str(one.sha256)[:12]}\)"
        for one in resolved.spec.adapters
        if one.kind == "loras"
    ]
    are_not = rf"made with {' and '.join(named)}, which are not here; put the files into artifacts/loras, under any name; half-moon.* holds something"
    with pytest.raises(ReproduceError, match=are_not):
        reproduce(alone, **where)
    (lab / "kept").rename(own / "renamed.safetensors")
    with pytest.raises(ReproduceError, match=r"made with loras\.sun \(sun\.safetensors, digest \w+, sha256 \w+\), which is not here"):
        reproduce(alone, **where)
    shutil.copy(lab / "also-kept", own / "sun.safetensors")
    (lab / "also-kept").rename(lab / "scenes" / "any.safetensors")
    assert reproduce(alone, **where).is_identical


# --- by one call, and on a bench -----------------------------------------------------------------------------------------------------------------


def test_a_call_and_a_bench_take_them(lab):
    """
    A call's picture and a bench's are the same; the bench keeps a LoRA until it is set to None, and another weight is another picture.

    A sweep around it has the weight as an axis, and at 0 the very run without it.
    """
    file = str(write(lab / "moon.safetensors", as_diffusers(matrices(WEIGHTS / "base", 3, size=0.1))))
    asked_for: dict[str, Any] = {"num_inference_steps": 3, "seed": 7}
    named = {"moon": {"file": file, "weight": 0.8}}
    called = text_to_image("a red star", loras=named, **asked_for)
    bench = Bench(tracking="off")
    with_it = bench.make("a red star", loras=named, **asked_for)
    weaker = bench.again(loras={"moon": {"weight": 0.2}})
    without = bench.again(with_it, loras={"moon": None})
    assert called.picture_id == with_it.picture_id
    assert same(called.image, with_it.image)
    assert len({with_it.picture_id, weaker.picture_id, without.picture_id}) == 3
    assert text_to_image("a red star", **asked_for).picture_id == without.picture_id
    assert bench.make("a red star", **asked_for).picture_id == without.picture_id
    assert text_to_image("a red star", loras={"moon": file}, **asked_for).picture_id not in (with_it.picture_id, without.picture_id)
    assert reproduce(with_it.path).is_identical
    path = bench.sweep_around(with_it, {"loras.moon.weight": [0, 0.8]})
    from sdxl_lab.sweeps.planner import plan
    from sdxl_lab.sweeps.sweep_file import SweepFile

    planned = plan(SweepFile.read(path))
    assert [run.label for run in planned.runs] == ["moon.weight=0", "moon.weight=0.8"]
    [off, on] = [resolve(RunSpec.from_parameters(**run.parameters)).spec for run in planned.runs]
    assert (off.adapters, [one.digest for one in on.adapters]) == ((), [one.digest for one in called.stamp.resolved.adapters])


def test_tries_of_one_prompt_do_not_look_alike(lab):
    """
    A session's table says of each picture what differs from the one before: a LoRA that comes, its weight, its end, and any other setting.
    """
    file = str(write(lab / "moon.safetensors", as_diffusers(matrices(WEIGHTS / "base", 3, size=0.1))))
    bench = Bench(tracking="off")
    bench.make("a red star", num_inference_steps=2)
    bench.make("a red star", num_inference_steps=2, loras={"moon": {"file": file, "weight": 0.8}})
    bench.again(loras={"moon": {"weight": 0.25}})
    bench.again(loras={"moon": None}, guidance_scale=3.5, negative_prompt="a dog")
    told = changes([picture.stamp.resolved for picture in bench.pictures])
    whole = f"moon.safetensors (tensors {hash_of(Path(file))[:10]})"
    left = "negative_prompt a dog, denoising.guidance_scale 3.5, moon none, moon.weight none"
    assert told == ["", f"moon {whole}, moon.weight 0.8", "moon.weight 0.25", left]
    assert all(line in shown(bench.session.path) for line in ("changed", "moon.weight 0.25"))


def test_another_file_of_the_same_name_is_not_taken(lab):
    """
    Going on from a picture, also in its session, finds its LoRA by content, or refuses one of the same name; given anew it is taken.
    """
    own = lab / "artifacts" / "loras" / "mine.safetensors"
    own.parent.mkdir(parents=True)
    write(own, as_diffusers(matrices(WEIGHTS / "base", 3, size=0.1)))
    asked_for: dict[str, Any] = {"num_inference_steps": 2, "seed": 7}
    made = Bench(tracking="off").make("a red star", loras={"mine": "mine.safetensors"}, **asked_for)
    alone = Path(shutil.copy(made.path, lab / "alone.png"))
    own.rename(lab / "kept")
    write(own, as_diffusers(matrices(WEIGHTS / "base", 4, size=0.1)))
    bench = Bench(tracking="off")
    bench.open(alone)
    resumed = Bench.resume(made.kept.session)
    said = (
        r"loras\.mine\.file: the picture was made with .*, which is not here; .*; artifacts/loras/mine\.safetensors holds something else, and go on"
    )
    for go_on in (lambda: bench.make("a blue star"), lambda: resumed.again(seed=8), lambda: resumed.again(loras={"mine": {"weight": 0.5}})):
        with pytest.raises(SpecError, match=said):
            go_on()
    [adapter] = made.stamp.resolved.adapters
    [given] = resumed.again(made, loras={"mine": "mine.safetensors"}).stamp.resolved.adapters
    assert given.digest != adapter.digest
    (lab / "kept").rename(lab / "kept.safetensors")
    bench.open(alone)
    for found in (bench.make("a red star"), Bench.resume(made.kept.session).again(made)):
        assert [one.digest for one in found.stamp.resolved.adapters] == [adapter.digest]
        assert found.picture_id == made.picture_id


def test_points_that_are_one_run_are_counted_once(lab, random_pair):
    """
    No file, weight 0 and another weight are three points and two runs, which the plan says; each point says what it has.
    """
    from sdxl_lab.sweeps.planner import plan
    from sdxl_lab.sweeps.sweep_file import SweepFile

    parameters = {"dataset": "scenes", "checkpoint": str(random_pair), "samples": ["scene-0"], "runs_folder": "runs"}
    moon = {"hyperparameters.loras.moon.file": "half-moon.safetensors"}
    points = [{"hyperparameters.loras.moon.file": None}, *({**moon, "hyperparameters.loras.moon.weight": weight} for weight in (0, 0.5))]
    planned = plan(SweepFile.from_dict({"name": "twice", "parameters": parameters, "points": points}))
    assert [run.label for run in planned.runs] == ["moon=none", "moon=half-moon moon.weight=0.5"]
    assert "3 points (1 of them the same run as another)" in str(planned)

"""Weighted and long prompts from what is asked to what is kept: notes, names, records, PNGs, pictures made again, plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.prompts import compel_marks
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.stamps import read_stamp
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.reproduce import ReproduceError, reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.documents import written
from sdxl_lab.spec.asked_again import as_parameters
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tracking.parameters import parameters_of
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path
from tests.support.words_alone import write_words

MARKED = {"a1111": "a (red:1.3) star BREAK on [grass]", "comfy": "a ((red) star:1.2)", "compel": "a red++ star", "plain": "a (red:1.3) star"}
LONG = "a red star on grass beside a very small chestnut tree in the last light of an autumn day, seen from above, "


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global Bench, load, text_to_image, torch
    import torch

    from sdxl_lab import Bench
    from sdxl_lab.checkpoints.loading import load
    from sdxl_lab.runs.calls import text_to_image


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    """
    Nothing is kept in the repository.
    """
    monkeypatch.chdir(tmp_path)


def asked(checkpoint: Path, **hyperparameters: Any) -> RunSpec:
    """
    A picture from words, of two steps.
    """
    if not Path("words").exists():
        write_words(Path("words"), {"name": "star", "text_to_image": {"prompt": "a red star", "seed": 3}})
    quick: dict[str, Any] = {"denoising": {"num_inference_steps": 2}, "compute": {"threads": 1, "device": "cpu"}}
    parameters = {"name": "words", "dataset": "words", "checkpoint": str(checkpoint), "tasks": ["text_to_image"], "tracking": "off"}
    return RunSpec.from_parameters(**parameters, hyperparameters=quick | hyperparameters)


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
@pytest.mark.parametrize("syntax", MARKED)
@pytest.mark.parametrize("refined", [False, True])
def test_a_weighted_picture_is_made_again_from_its_png(random_pair, tmp_path, syntax, refined):
    """
    The description in a PNG makes the very picture again, with and without the refiner, and says by which version of compel it was read, if by any.
    """
    fraction: dict[str, Any] = {"high_noise_frac": 0.5} if refined else {}
    made = text_to_image(
        MARKED[syntax],
        negative_prompt=LONG * 2,
        checkpoint=random_pair,
        prompt_syntax=syntax,
        long_prompt="chunks",
        num_inference_steps=4,
        threads=1,
        device="cpu",
        **fraction,
    )
    picture = made.save(tmp_path / "picture.png")
    again = reproduce(picture, checkpoint=str(random_pair))
    assert again.is_identical, str(again)
    assert again.picture_id == made.picture_id
    assert read_stamp(picture).edit.compel == (compel_marks.installed() if syntax == "compel" else None)


def test_only_a_picture_that_compel_may_have_read_is_named_by_its_version(random_pair, monkeypatch):
    """
    With marks another version of compel gives another run and another picture; without them neither, and the document does not speak of it.
    """
    found: dict[str, list[Any]] = {"a red star": [], "a red++ star": []}
    for version in ("2.5.1", "9.0"):
        monkeypatch.setattr(compel_marks, "installed", lambda version=version: version)
        for prompt, pictures in found.items():
            pictures.append(resolve(asked(random_pair, prompt=prompt, prompt_syntax="compel")).spec)
    plain, marked = found.values()
    assert len({spec.run_id for spec in plain}) == 1
    assert len({spec.run_id for spec in marked}) == 2
    assert "compel" not in written(plain[0].edits[0])
    assert [spec.edits[0].compel for spec in marked] == ["2.5.1", "9.0"]
    pixels = {"input": "0" * 64}
    assert len({spec.picture_id(spec.edits[0], pixels) for spec in marked}) == 2


def test_the_parameters_of_a_picture_keep_its_syntax(random_pair):
    """
    What continues from a picture asks for the same syntax and the same treatment of long prompts, and plans the very picture.
    """
    spec = resolve(asked(random_pair, prompt="a (red:1.3) star", prompt_syntax="a1111", text_to_image={"long_prompt": "chunks"})).spec
    parameters = as_parameters(spec.edits[0], spec)
    assert parameters["hyperparameters"]["prompt_syntax"] == "a1111"
    assert resolve(RunSpec.from_parameters(**parameters)).spec.run_id == spec.run_id


def test_without_compel_its_marks_are_refused_before_anything_runs(random_pair, monkeypatch):
    """
    A run whose prompts compel is to read is refused with what to install; without marks it needs none.
    """
    monkeypatch.setattr(compel_marks, "installed", lambda: None)
    spec = asked(random_pair, prompt="a red++ star", prompt_syntax="compel")
    with pytest.raises(SpecError, match=r"hyperparameters\.prompt_syntax: got compel, .* pip install 'sdxl-lab\[compel\]'"):
        resolve(spec)
    assert resolve(spec.model_copy(update={"hyperparameters": spec.hyperparameters | {"prompt": "a red star"}})).spec.edits[0].compel is None


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_a_picture_of_another_compel_says_so_in_one_line(random_pair, tmp_path, monkeypatch):
    """
    Where compel is missing, making a picture again says what to install; with another version it is made, and that is told as a change.
    """
    with monkeypatch.context() as patch:
        patch.setattr(compel_marks, "installed", lambda: "2.4.0")
        made = text_to_image("a red++ star", checkpoint=random_pair, prompt_syntax="compel", num_inference_steps=2, threads=1, device="cpu")
        picture = made.save(tmp_path / "picture.png")
    again = reproduce(picture, checkpoint=str(random_pair))
    assert again.changed == {"compel": ("2.4.0", compel_marks.installed())}
    assert again.is_identical
    assert "picture_id was changed" not in str(again)
    saved = again.save(tmp_path / "again.png")
    assert read_stamp(saved).edit.compel == compel_marks.installed()
    assert reproduce(saved, checkpoint=str(random_pair)).changed == {}
    monkeypatch.setattr(compel_marks, "installed", lambda: None)
    with pytest.raises(ReproduceError, match=r"was made with compel 2\.4\.0, .* pip install 'sdxl-lab\[compel\]'"):
        reproduce(picture, checkpoint=str(random_pair))


def test_what_is_cut_is_told_of_the_text_without_marks(random_pair):
    """
    Marks take no room; each part between breaks has a chunk of its own; and with chunks nothing is cut.
    """
    write = {"prompt": f"({LONG}:1.3) BREAK [{LONG}] BREAK a star", "prompt_syntax": "a1111"}
    spec = asked(random_pair, **write)
    [lines] = resolve(spec).notes.values()
    assert [line.partition(" has ")[0] for line in lines] == ["part 1 of prompt", "part 2 of prompt"]
    assert all("set long_prompt to chunks" in line and "1.3" not in line and "[" not in line for line in lines)
    whole = spec.model_copy(update={"hyperparameters": spec.hyperparameters | {"long_prompt": "chunks"}})
    assert resolve(whole).notes == {}
    fits = "((" + "red star " * 14 + "))"
    assert resolve(spec.model_copy(update={"hyperparameters": spec.hyperparameters | {"prompt": fits}})).notes == {}


@pytest.mark.filterwarnings("ignore::sdxl_lab.spec.cautions.CautionWarning")
def test_weights_and_syntax_are_shown_and_written_for_other_tools(random_pair, tmp_path, capsys):
    """
    `show` lists what is weighed and the syntax; the text for other tools has the prompt as it was written, and names a syntax that is not theirs.
    """
    texts = {}
    for syntax, prompt in MARKED.items():
        made = text_to_image(prompt, checkpoint=random_pair, prompt_syntax=syntax, num_inference_steps=1, threads=1, device="cpu")
        picture = made.save(tmp_path / f"{syntax}.png")
        capsys.readouterr()
        print_path(picture)
        shown = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()}
        assert shown["prompt_syntax"] == syntax
        texts[syntax] = shown.get("prompt weights"), read_stamp(picture).parameters((64, 64))
    assert texts["a1111"][0] == "red 1.3, grass 0.909"
    assert texts["comfy"][0] == "red 1.32, star 1.2"
    assert (texts["compel"][0], texts["plain"][0]) == (None, None)
    for syntax, (_, text) in texts.items():
        assert text.splitlines()[0] == MARKED[syntax]
        assert ("Prompt syntax: " in text) == (syntax in ("comfy", "compel"))
    assert "Prompt syntax: comfy" in texts["comfy"][1]


def test_a_run_tells_its_syntax_wherever_it_is_looked_at(random_pair, tmp_path):
    """
    Report, table of prompts and Comet's parameters hold the syntax, and the report what is weighed; lines of pictures are those of plain ones.
    """
    resolved = resolve(asked(random_pair, prompt="a (red:1.3) star", negative_prompt="[dark]", prompt_syntax="a1111"))
    [picture] = run(resolved)
    finish(resolved)
    assert (picture.prompt, picture.negative_prompt) == ("a (red:1.3) star", "[dark]")
    page = write_report([RunFolder(resolved.folder.path)], tmp_path / "report.html").read_text()
    assert '"weights":{"prompt weights":"red 1.3","negative_prompt weights":"dark 0.909"}' in page.replace(": ", ":").replace(", ", ",")
    header, row = resolved.folder.prompts_file.read_text().splitlines()
    assert dict(zip(header.split(","), row.split(","), strict=True))["prompt_syntax"] == "a1111"
    parameters = parameters_of(resolved.spec)
    assert (parameters["prompt"], parameters["prompt_syntax"], parameters["long_prompt"]) == ("a (red:1.3) star", "a1111", "cut")


def test_a_mean_that_turns_a_prompt_around_is_told_of_the_picture():
    """
    Where restoring the mean multiplies embeddings by what no weight says, each picture's notes tell by how much, remembered prompts' too.
    """
    bench = Bench(tracking="off")
    given: dict[str, Any] = {"num_inference_steps": 2, "prompt_syntax": "a1111"}
    odd = [bench.make("a (red:1.5) star", seed=seed, **given) for seed in (1, 2)]
    checkpoint = load(odd[0].stamp.resolved.checkpoint, odd[0].stamp.resolved.spec.compute)
    tokenizer, model = checkpoint.base.tokenizer_2, checkpoint.base.text_encoder_2
    ids = tokenizer("a red star", padding="max_length", truncation=True, max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
    weights = torch.ones(ids.shape[1])
    weights[2] = 1.5  # behind the token that begins, and "a"
    with torch.no_grad():
        state = model(ids, output_hidden_states=True).hidden_states[-2]
    factor = float(state.mean() / (state * weights[None, :, None]).mean())
    assert factor < 0
    for picture in odd:
        assert f"prompt: to keep the mean of its embeddings, prompt_syntax a1111 multiplied all of them by {factor:.2g} once" in " ".join(
            picture.notes
        )
    others = [bench.make("a (red:1.5) star", seed=1, **given | {"prompt_syntax": "comfy"}), bench.make("a (red:1.3) star on grass", seed=1, **given)]
    assert not any("to keep the mean" in note for picture in others for note in picture.notes)

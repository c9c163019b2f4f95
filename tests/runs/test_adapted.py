"""Embeddings of a run: found, refused in one message, recorded without paths, and found again by content."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab.adapters import ADAPTERS, AdapterError
from sdxl_lab.files import digests
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.reproduce import ReproduceError, reproduce
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.runs.resolved import Resolved
from sdxl_lab.spec.resolved_spec import ResolvedSpec
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from sdxl_lab.tracking.parameters import parameters_of as compared_by_comet
from sdxl_lab.viewing.compare import compare
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.show import print_path
from tests.support.datasets import write_dataset
from tests.support.edits import same
from tests.support.embeddings import POCKET, write_embedding
from tests.support.lone_pictures import QUICK


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global torch, save_file, finish, run, generate
    import torch
    from safetensors.torch import save_file

    from sdxl_lab.generation import generate
    from sdxl_lab.runs.experiment import finish, run


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """A folder to work in, with a dataset of two scenes and a file of an embedding of two vectors for a random checkpoint."""
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "scenes")
    write_embedding(tmp_path / "unaesthetic.safetensors", 2)
    return tmp_path


def asked(checkpoint: Path | str, embeddings: Any, **others: Any) -> RunSpec:
    """One quick picture."""
    hyperparameters = {**QUICK, "negative_prompt": "unaesthetic, dull", "embeddings": embeddings, **others.pop("hyperparameters", {})}
    parameters = {"name": "made", "dataset": "scenes", "samples": ["scene-0"], "tasks": ["inpaint"], "tracking": "off", "runs_folder": "runs"}
    return RunSpec.from_parameters(**{**parameters, "checkpoint": str(checkpoint), "hyperparameters": hyperparameters, **others})


def done(checkpoint: Path | str, embeddings: Any, **others: Any) -> tuple[Resolved, Path]:
    """The run of one quick picture, recorded, and its PNG."""
    resolved = resolve(asked(checkpoint, embeddings, **others))
    [picture] = run(resolved)
    finish(resolved)
    return resolved, picture.image


NAMED = {"unaesthetic": {"file": "unaesthetic.safetensors"}}


# --- refused -------------------------------------------------------------------------------------------------------------------------------------


def tensors(**others: Any) -> dict[str, Any]:
    """Those of an embedding for pocket, unless others say otherwise."""
    made = {key: torch.zeros(2, width) for key, width in POCKET.items()} | others
    return {key: tensor for key, tensor in made.items() if tensor is not None}


def test_all_that_is_wrong_is_said_at_once(lab):
    """
    Each file that is none of these, or not for this checkpoint, and each token in another's way, is a line of one message, before any kernel.
    """
    files: dict[str, Any] = {
        "lacks": tensors(clip_g=None),
        "older": {"emb_params": torch.zeros(1, 768)},
        "wide": {"clip_l": torch.zeros(2, 768), "clip_g": torch.zeros(2, 1280)},
        "nan": tensors(clip_l=torch.full((2, 64), torch.nan)),
        "inf": {key: torch.full((2, 64), torch.inf, dtype=torch.bfloat16) for key in POCKET},
        "lora": {"lora_unet_down.lora_down.weight": torch.zeros(2, 2)},
        "base": {"conditioner.embedders.1.model.x": torch.zeros(2, 2)},
        "more": tensors(other=torch.zeros(1)),
        "uneven": tensors(clip_g=torch.zeros(3, 64)),
        "whole": {key: torch.zeros(2, 64, dtype=torch.int64) for key in POCKET},
        "deep": tensors(clip_l=torch.zeros(2, 2, 64)),
        "none": {},
        "star": tensors(),
        "first": tensors(),
        "second": tensors(),
    }
    for name, held in files.items():
        save_file(held, lab / f"{name}.safetensors")
    (lab / "empty.safetensors").touch()
    (lab / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    (lab / "folder.safetensors").mkdir()
    named = {name: {"file": f"{name}.safetensors"} for name in [*files, "empty", "pointer", "folder", "gone"]}
    named["first"]["token"], named["second"]["token"] = "<same>", "<Same>_1"
    with pytest.raises(SpecError) as error:
        resolve(asked("pocket", named))
    lines = dict(line.split(": ", 1) for line in error.value.problems)
    expected = {
        "lacks.file": "its vectors, for one text encoder, have 64 numbers, and the checkpoint's have clip_l 64 and clip_g 64; take a file with both",
        "older.file": "one text encoder, have 768 numbers, as Stable Diffusion 1 has them, and .*; take a file with both, clip_l and clip_g",
        "wide.file": "clip_l 768 and clip_g 1280 numbers, and the checkpoint's have clip_l 64 and clip_g 64",
        "nan.file": "clip_l holds NaN or infinity",
        "inf.file": "clip_l holds NaN or infinity",
        "lora.file": "it is a LoRA, where an embedding",
        "base.file": "it is a base of Stable Diffusion XL, where an embedding",
        "more.file": "it holds other beside clip_l and clip_g",
        "uneven.file": "clip_l has 2 vectors and clip_g 3",
        "whole.file": "clip_l is of type I64; allowed are F32, F16, BF16, F64",
        "deep.file": r"clip_l has the shape \[2, 2, 64\]; allowed are 1 to 75 vectors",
        "none.file": "it holds nothing; needed are clip_l and clip_g",
        "star.token": "got 'star', which is a word that the checkpoint's tokenizers know",
        "second.token": "got '<same>_1', which stands for first too",
        "empty.file": "it is no whole .safetensors file",
        "pointer.file": "it is no whole .safetensors file .*git lfs pull",
        "folder.file": "it is a folder; give a .safetensors file in it",
        "gone.file": "there is no such file, in the working folder, the dataset's, or artifacts/embeddings",
    }
    assert {path.removeprefix("hyperparameters.embeddings.") for path in lines} == set(expected)
    for path, said in expected.items():
        line = lines[f"hyperparameters.embeddings.{path}"]
        assert re.search(said, line), line
        assert str(lab) not in line


GATE: dict[str, tuple[Any, str]] = {
    "pickle": ({"x": {"file": "x.pt"}}, r"x\.file: got 'x\.pt'; .*Only \.safetensors files are read, since a \.pt file can run code.*: convert it"),
    "address": ({"x": {"file": "https://hub/x.safetensors"}}, r"x\.file: got .*nothing is fetched from addresses"),
    "spaces": ({"x": {"file": "x.safetensors", "token": "two words"}}, r"x\.token: got 'two words'; allowed is a text .*without spaces"),
    "name": ({"two words": {"file": "x.safetensors"}}, "embeddings: got the name 'two words'; allowed are letters"),
    "no file": ({"x": {"token": "<x>"}}, r"x\.file: missing; allowed is the path of a \.safetensors file"),
    "another key": ({"x": {"file": "x.safetensors", "weight": 2}}, r"x\.weight: unknown key; valid here are file, token"),
    "a file alone": ("x.safetensors", "embeddings: got 'x.safetensors'; allowed is a dictionary of names, each with file, token"),
}


@pytest.mark.parametrize("case", GATE)
def test_the_gate_refuses_what_needs_no_look(case):
    """
    What can be known of the words alone is said by the gate.
    """
    given, said = GATE[case]
    with pytest.raises(SpecError, match=said):
        asked("pocket", given)


def test_a_task_has_none_of_its_own():
    """
    Embeddings are on the models, which a run loads once.
    """
    with pytest.raises(SpecError, match=r"inpaint\.embeddings: embeddings cannot differ by task.*hyperparameters\.embeddings"):
        asked("pocket", {}, hyperparameters={"inpaint": {"embeddings": NAMED}})


# --- found and recorded --------------------------------------------------------------------------------------------------------------------------


def test_none_leaves_no_trace(lab, random_pair):
    """
    A name that holds None, or a file that is None, is as if nobody had asked: the run is the one without, and its document holds nothing of it.
    """
    without = resolve(asked(random_pair, None)).spec
    for given in ({}, {"unaesthetic": None}, {"unaesthetic": {"file": None, "token": "<x>"}}):
        assert resolve(asked(random_pair, given)).spec.run_id == without.run_id
    assert "adapters" not in without.to_json()


@pytest.mark.parametrize("place", ["unaesthetic.safetensors", "scenes/below/moved.safetensors", "artifacts/embeddings/moved.safetensors"])
def test_a_file_is_known_by_its_content(lab, random_pair, place):
    """
    Wherever the file lies and whatever it is called, also saved again by another trainer, it is the same run; with another token it is another.
    """
    before = resolve(asked(random_pair, NAMED)).spec
    held = {"text_encoders_0": "clip_l", "text_encoders_1": "clip_g"}
    from safetensors.torch import load_file

    tensors_before = load_file(lab / "unaesthetic.safetensors")
    (lab / "unaesthetic.safetensors").unlink()
    (lab / place).parent.mkdir(parents=True, exist_ok=True)
    save_file({key: tensors_before[own] for key, own in held.items()}, lab / place, metadata={"trained": "elsewhere"})
    written = place.removeprefix("scenes/").removeprefix("artifacts/embeddings/")
    after = resolve(asked(random_pair, {"other": {"file": written, "token": "unaesthetic"}})).spec
    assert after.run_id == before.run_id
    assert after.adapters[0].file == written
    assert resolve(asked(random_pair, {"unaesthetic": {"file": written, "token": "<x>"}})).spec.run_id != before.run_id


def test_a_text_in_place_of_a_section_is_its_file(lab, random_pair):
    """
    A name that holds a text is the same run as one that holds its file, and is stored as that.
    """
    short = asked(random_pair, {"unaesthetic": "unaesthetic.safetensors"})
    assert short.hyperparameters["embeddings"] == NAMED
    assert resolve(short).spec.to_json() == resolve(asked(random_pair, NAMED)).spec.to_json()


def test_the_order_of_names_is_no_matter(lab, random_pair):
    """
    Two embeddings are the same run in whichever order they are written.
    """
    write_embedding(lab / "other.safetensors", seed=3)
    pairs = list({**NAMED, "other": {"file": "other.safetensors"}}.items())
    one, other = (resolve(asked(random_pair, dict(order))).spec for order in (pairs, pairs[::-1]))
    assert one.run_id == other.run_id
    assert [adapter.name for adapter in one.adapters] == [adapter.name for adapter in other.adapters]


def test_a_token_in_no_prompt_is_told(lab, random_pair):
    """
    An embedding that no prompt asks for is on the models, recorded, and said to have no effect; one that is asked for is not.
    """
    resolved = resolve(asked(random_pair, {"dull-days": NAMED["unaesthetic"]}))
    assert any("embeddings.dull-days has no effect: its token 'dull-days' stands in no prompt" in line for line in resolved.said)
    assert resolved.spec.adapters
    assert not any("no effect" in line for line in resolve(asked(random_pair, NAMED)).said)


def test_a_word_of_several_vectors_takes_their_room(lab, random_pair):
    """
    What of a prompt is not read any more is counted with as many tokens as an embedding has vectors, and no more.
    """
    write_embedding(lab / "unaesthetic.safetensors", 20)
    fits, long = "unaesthetic, star, star, star", "unaesthetic, star, star, star, star, star, star, star"
    said = [resolve(asked(random_pair, NAMED, hyperparameters={"negative_prompt": text})).said for text in (fits, long)]
    assert not any("tokens" in line for line in said[0])
    [line] = [line for line in said[1] if "tokens" in line]
    assert "negative_prompt has 34 tokens and 30 are read" in line


def test_a_file_that_changed_since_is_refused(lab, random_pair):
    """
    A run makes no picture with another embedding than the one it was planned with.
    """
    resolved = resolve(asked(random_pair, NAMED))
    write_embedding(lab / "unaesthetic.safetensors", 2, seed=9)
    with pytest.raises(AdapterError, match=r"embeddings\.unaesthetic has changed: the digest of unaesthetic\.safetensors was .* and is now"):
        run(resolved)


def test_files_that_stay_are_taken_once(lab, random_pair, monkeypatch):
    """
    However many adapters a run has, to resolve it again, as each point of a sweep does, takes none of their files anew.
    """
    names = [f"word{number}" for number in range(5)]
    for name in names:
        write_embedding(lab / f"{name}.safetensors")
    monkeypatch.setattr(digests, "_SETTLED_S", -1)  # they are new, and will not change
    taken: list[str] = []
    take = type(ADAPTERS["embeddings"]).take
    monkeypatch.setattr(type(ADAPTERS["embeddings"]), "take", lambda *given: taken.append("once") or take(*given))
    for _ in range(2):
        resolve(asked(random_pair, {name: f"{name}.safetensors" for name in names}))
    assert len(taken) == len(names)


def test_records_name_it_without_a_path(lab, random_pair):
    """
    Record, table, PNG and comparison name the file and its digests, and no folder of this machine; from the record the same run is planned again.
    """
    (lab / "private").mkdir()
    (lab / "unaesthetic.safetensors").rename(lab / "private" / "unaesthetic.safetensors")
    with_it, picture = done(random_pair, {"unaesthetic": {"file": str(lab / "private" / "unaesthetic.safetensors")}})
    without, _ = done(random_pair, None)
    folder = with_it.folder
    adapter = with_it.spec.adapters[0]
    for file in (folder.spec_file, folder.prompts_file, picture):
        assert b"private" not in file.read_bytes()
    assert RunFolder(folder.path).resolved.run_id == with_it.spec.run_id
    [row] = csv.DictReader(folder.prompts_file.read_text().splitlines())
    assert row["embeddings.unaesthetic"] == f"unaesthetic.safetensors (digest {adapter.digest[:10]})"
    with Image.open(picture) as image:
        assert f'TI hashes: "unaesthetic: {str(adapter.sha256)[:12]}"' in image.info["parameters"]
    for runs in ([folder.path, without.folder.path], [without.folder.path, folder.path]):
        compared = compare(runs)
        assert set(map(str, compared.differing["embeddings.unaesthetic"])) == {"None", row["embeddings.unaesthetic"]}
    assert compared_by_comet(RunFolder(folder.path).resolved)["embeddings|unaesthetic"] == row["embeddings.unaesthetic"]
    planned = resolve(RunSpec.from_parameters(**parameters_of(folder.path)))
    assert planned.spec.run_id == with_it.spec.run_id
    assert ResolvedSpec.from_json(folder.spec_file.read_text()).files == {"embeddings.unaesthetic": "unaesthetic.safetensors"}


def test_one_run_in_either_state_is_whole(lab, random_pair):
    """
    Runs with, without and with again, in one process, make what each makes alone; and what a run without made is what it always was.
    """
    pictures = [done(random_pair, given, name=name)[1] for name, given in (("one", None), ("two", NAMED), ("three", None), ("four", NAMED))]
    without, with_it, again, with_again = (Image.open(picture) for picture in pictures)
    assert same(without, again)
    assert same(with_it, with_again)
    assert not same(without, with_it)


# --- made again ----------------------------------------------------------------------------------------------------------------------------------


def test_reproduced_from_nothing_but_the_picture(lab, random_pair):
    """
    The picture is identical from its PNG and a file of whatever name; without it, the error names file and digest, and where to put it.
    """
    resolved, picture = done(random_pair, NAMED)
    alone = lab / "alone.png"
    shutil.copy(picture, alone)
    shutil.rmtree(lab / "runs")
    where = {"dataset": "scenes", "checkpoint": str(random_pair)}
    assert reproduce(alone, **where).is_identical
    (lab / "unaesthetic.safetensors").rename(lab / "kept")
    adapter = resolved.spec.adapters[0]
    named = rf"embeddings\.unaesthetic \(unaesthetic\.safetensors, digest {adapter.digest[:12]}, sha256 {str(adapter.sha256)[:12]}\)"
    write_embedding(lab / "unaesthetic.safetensors", 2, seed=5)
    with pytest.raises(ReproduceError, match=rf"made with {named}, which is not here; put the file into artifacts/embeddings"):
        reproduce(alone, **where)
    (lab / "artifacts" / "embeddings").mkdir(parents=True)
    (lab / "kept").rename(lab / "artifacts" / "embeddings" / "any.safetensors")
    assert reproduce(alone, **where).is_identical


def test_what_is_shown_names_token_and_file_as_other_tools_do(lab, random_pair):
    """
    Of a picture and of its run the file is shown with its token and with what `sha256sum` says of it.
    """
    resolved, picture = done(random_pair, {"mw": {"file": "unaesthetic.safetensors", "token": "unaesthetic"}})
    sha256 = hashlib.sha256((lab / "unaesthetic.safetensors").read_bytes()).hexdigest()
    for path in (picture, resolved.folder.path):
        console = Console(record=True, width=200, file=io.StringIO())
        print_path(path, console)
        assert re.search(rf"embeddings\.mw +unaesthetic\.safetensors as unaesthetic, sha256 {sha256[:12]}\s", console.export_text())


def test_a_description_is_never_followed_as_a_path(lab, random_pair, monkeypatch):
    """
    A file that a picture names by its path is not opened; only content tells.
    """
    resolved, picture = done(random_pair, NAMED)
    outside = lab.parent / f"{lab.name}-outside.safetensors"
    (lab / "unaesthetic.safetensors").rename(outside)
    from tests.support.lone_pictures import rewritten

    def named(values: Any) -> None:
        values["resolved"]["spec"]["hyperparameters"]["embeddings"]["unaesthetic"]["file"] = str(outside)
        values["resolved"]["adapters"][0]["file"] = str(outside)

    changed = rewritten(picture, lab / "changed.png", named)
    with pytest.raises(ReproduceError, match="which is not here"):
        reproduce(changed, dataset="scenes", checkpoint=str(random_pair))
    assert json.dumps(resolved.spec.portable()).count("unaesthetic.safetensors") == 2


def test_a_file_of_the_hub_is_found_in_its_cache(lab, random_pair, monkeypatch):
    """
    A repository with one such file needs no more than its name, one with several the file's; the record calls it as it was written.

    It is what the hub's client downloaded earlier, and without that the error says what to do.
    """
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(lab / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    before = resolve(asked(random_pair, NAMED)).spec.run_id
    snapshot = lab / "cache" / "models--someone--words" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    (lab / "unaesthetic.safetensors").rename(snapshot / "learned.safetensors")
    for written in ("someone/words", "someone/words/learned.safetensors"):
        found = resolve(asked(random_pair, {"unaesthetic": {"file": written}})).spec
        assert (found.run_id, found.adapters[0].file) == (before, written)
        assert str(lab) not in json.dumps(found.portable())
    write_embedding(snapshot / "other.safetensors")
    with pytest.raises(SpecError, match=r"someone/words has 2 \.safetensors files \(learned.*other.*\); write which, as someone/words/learned"):
        resolve(asked(random_pair, {"unaesthetic": {"file": "someone/words"}}))
    with pytest.raises(SpecError, match="no such file here, nor does the hub's cache have it of someone/else, and the hub gave no answer"):
        resolve(asked(random_pair, {"unaesthetic": {"file": "someone/else"}}))

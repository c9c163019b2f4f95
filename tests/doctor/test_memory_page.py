"""What `sdxl-lab memory` answers: a page that fits a terminal, whose settings are taken and fit, and one clear error for what it cannot look at."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.cli.usage import settings_given
from sdxl_lab.doctor.memory import CARDS, free_bytes_of, page
from sdxl_lab.settings.arguments import paired
from sdxl_lab.settings.hyperparams import replace
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support import loopback_hub
from tests.support.commands import said

ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("sdxl", {}),
    ("sdxl", {"high_noise_frac": 0.8}),
    ("sdxl", {"width": 1536, "height": 1536, "dtype": "float32"}),
    ("sdxl", {"layerwise": "fp8", "offload": "model"}),
    ("sdxl", {"high_noise_frac": 0.8, "offload": "auto", "vae": "fp16-fix"}),
    ("sdxl", {"padding_mask_crop": 32}),
    ("sdxl-turbo", {}),
    ("pocket", {}),
    ("pocket", {"mode": "canvas", "canvas": {"left_px": 64}}),
)


def parts(text: str) -> dict[str, list[str]]:
    """
    The lines of each table of a page, by the first word of its head.
    """
    blocks = [block.split("\n") for block in text.split("\n\n")]
    return {lines[0].split()[0]: lines[1:] for lines in blocks}


def ways(text: str) -> dict[str, tuple[str, float, int | None]]:
    """
    Of each row of settings: whether pixels are the same, what it takes in GB, and the card that it fits.
    """
    rows = [re.fullmatch(r"(.*?) +(same|other) +([\d.]+) GB +(\d+ GB|no card)", line) for line in parts(text)["settings,"]]
    return {row[1]: (row[2], float(row[3]), int(row[4].split()[0]) if row[4] != "no card" else None) for row in rows if row}


@pytest.mark.parametrize(("checkpoint", "asked"), ASKED, ids=str)
def test_the_page_fits_a_terminal_and_its_parts_agree(checkpoint, asked):
    """
    No line is wider than 80 columns; weights add up; each card's settings are the first of the table that fit it, and the first that keep pixels.
    """
    text = page(checkpoint, asked)
    assert max(map(len, text.split("\n"))) <= 80
    models = [re.findall(r"[\d.,]+", line.partition(" ")[2]) for line in parts(text)["model"]]
    *each, whole = [int(numbers[0].replace(",", "")) for numbers in models if numbers]
    assert sum(each) == whole
    rows, offered = ways(text), " ".join(parts(text)["card"])
    assert len(rows) == len(parts(text)["settings,"])
    for card in CARDS:
        fits = [way for way, (_, gigabytes, _) in rows.items() if gigabytes * 1e9 <= free_bytes_of(card)]
        of_card = re.split(r" \d+ GB +", f" {offered} ")[1 + CARDS.index(card)]
        if not fits:
            assert "a smaller picture" in of_card
            continue
        same = [way for way in fits if rows[way][0] == "same"]
        expected = fits[0] if fits[0] in same or not same else f"{fits[0]}, or, with the same pixels: {same[0]}"
        assert " ".join(of_card.split()) == expected


def test_what_it_names_can_be_set():
    """
    Each row's settings pass the gate where paint and run take them, and only those that the gate knows to change pixels are said to.
    """
    for way, (pixels, *_) in ways(page("sdxl", {"high_noise_frac": 0.8})).items():
        given = settings_given(paired(shlex.split(way))[1::2]) if way.startswith("-p") else {}
        hyperparameters: dict[str, Any] = {}
        for name, value in given.items():
            hyperparameters = replace(hyperparameters, f"compute.{name}", value)
        compute = RunSpec.from_parameters(name="a", dataset="pocket-prompts", checkpoint="sdxl", hyperparameters=hyperparameters).compute
        assert bool(compute.changing) == (pixels == "other"), way


def test_settings_that_are_asked_for_hold_in_every_row():
    """
    What is set already is not offered again, a picture of twice the area takes more, and one without guidance less.
    """
    assert not any("layerwise" in way or "offload" in way for way in ways(page("sdxl", {"layerwise": "fp8", "offload": "model"})))
    taken = {name: ways(page("sdxl", asked))["as asked"][1] for name, asked in {"own": {}, "wide": {"width": 2048, "height": 1024}}.items()}
    assert taken["wide"] > taken["own"] + 4
    own, unguided = (re.findall(r"unet .* (\S+) GB", page("sdxl", asked))[0] for asked in ({}, {"guidance_scale": 1.0}))
    assert float(unguided) < float(own)


def chosen(text: str) -> dict[int, str]:
    """
    What `auto` takes on each card, by the page.
    """
    line = next(line for line in text.split("\n") if line.startswith("auto takes "))
    named = re.findall(r"(none|model|sequential) on ([\d, or]+) GB", line)
    return {int(card): offload for offload, cards in named for card in re.findall(r"\d+", cards)}


def test_auto_is_answered_with_what_it_takes_on_each_card():
    """
    The page of `offload auto` is the one without it, with one line more, which says what the table in small-gpus.md says.
    """
    asked = {"high_noise_frac": 0.8, "vae": "fp16-fix"}
    text = page("sdxl", asked | {"offload": "auto"})
    assert [line for line in text.split("\n") if not line.startswith("auto takes")] == page("sdxl", asked).split("\n")
    row = next(line for line in Path("docs/small-gpus.md").read_text().split("\n") if line.startswith("| base and refiner, `vae: fp16-fix`"))
    assert chosen(text) == dict(zip(CARDS, re.findall(r"\| `(\w+)` (?=\|)", row), strict=True))


EDITING = (
    {"padding_mask_crop": 32},
    {"fill": "telea"},
    {"soft": "threshold"},
    {"mask": {"kernel_size": 17}},
    {"mode": "background"},
    {"strength": 0.5},
)


@pytest.mark.parametrize("asked", EDITING, ids=str)
def test_settings_of_editing_are_taken(asked):
    """
    They make nothing larger: rows are those of a picture from words at the checkpoint's own size, and the task is said.
    """
    text = page("sdxl", asked)
    assert re.search("^(inpaint|outpaint|image_to_image) at 1024x1024 in float16", text, re.MULTILINE)
    assert ways(text) == ways(page("sdxl", {}))


def test_nothing_heavy_is_imported_to_reckon():
    """
    Neither torch nor diffusers: the answer is there in a second.
    """
    code = (
        "import sys; from sdxl_lab.doctor.memory import page; page('sdxl', {}); page('pocket', {}); print([*{'torch', 'diffusers'} & {*sys.modules}])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def cut_off(folder: Path) -> None:
    """
    A download that ended early.
    """
    path = folder / "base" / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def odd_blocks(folder: Path) -> None:
    """
    A UNet of another kind.
    """
    path = folder / "base" / "unet" / "config.json"
    path.write_text(path.read_text().replace('"DownBlock2D"', '"AttnDownBlock2D"'))


BAD: dict[str, tuple[list[str], Any, str]] = {
    "no such checkpoint": (["{folder}/nowhere"], None, r"no checkpoint .* no such folder or file"),
    "no such setting": (["pocket", "-p", "vae_tilling", "true"], None, r"vae_tilling: there is no such setting; did you mean vae_tiling\?"),
    "another tool's word": (["pocket", "-p", "lowvram", "true"], None, r"lowvram.*compute\.offload does that"),
    "a value that is not allowed": (["pocket", "-p", "layerwise", "int8"], None, r"compute\.layerwise: .*'int8'.* fp8"),
    "tiling by a word": (["pocket", "-p", "vae_tiling", "on"], None, r"compute\.vae_tiling: .*true or false"),
    "no setting of a picture": (["pocket", "-p", "tracking", "off"], None, r"tracking: it makes nothing larger or smaller"),
    "a name without a value": (["pocket", "-p", "offload"], None, r"-p"),
    "a repository that is not here": (["somebody/pictures"], None, r"somebody/pictures is not in the local cache.*hf download"),
    "a file that is cut off": (["{folder}"], cut_off, r"unet.*no whole \.safetensors file"),
    "a UNet of another kind": (["{folder}"], odd_blocks, r"the unet is not built as .*AttnDownBlock2D.* copy the file again"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_looked_at_is_one_error(random_pair, tmp_path, name):
    """
    It says what was got, and what to do, on one line or as one list, without a traceback.
    """
    arguments, spoil, expected = BAD[name]
    folder = tmp_path / "pair"
    if spoil:
        shutil.copytree(random_pair, folder)
        spoil(folder)
    with loopback_hub.asked(loopback_hub.NOBODY, tmp_path / "cache"):
        ended = said("memory", *(argument.format(folder=folder) for argument in arguments))
    assert ended.code != 0
    assert ended.out == ""
    assert re.search(expected, " ".join(ended.err.split())), ended.err
    assert "Traceback" not in ended.err


def test_8_bits_beside_a_lora_are_refused_at_the_gate():
    """
    Nothing can be added to weights of 8 bits: known before anything is loaded.
    """
    given: dict[str, Any] = {"loras": {"moon": {"file": "moon.safetensors"}}, "compute": {"layerwise": "fp8"}}
    with pytest.raises(SpecError, match=r"compute\.layerwise: got fp8 beside loras.*leave one of the two out"):
        RunSpec.from_parameters(name="a", dataset="pocket-prompts", checkpoint="pocket", hyperparameters=given)

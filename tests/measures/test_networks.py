"""What networks measure, against transformers, torch and the formulas used by hand, on tiny models of random weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from sdxl_lab import measure
from sdxl_lab.extractors import ExtractorError
from sdxl_lab.measures import MeasureError
from sdxl_lab.measures.lpips import Lpips
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.viewing.compare import compare
from tests.support import loopback_hub
from tests.support.report_runs import planned, recorded
from tests.support.run_folders import environment
from tests.support.sessions import add, begun
from tests.support.tiny_models import pictures, tiny_clip, tiny_dinov2

LONG = "a red octopus " * 30
WORDS = (("octopus", "inpaint", "a red octopus", 1), ("cup", "outpaint", LONG, 3))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """
    Tiny models, and PickScore's two repositories: weights without a tokenizer, and a processor without weights.
    """
    root = tmp_path_factory.mktemp("models")
    found = {"clip": tiny_clip(root / "clip"), "dinov2": tiny_dinov2(root / "dinov2"), "whole": tiny_clip(root / "whole", seed=1)}
    for name in ("pickscore", "pickscore_processor"):
        found[name] = shutil.copytree(found["whole"], root / name)
    for file in found["pickscore"].iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    (found["pickscore_processor"] / "model.safetensors").unlink()
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two pictures, one of them with a prompt that no text encoder reads to its end."""
    return recorded(planned(tmp_path_factory.mktemp("runs"), 5.0, 10, 0.8, words=WORDS), side_px=80)


def embedded(folder: Path, image: Path | None = None, text: str | None = None) -> torch.Tensor:
    """
    An embedding of length 1, by transformers' own processor and model.
    """
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    model: Any = CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        if image is not None:
            seen = CLIPImageProcessorPil.from_pretrained(folder)(images=Image.open(image).convert("RGB"), return_tensors="pt")
            found = model.get_image_features(**seen).pooler_output
        else:
            longest = model.config.text_config.max_position_embeddings
            read = CLIPTokenizer.from_pretrained(folder)([text], padding="max_length", truncation=True, max_length=longest, return_tensors="pt")
            found = model.get_text_features(**read).pooler_output
    return nn.functional.normalize(found.double(), dim=-1)[0]


def by_name(run: RunFolder) -> dict[str, Any]:
    """
    The run's pictures by their samples.
    """
    return {picture.sample: picture for picture in run.pictures()}


def test_clip_score_is_a_hundred_cosines_cut_at_zero(run, models):
    """
    CLIPScore of each picture equals transformers' embeddings by hand; a prompt that is too long is cut, and that is said.
    """
    [found] = measure(run, "clip_score", models={"clip": str(models["clip"])})
    cosines = {
        picture.image: float(embedded(models["clip"], picture.image) @ embedded(models["clip"], text=picture.prompt)) for picture in run.pictures()
    }
    assert found.numbers == {image: pytest.approx(100 * max(cosine, 0), abs=1e-3) for image, cosine in cosines.items()}
    assert any(cosine > 0 for cosine in cosines.values())
    assert found.notes == (f"1 prompt is longer than the 32 tokens that {models['clip']} reads; what is beyond does not count",)


def test_directional_similarity_is_of_differences_of_unit_embeddings(run, models):
    """
    The cosine between the change of the picture and that of the words, whose beginning is the empty text where no caption is given.
    """
    [found] = measure(run, "clip_directional", models={"clip": str(models["clip"])})
    expected = {}
    for picture in run.pictures():
        seen = embedded(models["clip"], picture.image) - embedded(models["clip"], picture.input_image)
        said = embedded(models["clip"], text=picture.prompt) - embedded(models["clip"], text="")
        expected[picture.image] = pytest.approx(float(nn.functional.cosine_similarity(seen, said, dim=0)), abs=1e-4)
    assert found.numbers == expected
    assert max(abs(number) for number in found.numbers.values()) > 1e-3


def test_pick_score_is_the_scaled_cosine_of_two_repositories(run, models):
    """
    PickScore's weights with another repository's processor give what its README computes; a difference of scores is a log of odds.
    """
    given = {name: str(models[name]) for name in ("pickscore", "pickscore_processor")}
    [found] = measure(run, "pick_score", models=given)
    from transformers import CLIPModel

    scale = CLIPModel.from_pretrained(models["whole"]).logit_scale.exp().item()
    expected = {}
    for picture in run.pictures():
        cosine = embedded(models["whole"], picture.image) @ embedded(models["whole"], text=picture.prompt)
        expected[picture.image] = pytest.approx(scale * float(cosine), abs=1e-3)
    assert found.numbers == expected


def test_a_comparison_says_how_probably_a_row_is_preferred(models, tmp_path):
    """
    The mean of the softmax of both scores over pairs with one prompt, and nothing of metrics whose differences are no log of odds.
    """
    runs = [recorded(planned(tmp_path, guidance, 10, None, words=WORDS), side_px=32) for guidance in (2.0, 9.0)]
    given = {name: str(models[name]) for name in ("pickscore", "pickscore_processor", "clip")}
    found, _ = measure(tmp_path, ["pick_score", "clip_score"], models=given)
    first, second = (np.array([found.numbers[picture.image] for picture in run.pictures()]) for run in runs)
    expected = (np.exp(second) / (np.exp(first) + np.exp(second))).mean()
    notes = [note for note in compare([tmp_path]).notes if "preferred" in note]
    names = [run.resolved.spec.name for run in runs]
    assert notes == [f"{names[1]} is preferred to {names[0]} with probability {expected:.2f}, n 2, as {found.column} guesses"]


def test_dino_compares_patches_at_the_same_places_inside_and_outside(run, models):
    """
    Both numbers are means of cosines of DINOv2's patch tokens, taken where the mask, resized and cropped like the picture, is white or black.
    """
    from transformers import BitImageProcessorPil, Dinov2Model

    inside, outside = measure(run, ["dino_inside", "dino_outside"], models={"dinov2": str(models["dinov2"])})
    model, processor = Dinov2Model.from_pretrained(models["dinov2"]).eval(), BitImageProcessorPil.from_pretrained(models["dinov2"])
    for picture in run.pictures():
        with torch.no_grad():
            before, after = (
                model(**processor(images=Image.open(path).convert("RGB"), return_tensors="pt")).last_hidden_state[0, 1:]
                for path in (picture.input_image, picture.image)
            )
        cosines = nn.functional.cosine_similarity(before.double(), after.double(), dim=-1)
        mask = Image.open(picture.mask_image).convert("L").resize((32, 32), Image.Resampling.BOX).crop((2, 2, 30, 30))
        levels = np.asarray(mask, float) / 255
        white = np.array([levels[row : row + 14, column : column + 14].mean() for row in (0, 14) for column in (0, 14)])
        # The disk reaches into each of the four patches, and makes up less than half of each.
        expected = {picture.image: pytest.approx(float(cosines.mean()), abs=1e-5)} if (white >= 0.5).all() else {}
        assert {image: number for image, number in inside.numbers.items() if image == picture.image} == expected
        assert bool(expected) == (picture.task == "outpaint")
        assert (white > 0).all()
    assert (inside.undefined, outside.numbers, outside.undefined) == (1, {}, 2)


def test_dino_outside_leaves_out_every_patch_that_the_mask_touches(models, tmp_path):
    """
    With a mask in one corner alone three patches are outside and one is inside.
    """
    from sdxl_lab.extractors import DinoV2, open_extractor
    from sdxl_lab.measures.by_dino import similarity

    dino = open_extractor("dinov2", str(models["dinov2"]))
    assert isinstance(dino, DinoV2)
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 32, 32))
    white = dino.whiteness(mask)
    assert white.shape == (2, 2)
    assert (white[0, 0] > 0.9, white[1, 1]) == (True, 0)
    before, after = (dino.patches(image) for image in pictures(2, size=(64, 64)))
    cosines = (before * after).sum(-1) / np.linalg.norm(before, axis=-1) / np.linalg.norm(after, axis=-1)
    assert similarity(before, after, white == 0) == pytest.approx(cosines[white == 0].mean(), abs=1e-6)
    assert similarity(before, before, white == 0) == pytest.approx(1)
    assert similarity(before, after, white > 2) is None


def torchvision_named(kind: str, *, seed: int = 0) -> nn.Sequential:
    """
    The features of torchvision's AlexNet or VGG16, layer by layer, with random weights.
    """
    torch.manual_seed(seed)
    if kind == "alex":
        layers = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
        layers += [nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1)]
        return nn.Sequential(*layers, nn.ReLU(), nn.MaxPool2d(3, 2))
    layers, width = [], 3
    for wider in (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0):
        layers += [nn.Conv2d(width, wider, 3, padding=1), nn.ReLU()] if wider else [nn.MaxPool2d(2, 2)]
        width = wider or width
    return nn.Sequential(*layers)


SLICES = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def linear_weights(kind: str, *, seed: int = 5) -> dict[str, torch.Tensor]:
    """
    Linear weights named as the package lpips names them, none negative, as theirs are.
    """
    torch.manual_seed(seed)
    return {f"lin{index}.model.1.weight": torch.rand(1, width, 1, 1) for index, width in enumerate(WIDTHS[kind])}


def lpips_by_hand(kind: str, before: Image.Image, after: Image.Image) -> float:
    """
    The formula of the paper over torch's own modules: unit features, squared differences, linear weights, means over places, a sum over layers.
    """
    shift, scale = torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None], torch.tensor([0.458, 0.448, 0.450])[None, :, None, None]
    seen = [(torch.tensor(np.asarray(image)).permute(2, 0, 1)[None].float() / 255 * 2 - 1 - shift) / scale for image in (before, after)]
    total, linear = 0.0, list(linear_weights(kind).values())
    with torch.no_grad():
        for number, layer in enumerate(torchvision_named(kind)):
            seen = [layer(each) for each in seen]
            if number in SLICES[kind]:
                mine, other = (nn.functional.normalize(each, dim=1, eps=1e-10) for each in seen)
                weights = linear[SLICES[kind].index(number)]
                total += nn.functional.conv2d((mine - other) ** 2, weights).mean().item()
    return total


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_lpips_is_the_papers_formula_over_torchvisions_layers(kind, tmp_path):
    """
    Both networks, as .safetensors and as a state dict of torch, give what torch's own modules give; equal pictures give 0.
    """
    weights = {f"features.{name}": weight for name, weight in torchvision_named(kind).state_dict().items()}
    save_file(weights, tmp_path / "backbone.safetensors")
    torch.save(weights | {"classifier.1.weight": torch.zeros(2, 2)}, tmp_path / "backbone.pth")
    torch.save(linear_weights(kind), tmp_path / "linear.pth")
    save_file(linear_weights(kind), tmp_path / "linear.safetensors")
    before, after = pictures(2, size=(97, 70))
    expected = lpips_by_hand(kind, before, after)
    assert expected > 1e-3
    for suffixes in ((".safetensors", ".pth"), (".pth", ".safetensors")):
        lpips = Lpips(tmp_path / f"backbone{suffixes[0]}", tmp_path / f"linear{suffixes[1]}")
        assert lpips.distance(before, after) == pytest.approx(expected, rel=1e-4)
        assert lpips.distance(before, before) == 0


def test_lpips_is_measured_of_a_run_and_says_what_its_files_lack(run, tmp_path):
    """
    A run's numbers are those of its input and its result; files of another kind, with other weights or with code are one error each.
    """
    weights = {f"features.{name}": weight for name, weight in torchvision_named("alex").state_dict().items()}
    backbone, linear = tmp_path / "alexnet.safetensors", tmp_path / "alex.pth"
    save_file(weights, backbone)
    torch.save(linear_weights("alex"), linear)
    [found] = measure(run, "lpips", models={"lpips": str(backbone), "lpips_linear": str(linear)})
    for picture in run.pictures():
        before, after = (Image.open(path).convert("RGB") for path in (picture.input_image, picture.image))
        assert found.numbers[picture.image] == pytest.approx(lpips_by_hand("alex", before, after), rel=1e-4)

    def refused(lpips: Path, lpips_linear: Path, match: str) -> None:
        with pytest.raises(MeasureError, match=match):
            Lpips(lpips, lpips_linear).distance(*pictures(2, size=(70, 70)))

    save_file({"layer1.weight": torch.zeros(2)}, tmp_path / "resnet.safetensors")
    refused(tmp_path / "resnet.safetensors", linear, "neither AlexNet nor VGG16")
    torch.save(linear_weights("vgg"), tmp_path / "vgg.pth")
    refused(backbone, tmp_path / "vgg.pth", r"has 128 weights as lin1.model.1.weight, and AlexNet takes 192")
    torch.save(nn.Linear(1, 1), tmp_path / "module.pth")
    refused(tmp_path / "module.pth", linear, "holds more than weights, and nothing else is loaded")
    (tmp_path / "cut.safetensors").write_bytes(backbone.read_bytes()[:1000])
    refused(tmp_path / "cut.safetensors", linear, "can't be read as weights")
    with pytest.raises(MeasureError, match="there is no file nowhere"):
        measure(run, "lpips", models={"lpips": "nowhere.pth", "lpips_linear": str(linear)})
    with pytest.raises(MeasureError, match=r"got pictures of 40x30 and 40x30 pixels; LPIPS takes two of one size, 64 or more"):
        Lpips(backbone, linear).distance(*pictures(2))


def test_another_network_is_another_column_and_the_same_one_elsewhere_is_not(run, models, tmp_path):
    """
    A copy in another folder is known; other weights and another preprocessing fill columns of their own, beside the first one's.
    """
    fresh = RunFolder(shutil.copytree(run.path, tmp_path / "run"))
    shutil.rmtree(fresh.path / "measures", ignore_errors=True)
    copy = shutil.copytree(models["clip"], tmp_path / "copy")
    [first] = measure(fresh, "clip_score", models={"clip": str(models["clip"])})
    [again] = measure(fresh, "clip_score", models={"clip": str(copy)})
    assert (again.column, again.computed, again.known) == (first.column, 0, 2)
    file = copy / "preprocessor_config.json"
    file.write_text(file.read_text().replace('"resample": 3', '"resample": 2'))
    [other] = measure(fresh, "clip_score", models={"clip": str(copy)})
    [third] = measure(fresh, "clip_score", models={"clip": str(models["whole"])})
    assert (other.computed, third.computed) == (2, 2)
    assert {first.column, other.column, third.column} == {name for name in fresh.pictures()[0].metrics if name.startswith("clip_score-")}
    assert len({first.column, other.column, third.column}) == 3


def test_a_picture_from_words_alone_has_a_score_and_no_likeness(models, tmp_path):
    """
    Text to image has a CLIPScore; what compares with an input is not defined for it. Marks of weights are no words.
    """
    session = begun(tmp_path)
    picture = add(session, "a (blue:1.4) star", task="text_to_image", prompt_syntax="a1111", side_px=32).recorded
    score, directional = measure(session, ["clip_score", "clip_directional"], models={"clip": str(models["clip"])})
    expected = 100 * max(0.0, float(embedded(models["clip"], picture.image) @ embedded(models["clip"], text="a blue star")))
    assert score.numbers == {picture.image: pytest.approx(expected, abs=1e-3)}
    assert (directional.numbers, directional.undefined) == ({}, 1)


def test_networks_come_from_the_hub_only_when_that_is_asked_for(run, models, tmp_path):
    """
    Nothing is downloaded unasked; PickScore's processor comes without its weights; afterwards the cache is enough, and the numbers are the folder's.
    """
    for name in ("pickscore", "whole"):
        shutil.copytree(models[name], tmp_path / "hub" / "owner" / name)
    given = {"pickscore": "owner/pickscore", "pickscore_processor": "owner/whole"}
    here = measure(run, "pick_score", models={name: str(models[name]) for name in given})[0]
    shutil.rmtree(run.path / "measures")
    with loopback_hub.serving(loopback_hub.Hub(tmp_path / "hub")) as hub, loopback_hub.asked(hub.url, tmp_path / "cache"):
        with pytest.raises(ExtractorError, match=r"owner/\w+ is not wholly in the local cache.*--fetch"):
            measure(run, "pick_score", models=given)
        assert not hub.fetched
        fetched = measure(run, "pick_score", models=given, fetch=True)[0]
        assert not [name for _, repository, name in hub.fetched if "whole" in repository and name.endswith(".safetensors")]
    assert (fetched.column, fetched.numbers) == (here.column, here.numbers)
    shutil.rmtree(run.path / "measures")
    with loopback_hub.asked(loopback_hub.NOBODY, tmp_path / "cache"):
        assert measure(run, "pick_score", models=given)[0].numbers == here.numbers


@pytest.mark.parametrize("fetch", [False, True])
def test_without_a_network_an_error_comes_in_seconds(fetch, run, tmp_path):
    """
    A model that is not here is one error that names it, within five seconds, whether or not it may be downloaded.
    """
    with loopback_hub.asked(loopback_hub.NOBODY, tmp_path / "cache"):
        began = time.monotonic()
        with pytest.raises(ExtractorError, match="openai/clip-vit-large-patch14"):
            measure(run, "clip_score", fetch=fetch)
        assert time.monotonic() - began < 5


def test_the_command_measures_without_torch_where_no_network_looks(run):
    """
    One command line measures and says so; torch is not imported for pixels.
    """
    code = (
        "import sys; from sdxl_lab.cli.commands import app\n"
        "try: app(sys.argv[1:], prog_name='sdxl-lab')\n"
        "except SystemExit as ended: print('ended', ended.code, 'torch' in sys.modules)"
    )
    arguments = ["measure", str(run.path), "--metric", "nrmse_outside", "--metric", "ssim_outside"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment(), capture_output=True, text=True, check=False)
    assert "ended 0 False" in done.stdout, done.stderr
    assert "nrmse_outside" in done.stdout
    assert "kept beside 1 record, in the folder measures" in done.stdout

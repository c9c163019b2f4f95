"""What extractors give, against transformers and torch used by hand."""

# pyright: reportOptionalSubscript=false
# The models give hidden states.

import json
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sdxl_lab.extractors import EXTRACTORS, ExtractorError, open_extractor
from sdxl_lab.files.digests import digest_of_file
from sdxl_lab.pocket.training.judge import load_judge
from sdxl_lab.pocket.world import draw, sample_scene
from tests.support import loopback_hub
from tests.support.tiny_models import pictures, tiny_clip, tiny_dinov2, toy_inception

SIZES = [(40, 30), (31, 64), (32, 32), (20, 24)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """
    A tiny model of each kind.
    """
    root = tmp_path_factory.mktemp("models")
    return {"clip": tiny_clip(root / "clip"), "dinov2": tiny_dinov2(root / "dinov2")}


def of_every_size() -> list[Image.Image]:
    """
    Two pictures of each size.
    """
    return [picture for number, size in enumerate(SIZES) for picture in pictures(2, size=size, seed=number)]


def by_hand(kind: str, folder: Path, images: list[Image.Image]) -> np.ndarray:
    """
    Features of one picture after the other, by transformers' own processor and model.
    """
    from transformers import BitImageProcessorPil, CLIPImageProcessorPil, CLIPModel, Dinov2Model

    processor = {"clip": CLIPImageProcessorPil, "dinov2": BitImageProcessorPil}[kind].from_pretrained(folder)
    rows = []
    with torch.no_grad():
        for image in images:
            seen = processor(images=image, return_tensors="pt")["pixel_values"]
            if kind == "clip":
                rows.append(CLIPModel.from_pretrained(folder).eval().get_image_features(pixel_values=seen).pooler_output[0])
            else:
                rows.append(Dinov2Model.from_pretrained(folder).eval()(pixel_values=seen).last_hidden_state[0, 0])
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_features_of_pictures_of_any_size_are_those_of_transformers_by_hand(kind, folders):
    """
    Resizing, cropping and normalizing as the repository's file says, then the network, give what transformers' own processor and model give.
    """
    images = of_every_size()
    features = open_extractor(kind, str(folders[kind])).features(iter(images))
    expected = by_hand(kind, folders[kind], images)
    assert features.dtype == np.float32
    assert features.std(axis=0).max() > 1e-2
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_what_is_seen_is_what_transformers_processor_gives_bit_for_bit(kind, folders):
    """
    Preprocessing is the processor's of the repository, to the last bit, for pictures larger and smaller than the crop.
    """
    from transformers import BitImageProcessorPil, CLIPImageProcessorPil

    processor = {"clip": CLIPImageProcessorPil, "dinov2": BitImageProcessorPil}[kind].from_pretrained(folders[kind])
    preprocessing = open_extractor(kind, str(folders[kind])).folder.preprocessing
    for image in of_every_size():
        expected = processor(images=image, return_tensors="np")["pixel_values"][0]
        assert np.array_equal(preprocessing(image), expected)


def test_a_repository_of_the_hub_is_fetched_only_if_asked_and_then_known_without_a_network(folders, tmp_path):
    """
    Without fetch nothing is downloaded; with it the same features and identity as of the folder come, and later without a hub.
    """
    shutil.copytree(folders["clip"], tmp_path / "hub" / "owner" / "clip")
    (tmp_path / "hub" / "owner" / "clip" / "pytorch_model.bin").write_bytes(b"pickle")
    images, here = pictures(3), open_extractor("clip", str(folders["clip"]))
    with loopback_hub.serving(loopback_hub.Hub(tmp_path / "hub")) as hub, loopback_hub.asked(hub.url, tmp_path / "cache"):
        with pytest.raises(ExtractorError, match=r"owner/clip is not wholly in the local cache.*--fetch"):
            open_extractor("clip", "owner/clip")
        assert not hub.fetched
        fetched = open_extractor("clip", "owner/clip", fetch=True)
        assert {name for _, _, name in hub.fetched} == set(hub.files("owner/clip")) - {"pytorch_model.bin"}
        assert fetched.identity() == here.identity()
        assert np.array_equal(fetched.features(images), here.features(images))
    with loopback_hub.asked(loopback_hub.NOBODY, tmp_path / "cache"):
        assert open_extractor("clip", "owner/clip").identity() == here.identity()


@pytest.mark.parametrize("fetch", [False, True])
def test_without_a_network_an_error_comes_in_seconds(fetch, tmp_path):
    """
    A model that is not here is one error that names it, within five seconds, whether or not it may be downloaded.
    """
    with loopback_hub.asked(loopback_hub.NOBODY, tmp_path / "cache"):
        began = time.monotonic()
        with pytest.raises(ExtractorError, match="facebook/dinov2-large"):
            open_extractor("dinov2", fetch=fetch)
        assert time.monotonic() - began < 5


def test_identity_is_of_content(folders, tmp_path):
    """
    A copy elsewhere is the same extractor; other weights and another preprocessing are others.
    """
    here = open_extractor("clip", str(folders["clip"])).identity()
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    assert open_extractor("clip", str(copy)).identity() == here == json.loads(json.dumps(here))
    others = open_extractor("clip", str(tiny_clip(tmp_path / "other", seed=1))).identity()
    assert others["weights"] != here["weights"]
    assert others["preprocessing"] == here["preprocessing"]
    file = copy / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"resample": 2}))
    changed = open_extractor("clip", str(copy)).identity()
    assert changed["weights"] == here["weights"]
    assert changed["preprocessing"] == here["preprocessing"] | {"resample": "bilinear"}


def test_a_lost_weight_is_not_made_up(folders, tmp_path):
    """
    Where transformers makes a missing weight random, here is an error that names it.
    """
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folders["dinov2"], tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    lost = next(name for name in weights if name.endswith("layernorm.weight"))
    save_file({name: weight for name, weight in weights.items() if name != lost}, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExtractorError, match=r"lacks 1 weights, .*layernorm.weight"):
        open_extractor("dinov2", str(copy)).features(pictures(1))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors.index.json", "{}", "names no files of weights"),
        ("model.safetensors.index.json", '{"weight_map": {"a": 1}}', "names no files of weights"),
        ("preprocessor_config.json", '{"resample": 9, "do_resize": false, "do_center_crop": false, "do_normalize": false}', "can't be followed"),
    ],
)
def test_small_files_that_say_nothing_sensible_are_told(name, content, said, folders, tmp_path):
    """
    An index without files and a filter that Pillow has not are one error, before anything is loaded.
    """
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    if name.startswith("model"):
        (copy / "model.safetensors").unlink()
    (copy / name).write_text(content)
    with pytest.raises(ExtractorError, match=said):
        open_extractor("clip", str(copy)).identity()


def test_the_judge_gives_what_it_judges_by():
    """
    The judge's features and classes are those of the network that was trained, computed by hand from its own layers.
    """
    images = [draw(sample_scene(7_000_000 + i)) for i in range(20)]
    judge, extractor = load_judge(), open_extractor()
    seen = torch.from_numpy(np.stack([np.asarray(image) for image in images]).transpose(0, 3, 1, 2)).float() / 127.5 - 1
    with torch.no_grad():
        maps = judge.features(seen)
        expected = np.concatenate([maps.flatten(2).max(dim=2).values.numpy(), maps.flatten(2).mean(dim=2).numpy()], axis=1)
        answers = [score.softmax(dim=1).numpy() for score in judge(seen).values()]
    np.testing.assert_allclose(extractor.features(images), expected, rtol=1e-4, atol=1e-4)
    joint = np.einsum("na,nb,nc->nabc", *answers).reshape(20, -1)
    np.testing.assert_allclose(extractor.probabilities(images), joint, rtol=1e-3, atol=1e-5)


def test_an_inception_is_called_as_stylegans(tmp_path):
    """
    A TorchScript file gets uint8 pictures of their own size, is asked for features, and for classes without the last bias.
    """
    file = toy_inception(tmp_path / "toy.pt")
    extractor = open_extractor("inception", str(file), sha256=digest_of_file(file))
    images = of_every_size()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        toy = torch.jit.load(str(file))
    seen = [torch.from_numpy(np.asarray(image).transpose(2, 0, 1)[None].copy()) for image in images]
    with torch.no_grad():
        features = np.concatenate([toy(each, return_features=True).numpy() for each in seen])
        classes = np.concatenate([toy(each, no_output_bias=True).numpy() for each in seen])
    np.testing.assert_allclose(extractor.features(images), features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(extractor.probabilities(images), classes, rtol=1e-5, atol=1e-6)


def test_a_program_nobody_knows_is_not_run(tmp_path):
    """
    An unknown TorchScript file is loaded only for who gives its digest, and not for who gives another.
    """
    file = toy_inception(tmp_path / "toy.pt")
    with pytest.raises(ExtractorError, match=rf"unknown \(sha256 {digest_of_file(file)}\).*--sha256 {digest_of_file(file)}"):
        open_extractor("inception", str(file))
    with pytest.raises(ExtractorError, match=r"has sha256 .*, not 0000"):
        open_extractor("inception", str(file), sha256="0" * 64)


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("vgg", None, "allowed is one of judge, clip, dinov2, inception"),
        ("judge", "other", "there is one judge"),
        ("clip", "no folder", "allowed is a folder, or a hub id"),
        ("clip", "./absent", "there is no folder ./absent"),
        ("inception", None, "comes with no weights"),
        ("inception", "nowhere.pt", "there is no file nowhere.pt"),
        ("inception", "https://nowhere.example/inception.pt", "nothing is fetched from addresses"),
    ],
)
def test_what_is_no_extractor_is_told(name, model, said):
    """
    A name, model or file that is none gives one error that says what is allowed.
    """
    with pytest.raises(ExtractorError, match=said):
        open_extractor(name, model)


@pytest.mark.parametrize(("kind", "other"), [("clip", "dinov2"), ("dinov2", "clip")])
def test_a_model_of_another_type_is_refused_before_it_is_loaded(kind, other, folders):
    """
    A DINOv2 is no CLIP, nor the other way round: that is said from its configuration.
    """
    with pytest.raises(ExtractorError, match=f"is a model of type '{other}'"):
        open_extractor(kind, str(folders[other]))


def test_pickled_weights_are_refused(folders, tmp_path):
    """
    A folder without .safetensors is refused with the way to convert it.
    """
    copy = shutil.copytree(folders["clip"], tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(ExtractorError, match=r"weights are read from \.safetensors files alone.*save_pretrained"):
        open_extractor("clip", str(copy))


def test_opening_an_extractor_imports_no_torch(folders):
    """
    The table is read, an extractor opened and its identity told before torch is imported.
    """
    code = f"""
import sys
from sdxl_lab.extractors import open_extractor
for name, model in (("judge", None), ("clip", {str(folders["clip"])!r}), ("dinov2", {str(folders["dinov2"])!r})):
    open_extractor(name, model).identity()
assert not {{"torch", "transformers", "scipy"}} & set(sys.modules), "imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_every_kind_says_what_it_is():
    """
    Each row of the table has a sentence, and a model of its own or advice how to give one.
    """
    for name, kind in EXTRACTORS.items():
        assert kind.sentence
        assert bool(kind.model) != bool(kind.advice), name

"""Datasets on disk: found, opened, checked whole, and known by content."""

import hashlib
import io
import time

import pytest
from PIL import Image

from sdxl_lab.datasets.metadata import ArtifactError
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.files import digests
from sdxl_lab.images import pictures
from tests.support.smallest_dataset import changed, draw, lay_out


def as_long(image: Image.Image) -> bytes:
    """Write a picture as a file whose length is that of any other of its size."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)
    return file.getvalue()


def test_the_smallest_metadata_works(tmp_path):
    """
    The metadata.json that error messages show makes a dataset.
    """
    (sample,) = fetch(lay_out(tmp_path / "d")).samples
    assert (sample.name, sample.tasks["inpaint"].prompt, sample.tasks["inpaint"].seed) == ("octopus", "a red octopus on a beach", None)
    assert sample.image() == draw()
    mask = sample.mask()
    assert mask is not None
    assert mask.getbbox() == (4, 4, 12, 12)


def test_pictures_that_stay_the_same_are_opened_once(tmp_path, monkeypatch):
    """
    A dataset that is fetched again opens no picture again and is the same; picture or mask overwritten in place by as many bytes is seen.
    """
    monkeypatch.setattr(digests, "_SETTLED_S", -1)
    decoded, decode = [], pictures.decode
    monkeypatch.setattr(pictures, "decode", lambda content: decoded.append(content) or decode(content))
    folder = lay_out(tmp_path / "d")
    for name in ("images/octopus.png", "masks/octopus.png"):
        path = folder / name
        path.write_bytes(as_long(draw() if name.startswith("images") else Image.linear_gradient("L").resize((24, 16))))
        first = fetch(folder)
        count = len(decoded)
        assert fetch(folder) == first
        assert len(decoded) == count
        with Image.open(path) as image:
            turned = as_long(image.transpose(Image.Transpose.ROTATE_180))
        assert len(turned) == path.stat().st_size
        time.sleep(0.05)  # a clock that files are told by ticks in hundredths of a second
        path.write_bytes(turned)
        (seen,) = fetch(folder).samples
        assert hashlib.sha256(turned).hexdigest() in (seen.image_sha256, seen.mask_sha256)
        assert len(decoded) == count + 2


def test_the_built_in_dataset_is_whole():
    """
    The dataset that comes with the lab passes its own checks, with both tasks for each of its samples.
    """
    dataset = fetch("pocket-scenes")
    assert len(dataset.samples) == 5
    assert all(set(sample.tasks) == {"inpaint", "outpaint"} for sample in dataset.samples)


def test_unknown_fields_are_kept(tmp_path):
    """
    Fields the lab doesn't know come back as written, at each level.
    """
    metadata = {**changed(credit="me", outpaint={"prompt": "", "seed": -(2**63), "mood": 1}), "license": "CC0"}
    dataset = fetch(lay_out(tmp_path / "d", metadata))
    (sample,) = dataset.samples
    assert (dataset.extra, sample.extra, sample.tasks["outpaint"].extra) == ({"license": "CC0"}, {"credit": "me"}, {"mood": 1})
    assert sample.tasks["outpaint"].seed == -(2**63)


def test_a_sample_may_lack_a_mask(tmp_path):
    """
    A sample without a mask is fetched, and reads its mask as None.
    """
    entry = {"name": "wide", "image": "images/octopus.png", "outpaint": {}}
    assert fetch(lay_out(tmp_path / "d", {"samples": [entry]})).samples[0].mask() is None


def test_the_digest_follows_what_the_metadata_names(tmp_path):
    """
    The digest stays the same elsewhere and with other files around; one changed byte changes it.
    """
    first, second = fetch(lay_out(tmp_path / "a")), lay_out(tmp_path / "b")
    (second / "notes.txt").write_text("mine")
    assert fetch(second).digest == first.digest
    picture = draw()
    picture.putpixel((0, 0), (1, 2, 3))
    picture.save(second / "images/octopus.png")
    assert fetch(second).digest != first.digest


def test_a_file_that_changed_after_fetching_is_refused(tmp_path):
    """
    A sample whose file is no longer the fetched one raises instead of reading another picture.
    """
    folder = lay_out(tmp_path / "d")
    (sample,) = fetch(folder).samples
    Image.new("RGB", (24, 16)).save(folder / "images/octopus.png")
    with pytest.raises(ArtifactError, match="has changed since"):
        sample.image()


def test_an_artifact_lies_where_its_name_says(tmp_path):
    """
    workspace/name:version is found in the datasets folder, and carries name and version.
    """
    lay_out(tmp_path / "team/sea/1.0.0")
    dataset = fetch("team/sea:1.0.0", datasets_folder=tmp_path)
    assert (dataset.name, dataset.version) == ("team/sea", "1.0.0")


@pytest.mark.parametrize("source", ["nowhere", "a/b/c:1", "../x:1", "pocket-scene"])
def test_a_dataset_that_is_not_there_says_what_may_be_given(tmp_path, source):
    """
    An unknown source raises one error that lists the three kinds of datasets.
    """
    with pytest.raises(ArtifactError, match=r"pocket-scenes.*workspace/name:version") as raised:
        fetch(source, datasets_folder=tmp_path)
    assert str(raised.value).endswith("Did you mean pocket-scenes?") == (source == "pocket-scene")


def test_every_unfit_sample_is_listed(tmp_path):
    """
    One error names all samples that can't be used, so that they can be put right at once.
    """
    entries = [{"name": name, "image": "missing.png"} for name in "abc"]
    with pytest.raises(ArtifactError, match=r"3 of 3 samples(?s:.*)samples\[0\] 'a'(?s:.*)samples\[2\] 'c'"):
        fetch(lay_out(tmp_path / "d", {"samples": entries}))

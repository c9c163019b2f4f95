"""Sets of pictures as people name them, statistics in files, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdxl_lab import distance
from sdxl_lab.distances import DISTANCES, DistanceError
from sdxl_lab.distances.printed import lines_of
from sdxl_lab.distances.results import Distances, Measured, SetDistances, Side
from sdxl_lab.extractors import EXTRACTORS, Extractor, Kind
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.spec.generated import Generated
from tests.support.commands import said
from tests.support.compare_runs import planned
from tests.support.runs import made_for
from tests.support.tiny_models import pictures


class Levels(Extractor):
    """
    The mean levels of a 2x2 grid: an extractor without a network, whose features the tests compute by hand.
    """

    version = 1

    def __init__(self, weights: str = "0" * 64) -> None:
        super().__init__("levels", "by hand")
        self._weights = weights
        self.looked_at = 0

    @property
    def weights(self) -> str:
        """Whatever it was given."""
        return self._weights

    def preprocessing(self) -> dict[str, object]:
        """How fine the grid is."""
        return {"grid": [2, 2]}

    def load(self) -> None:
        """Nothing."""

    def embed(self, images: list[Image.Image]) -> np.ndarray:
        """The mean levels, and one more time looked at each."""
        self.looked_at += len(images)
        return np.stack([levels(image) for image in images])


def levels(image: Image.Image) -> np.ndarray:
    """
    The mean levels of each quarter of a picture, by channel.
    """
    pixels = np.asarray(image.convert("RGB"), np.float64)
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    return pixels[: 2 * height, : 2 * width].reshape(2, height, 2, width, 3).mean(axis=(1, 3)).reshape(-1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """
    Spots of color: 300 pictures to compare with, 260 others, the same half gray, and 100 and 40 of them.
    """
    root = tmp_path_factory.mktemp("sets")
    others = pictures(260, size=(32, 32), seed=1)
    made = {
        "true": pictures(300, size=(32, 32), seed=2),
        "others": others,
        "gray": [Image.blend(picture, Image.new("RGB", picture.size, "gray"), 0.5) for picture in others],
        "hundred": others[:100],
        "forty": others[:40],
    }
    for name, those in made.items():
        (root / name / "below").mkdir(parents=True)
        for index, picture in enumerate(those):
            picture.save(root / name / ("below" if index % 2 else ".") / f"{index:03}.png")
        (root / name / "notes.txt").write_text("no picture")
    return {name: root / name for name in made}


def run_of(folder: Path, count: int, name: str = "spots") -> RunFolder:
    """
    A run whose pictures are noise of their own, in as many samples.
    """
    resolved = planned(folder / "runs", name, tasks=("inpaint",), prompts=False)
    edits = tuple(replace_sample(resolved.edits[0], i) for i in range(count))
    resolved = resolved.model_copy(update={"edits": edits})
    run = RunFolder.of(resolved)
    rng = np.random.RandomState(len(name))
    with run.open(resolved):
        for edit in run.pending():
            made: Generated = made_for(edit)
            noise = Image.fromarray(rng.randint(0, 256, (made.image.height, made.image.width, 3)).astype(np.uint8))
            run.add_picture(edit, replace(made, image=noise), {})
        run.finish()
    return run


def replace_sample(edit, number: int):
    """
    The same edit of another sample.
    """
    return edit.model_copy(update={"sample": f"sample-{number:03}"}) if hasattr(edit, "model_copy") else replace(edit, sample=f"sample-{number:03}")


def test_a_folder_is_all_pictures_in_and_below_it(folders):
    """
    The numbers of two folders are those of the features of their pictures, computed by hand, whatever else lies there.
    """
    found = distance(folders["others"], folders["true"], metrics=["fid", "kid"], extractor=Levels())
    a, b = (np.stack([levels(Image.open(file)) for file in sorted(folders[name].rglob("*.png"))]) for name in ("others", "true"))
    kernels = [(x @ y.T / 12 + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))]
    off = [(kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1)) for kernel in kernels[:2]]
    assert found.rows[0].distances["kid"].value == pytest.approx(sum(off) - 2 * kernels[2].mean(), rel=1e-3)
    assert (found.rows[0].set.n, found.to.n if found.to else 0) == (260, 300)
    low, high = found.rows[0].distances["kid"].low, found.rows[0].distances["kid"].high
    assert low is not None
    assert high is not None
    assert low < found.rows[0].distances["kid"].value < high


def test_forty_pictures_are_too_few(folders):
    """
    Whoever asks for a number that forty pictures cannot give is refused, without looking at all of them; who insists gets it, and is told.
    """
    looking = Levels()
    for metric in ("kid", "precision", "mmd"):
        with pytest.raises(DistanceError, match=rf"forty has 40 pictures: too few pictures for {metric}"):
            distance(folders["forty"], folders["true"], metrics=[metric], extractor=looking)
    with pytest.raises(DistanceError, match="too few pictures"):
        distance(folders["forty"], folders["true"], extractor=looking)
    assert looking.looked_at == 0
    found = distance(folders["forty"], folders["true"], metrics=["kid"], extractor=looking, insist=True)
    assert any("too few pictures, and insisted upon" in note for note in found.notes)


def test_forty_pictures_are_too_few_for_the_judges_fid(folders):
    """
    With 256 features, a Fréchet distance takes 257 pictures, and one of forty is refused, as all that is usual is.
    """
    for metrics in (["fid"], []):
        with pytest.raises(DistanceError, match="forty has 40 pictures: too few pictures for"):
            distance(folders["forty"], folders["true"], metrics=metrics)
    with pytest.raises(DistanceError, match="hundred has 100 pictures: too few pictures for fid, which takes 257"):
        distance(folders["hundred"], folders["true"], metrics=["fid"])


def test_what_is_usual_is_computed_where_it_can_be(folders):
    """
    Nobody who asks for nothing by name is refused: of a hundred pictures and more KID comes, and what is left out is said.
    """
    found = distance([folders["others"], folders["gray"]], folders["true"], extractor=Levels())
    near, far = (row.distances for row in found.rows)
    assert list(near) == ["fid", "kid", "precision", "recall"]
    assert near["fid"].high is not None
    assert far["fid"].low is not None
    assert near["fid"].high < far["fid"].low
    assert near["recall"].value > far["recall"].value
    fewer = distance(folders["hundred"], folders["true"], extractor=Levels())
    assert list(fewer.rows[0].distances) == ["fid", "kid"]
    assert len(fewer.notes) == 1
    assert fewer.notes[0].startswith("left out: hundred has 100 pictures: too few pictures for precision and recall, which take 250")


def test_a_refusal_tells_all_that_is_lacking(folders, tmp_path):
    """
    All distances that a set has too few pictures for are named at once, with as many as each takes; below ten, insisting helps nobody.
    """
    with pytest.raises(DistanceError) as raised:
        distance(folders["forty"], folders["true"], metrics=["fid", "kid", "recall"], extractor=Levels())
    for told in ("kid, which takes 100", "recall, which takes 250", "fid, which takes 100 or more, and more than", "--insist, from 10 pictures on"):
        assert told in str(raised.value)
    assert "since" not in str(raised.value), "three reasons in one sentence are read by nobody"
    with pytest.raises(DistanceError, match=r"too few pictures for kid, which takes 100, since with fewer its interval"):
        distance(folders["forty"], folders["true"], metrics=["kid"], extractor=Levels())
    with pytest.raises(DistanceError) as raised:
        distance(folders["forty"], folders["hundred"], metrics=["recall"], extractor=Levels())
    assert str(raised.value).startswith("forty has 40 pictures, hundred has 100 pictures: too few pictures for recall, which takes 250")
    with pytest.raises(DistanceError, match=r"^forty has 40 pictures: too few pictures for recall, which takes 250"):
        distance(folders["forty"], folders["forty"], metrics=["recall"], extractor=Levels())
    (tmp_path / "nine").mkdir()
    for file in sorted(folders["forty"].glob("*.png"))[:9]:
        (tmp_path / "nine" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DistanceError, match=r"nine has 9 pictures: too few pictures for kid, which takes 10 .*; make more$"):
        distance(tmp_path / "nine", folders["true"], metrics=["kid"], extractor=Levels(), insist=True)
    with pytest.raises(
        DistanceError, match=r"too few pictures for kid, precision, recall and fid, which take 10 whatever is insisted upon; make more$"
    ):
        distance(tmp_path / "nine", folders["true"], extractor=Levels(), insist=True)


def test_sets_of_the_same_are_told(folders, tmp_path):
    """
    Where both sets show the same pictures or samples, a line says that KID is not around 0; where names of files agree by chance, none does.
    """

    def told(*sets: Path | str, **options: Any) -> list[str]:
        found = distance(*sets, metrics=["kid"], extractor=Levels(), insist=True, **options)
        return [note for note in found.notes if "the same" in note]

    assert told(folders["others"], folders["true"]) == []
    assert told(folders["hundred"], folders["others"])[0].startswith("hundred and others show the same 100 pictures, so they are nearer")
    file = tmp_path / "others.npz"
    distance(folders["others"], save=file, extractor=Levels())
    assert "show the same 260 pictures" in told(folders["others"], file)[0]
    one, other = run_of(tmp_path / "a", 12), run_of(tmp_path / "b", 12, name="others")
    assert "show the same 12 samples" in told(one.path, other.path)[0]


def test_others_statistics_are_read(folders, tmp_path):
    """
    A file with mu and sigma as pytorch-fid writes it gives the FID of the pictures it is of, on either side, and nothing that takes features.
    """
    rows = np.stack([levels(Image.open(file)) for file in sorted(folders["true"].rglob("*.png"))])
    np.savez(tmp_path / "true.npz", mu=rows.mean(axis=0), sigma=np.cov(rows, rowvar=False))
    expected = distance(folders["others"], folders["true"], metrics=["fid"], extractor=Levels()).rows[0].distances["fid"].value
    found = distance(folders["others"], tmp_path / "true.npz", extractor=Levels())
    assert list(found.rows[0].distances) == ["fid"]
    assert found.rows[0].distances["fid"].value == pytest.approx(expected, rel=1e-5)
    assert any("doesn't say what saw its pictures" in note for note in found.notes)
    assert any("kid takes features" in note for note in found.notes)
    turned = distance(tmp_path / "true.npz", folders["others"], metrics=["fid"], extractor=Levels())
    assert turned.rows[0].distances["fid"].value == pytest.approx(expected, rel=1e-5)
    with pytest.raises(DistanceError, match="kid takes features"):
        distance(folders["others"], tmp_path / "true.npz", metrics=["kid"], extractor=Levels())


def test_saved_statistics_stand_for_their_pictures(folders, tmp_path):
    """
    What --save wrote gives the same numbers and intervals as the pictures, without looking at them, and other tools find mu and sigma in it.
    """
    file = tmp_path / "true.npz"
    distance(folders["true"], save=file, extractor=Levels())
    looking = Levels()
    looked, saved = (distance(folders["others"], to, extractor=each) for to, each in ((folders["true"], Levels()), (file, looking)))
    assert looking.looked_at == 261
    for name, number in looked.rows[0].distances.items():
        ours = saved.rows[0].distances[name]
        assert (ours.value, ours.low, ours.high) == pytest.approx((number.value, number.low, number.high), rel=1e-3)
    assert looked.to
    assert saved.to
    assert saved.to.digest == looked.to.digest
    rows = np.stack([levels(Image.open(each)) for each in sorted(folders["true"].rglob("*.png"))])
    with np.load(file, allow_pickle=False) as content:
        np.testing.assert_allclose(content["sigma"], np.cov(rows, rowvar=False), rtol=1e-4)


def test_statistics_of_another_extractor_are_refused(folders, tmp_path):
    """
    A file that says it was seen by other weights is refused; one of another size of features, too.
    """
    file = tmp_path / "true.npz"
    distance(folders["true"], save=file, extractor=Levels())
    with pytest.raises(DistanceError, match="was seen by another extractor"):
        distance(folders["others"], file, extractor=Levels("1" * 64))
    np.savez(tmp_path / "wide.npz", mu=np.zeros(5), sigma=np.eye(5))
    with pytest.raises(DistanceError, match=r"others has 12|wide.npz has 5"):
        distance(folders["others"], tmp_path / "wide.npz", metrics=["fid"], extractor=Levels())


def test_two_sets_of_one_name_are_two(folders, tmp_path):
    """
    Sets whose folders end alike have a row each in the table, in their order, and files of one name but other sizes are refused.
    """
    given = [shutil.copytree(folders[name], tmp_path / above / "spots") for above, name in (("x", "forty"), ("y", "hundred"))]
    found = distance(given, folders["true"], metrics=["kid"], extractor=Levels(), insist=True)
    table = found.table()
    assert table.index.tolist() == ["spots", "spots"]
    assert table["n"].tolist() == [40, 100]
    assert table["kid"].tolist() == [row.distances["kid"].value for row in found.rows]
    files = [tmp_path / above / "stats.npz" for above in ("x", "y")]
    for file, size in zip(files, (8, 9), strict=True):
        np.savez(file, mu=np.zeros(size), sigma=np.eye(size))
    with pytest.raises(DistanceError, match=r"stats\.npz has 8, stats\.npz has 9: .*\(--extractor\)"):
        distance(*files, metrics=["fid"], extractor=Levels())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no zip", r"can't be read as statistics \(it is no .npz file\)"),
        ({"arr_0": np.zeros(3)}, "holds arr_0; allowed are files with arrays `mu`"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, "has mu of shape"),
        ({"mu": np.zeros(3), "sigma": np.full((3, 3), np.nan)}, "something else than finite numbers"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 2.0], [0.0, 1.0]])}, "not symmetric"),
        ({"lab": np.array('{"format": 9}')}, "a later sdxl_lab"),
        ({"lab": np.array('{"format": 1}')}, "is damaged"),
        ({"mu": np.array([None, 1], dtype=object), "sigma": np.eye(2)}, "objects of Python, which are never loaded"),
    ],
)
def test_broken_statistics_are_told(content, told, folders, tmp_path):
    """
    A file that is no statistics, or broken, is one error that says what is wrong with it; no pickle in it is opened.
    """
    file = tmp_path / "statistics.npz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.savez(file, **content)
    with pytest.raises(DistanceError, match=told):
        distance(folders["others"], file, metrics=["fid"], extractor=Levels())


def test_results_are_kept_beside_the_record(folders, tmp_path):
    """
    A run's numbers lie in its folder with all that they depend on, other numbers of the same sets join them, and the record is as it was.
    """
    run = run_of(tmp_path, 120)
    before = {file: file.read_bytes() for file in run.record_files if file.is_file()}
    found = distance(run.path, folders["true"], metrics=["kid"], extractor=Levels())
    again = distance(run.path, folders["true"], metrics=["mmd"], extractor=Levels())
    file = found.rows[0].file
    assert file == again.rows[0].file
    assert file
    assert file.parent == run.path / "distances"
    document = json.loads(file.read_text())
    assert set(document["distances"]) == {"kid", "mmd"}
    assert document["extractor"] == Levels().identity()
    assert document["set"] | {"digest": ""} == {"name": run.resolved.spec.name, "n": 120, "digest": ""}
    assert document["to"]["name"] == "true"
    assert document["distances"]["kid"]["value"] == found.rows[0].distances["kid"].value
    assert [number["parts"] for number in document["distances"].values()] == [20, 20]
    few = distance(run_of(tmp_path, 12, "few").path, folders["true"], metrics=["kid"], extractor=Levels(), insist=True).rows[0].file
    assert few
    assert json.loads(few.read_text())["distances"]["kid"]["parts"] == 12
    assert {file: file.read_bytes() for file in run.record_files if file.is_file()} == before
    value = found.rows[0].distances["kid"].value
    assert f"kid to true, as levels 00000000 sees them  {value:.4g} [" in said("show", run.path).out
    other = distance(run.path, folders["others"], metrics=["kid"], extractor=Levels())
    assert other.rows[0].file != file


def test_a_comparison_has_a_table_of_each_distance(folders, tmp_path):
    """
    `compare` prints distances as it prints metrics: a table of each, a row for each run that has it, and what its intervals are.
    """
    runs = [run_of(tmp_path, count, name) for count, name in ((120, "many"), (60, "some"), (12, "few"))]
    found = distance([run.path for run in runs[:2]], folders["true"], metrics=["kid"], extractor=Levels(), insist=True)
    lines = said("compare", *(run.path for run in runs)).out.splitlines()
    start = lines.index("kid to true, as levels 00000000 sees them")
    head, *rows = [line.split() for line in lines[start + 1 : lines.index("", start)]]
    assert head == ["run", "kid", "[low,", "high]", "n"]
    assert [(row[0], row[1], row[-1]) for row in rows] == [("1", "many", "120"), ("2", "some", "60")]
    for row, of in zip(rows, found.rows, strict=True):
        assert float(row[2]) == pytest.approx(of.distances["kid"].value, rel=0.1, abs=0.1)
        assert float(row[3].strip("[,")) == pytest.approx(of.distances["kid"].low, rel=0.1, abs=0.1)
    assert "[low, high] of distances: 95%, by leaving out parts of the pictures" in lines


def test_a_dataset_stands_for_its_pictures():
    """
    Of a dataset by name its input pictures are taken; one of words alone is refused.
    """
    found = distance("pocket-forty", "pocket-forty", metrics=["kid"], extractor=Levels(), insist=True)
    assert found.rows[0].set.n == 40
    assert found.rows[0].distances["kid"].value < 0
    with pytest.raises(DistanceError, match="has no pictures, only words"):
        distance("pocket-prompts", "pocket-forty", metrics=["kid"], extractor=Levels(), insist=True)


@pytest.mark.parametrize(
    ("sets", "options", "told"),
    [
        ("nowhere", {"to": "others"}, "got 'nowhere' as a set: there is nothing of that name"),
        ("pocket-fourty", {"to": "others"}, r"got 'pocket-fourty' as a set: .*Did you mean pocket-forty\?"),
        ("others", {}, "there is nothing to compare with"),
        ("others", {"metrics": ["kid"]}, "kid is a distance to another set"),
        ("others", {"to": "true", "metrics": ["lpips"]}, "allowed is fid, kid, mmd, cmmd, is, precision, recall"),
        ("others", {"to": "true", "metrics": ["fld"]}, r"Did you mean fid\?"),
        ("others", {"to": "true", "task": "inpant"}, r"got the task 'inpant'; allowed are inpaint, .*Did you mean inpaint\?"),
        ("others", {"metrics": ["is"], "extractor": "clip", "model": "nowhere/model"}, "not wholly in the local cache"),
        ("others", {"save": Path("statistics.csv")}, r"a file that ends in \.npz"),
        (["others", "true"], {"save": Path("statistics.npz")}, "got 2 sets to save"),
    ],
)
def test_what_cannot_be_compared_is_told(sets, options, told, folders):
    """
    A set, a metric or an option that makes no sense is one error, which says what is allowed.
    """
    named = {**options, **({"to": folders[options["to"]]} if "to" in options else {})}
    given = [folders.get(each, each) for each in ([sets] if isinstance(sets, str) else sets)]
    with pytest.raises(Exception, match=told) as raised:
        distance(given, **{"extractor": Levels(), **named})
    assert raised.type.__mro__[-4].__name__ in ("LabError", "DistanceError", "ExtractorError")


def test_a_sweep_file_is_told_what_to_give(tmp_path):
    """
    Python, which doesn't look for a sweep's runs, says that their folder is a set.
    """
    file = tmp_path / "words.yaml"
    file.write_text("name: words")
    with pytest.raises(DistanceError, match="it is a file; of a sweep give the folder of its runs"):
        distance(file, "pocket-forty", extractor=Levels())


def test_the_command_says_it_in_a_table(folders, tmp_path, monkeypatch):
    """
    The command prints a row for each set and what was compared with what; --csv has the same numbers, and a registered extractor is one of them.
    """
    monkeypatch.setitem(EXTRACTORS, "levels", Kind(sentence="mean levels", open=lambda _: Levels(), model="by hand"))
    named = ("distance", "--extractor", "levels", "--to", folders["true"])
    found = said(*named, folders["others"], folders["gray"], "--metric", "kid", "--csv", tmp_path / "all.csv")
    assert found.code == 0, found.err
    assert "kid, lower is better" in found.out
    assert "to true of 300 pictures, as levels 00000000 sees them" in found.out
    table = (tmp_path / "all.csv").read_text().splitlines()
    assert table[0] == "set,n,kid,kid_low,kid_high"
    assert [line.partition(",")[0] for line in table[1:]] == ["others", "gray"]
    refused = said(*named, folders["forty"])
    assert refused.code == 1
    assert "too few pictures" in refused.err
    assert "levels" in said("distance", "--help").out


def test_a_number_without_an_interval_among_others_is_explained():
    """
    Where some numbers have an interval and one has none, a line says why; where all have one, and where none has, it does not.
    """

    def told(*ends: float | None) -> str:
        numbers = {name: Measured(value=0.5, low=end, high=end and end + 1) for name, end in zip(("fid", "recall"), ends, strict=True)}
        rows = (SetDistances(set=Side(name="spots", n=40, digest=""), distances=numbers),)
        return " ".join(lines_of(Distances(rows=rows, to=None, extractor={}, label="levels", model="", notes=()), width=80))

    assert "there is none where leaving out parts changes nothing" in told(0.25, None)
    assert "there is none" not in told(0.25, 0.25) + told(None, None)
    assert "no intervals: they take" in told(None, None)


def test_every_distance_says_what_it_is():
    """
    Each row of the table has a sentence and says why it takes as many pictures as it does.
    """
    for row in DISTANCES.values():
        assert row.sentence
        assert row.why

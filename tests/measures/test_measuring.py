"""Pictures measured after the fact: the record stays, nothing is computed twice, and everything that reads records has the numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import normalized_root_mse

from sdxl_lab import measure
from sdxl_lab.files.digests import digest_of
from sdxl_lab.files.disk import DiskError
from sdxl_lab.measures import MEASURES, Measure, MeasureError, Opened
from sdxl_lab.metrics import METRICS, Words, asked
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.measures import FOLDER, NAME
from sdxl_lab.tracking import confirmed, sender
from sdxl_lab.viewing.compare import compare, print_comparison
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path
from tests.records.test_releases import RUNS
from tests.support.comet_runs import only
from tests.support.comet_server import backend as backend
from tests.support.commands import said
from tests.support.datasets import write_dataset
from tests.support.report_runs import planned, recorded
from tests.support.run_folders import complete
from tests.support.runs import resolved_run
from tests.support.sessions import add, begun

WORDS = (("octopus", "inpaint", "a red octopus", 1), ("cup", "inpaint", "a cup", 3))
REDNESS = "redness-0123abcd"


@pytest.fixture
def old(tmp_path: Path) -> RunFolder:
    """A copy of 0.1.0's run."""
    return RunFolder(shutil.copytree(RUNS[0], tmp_path / "runs" / RUNS[0].name))


@pytest.fixture
def looked_at(monkeypatch) -> list[str]:
    """The prompts of the pictures that a measure was asked of, as they were asked: the mean red level of each."""
    prompts: list[str] = []

    def of(made, _) -> float:
        prompts.append(made.edit.prompt)
        return float(np.asarray(made.image)[..., 0].mean())

    row = Measure(name="redness", open=lambda _: Opened(name="redness", of=of))
    monkeypatch.setitem(MEASURES, "redness", row)
    monkeypatch.setattr(Opened, "column", property(lambda self: REDNESS if self.name == "redness" else self.name))
    monkeypatch.setattr(asked, "ASKED", {**asked.ASKED, "redness": Words(sentence="How red it is.", better="higher")})
    monkeypatch.setattr("sdxl_lab.viewing.compare.costs.ASKED", asked.ASKED)
    return prompts


def sweep_of_two(folder: Path) -> list[RunFolder]:
    """Two points of a sweep, which differ in guidance, hence in how red they are."""
    return [recorded(planned(folder, guidance, 10, None, words=WORDS), side_px=32) for guidance in (2.0, 9.0)]


def redness(path: Path) -> float:
    """The same number by Pillow alone."""
    return float(np.asarray(Image.open(path).convert("RGB"), float)[..., 0].mean())


def test_an_old_record_has_the_numbers_that_it_would_have_had(old):
    """
    Of a run of 0.1.0 that was recorded without any metric, all that takes no decoded picture is what 0.1.0 measured as it made the pictures.
    """
    before = {picture.key: picture.metrics for picture in old.pictures()}
    lines = [json.loads(line) | {"metrics": {}} for line in old.lines_file.read_text().splitlines()]
    old.lines_file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    names = [name for name in METRICS if not name.startswith("raw_")]
    found = {each.name: each for each in measure(old, names)}
    after = {picture.key: picture.metrics for picture in old.pictures()}
    expected = {key: {name: numbers[name] for name in names if name in numbers} for key, numbers in before.items()}
    assert sum(map(len, expected.values())) > 80
    for key, numbers in expected.items():
        for name in numbers:
            assert after[key][name] == pytest.approx(numbers[name], rel=1e-6, abs=1e-9), name
    assert {key: sorted(numbers) for key, numbers in after.items()} == {key: sorted(numbers) for key, numbers in expected.items()}
    assert found["ssim_outside"].computed == 10


def test_a_record_never_changes(old):
    """
    Not a byte of what a run had is changed by measuring it; what is new lies in one folder of its own, without a path of this machine.
    """
    before = {file: file.read_bytes() for file in old.path.rglob("*") if file.is_file()}
    run_id = old.resolved.run_id
    [found] = measure(old, "nrmse_outside")
    assert {file: file.read_bytes() for file in before} == before
    assert set(old.path.rglob("*.json")) - set(before) == {old.path / FOLDER / "nrmse_outside.json"} == set(found.files)
    assert RunFolder(old.path).resolved.run_id == run_id
    assert str(old.path.parent) not in found.files[0].read_text()


def test_nrmse_is_scikit_images_of_the_pixels_outside(tmp_path):
    """
    The number is skimage.metrics.normalized_root_mse over the pixels where the mask is black.
    """
    run = complete(resolved_run(tmp_path))
    [found] = measure(run, "nrmse_outside")
    expected = {}
    for picture in run.pictures():
        before, after = (np.asarray(Image.open(path).convert("RGB"), float) for path in (picture.input_image, picture.image))
        outside = np.asarray(Image.open(picture.mask_image)) == 0
        expected[picture.image] = pytest.approx(normalized_root_mse(before[outside], after[outside]), rel=1e-12)
    assert len(expected) == 3
    assert found.numbers == expected
    assert min(found.numbers.values()) > 0.1


def test_nothing_is_looked_at_twice(tmp_path, looked_at):
    """
    A second time no picture is looked at, and no file written; of a run that went on, only the new pictures are.
    """
    resolved = planned(tmp_path, 2.0, 10, None, words=WORDS)
    run = recorded(resolved, count=1, side_px=32)
    measure(run, "redness")
    assert looked_at == ["a red octopus"]
    recorded(resolved, side_px=32)
    [found] = measure(run, "redness")
    assert (looked_at, found.computed, found.known) == (["a red octopus", "a cup"], 1, 1)
    written = found.files[0].stat().st_mtime_ns
    [found] = measure([run, run.path], ["redness", "redness"])
    assert (len(looked_at), found.computed, found.known, found.files) == (2, 0, 2, ())
    assert (run.path / FOLDER / f"{REDNESS}.json").stat().st_mtime_ns == written
    assert found.numbers == {picture.image: pytest.approx(redness(picture.image)) for picture in run.pictures()}


def test_what_was_measured_until_an_error_is_kept_and_nothing_is_half_written(tmp_path, looked_at, monkeypatch):
    """
    Where the second picture can't be measured, the first one's number is kept, whole; where the disk refuses, the file is what it was.
    """
    run = recorded(planned(tmp_path, 2.0, 10, None, words=WORDS), side_px=32)
    real = MEASURES["redness"].open(None).of  # pyright: ignore[reportArgumentType]

    def failing(made, told) -> float | None:
        if made.edit.sample == "cup":
            raise MeasureError("no")
        return real(made, told)

    with monkeypatch.context() as patch:
        patch.setitem(MEASURES, "redness", Measure(name="redness", open=lambda _: Opened(name="redness", of=failing)))
        with pytest.raises(MeasureError, match="redness of cup inpaint: no"):
            measure(run, "redness")
    file = run.path / FOLDER / f"{REDNESS}.json"
    before = file.read_bytes()
    assert [each["picture"] for each in json.loads(before)["pictures"]] == ["octopus inpaint"]
    with monkeypatch.context() as patch:
        patch.setattr("sdxl_lab.files.disk.os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(DiskError, match="space"):
            measure(run, "redness")
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == before
    file.write_bytes(before[: len(before) // 2])  # as a copy that broke off leaves it
    assert REDNESS not in run.pictures()[0].metrics
    [found] = measure(run, "redness")
    assert (found.computed, len(found.numbers)) == (2, 2)


def test_a_sweep_is_compared_and_reported_by_what_was_measured_since(tmp_path, looked_at, capsys):
    """
    Comparison, table, report and show have the column, by its whole name or by the metric's, and say which point is best by it.
    """
    runs = sweep_of_two(tmp_path)
    measure(tmp_path, "redness")
    comparison = compare([tmp_path], metrics=["redness"])
    assert comparison.metrics == (REDNESS,)
    means = [comparison.mean(row, REDNESS).mean for row in comparison.rows]  # pyright: ignore[reportOptionalMemberAccess]
    expected = [np.mean([redness(picture.image) for picture in run.pictures()]) for run in runs]
    assert means == pytest.approx(expected)
    assert list(comparison.table().sort_values(REDNESS).index) == [run.resolved.spec.name for run in runs]
    print_comparison(comparison, metrics=["redness"])
    assert f"{REDNESS}, higher is better" in capsys.readouterr().out
    print_comparison(compare([tmp_path]))
    assert f"{REDNESS}, higher is better" in capsys.readouterr().out
    print_path(runs[0].path)
    assert f"{REDNESS}, mean" in capsys.readouterr().out
    page = write_report([*runs], tmp_path / "report.html").read_text("utf-8")
    data = json.loads(page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])
    assert {"name": REDNESS, "unit": "", "better": "higher", "sentence": "How red it is.", "first": True} in data["metrics"]
    assert sorted(picture["metrics"][REDNESS] for picture in data["pictures"]) == pytest.approx(
        sorted(redness(p.image) for r in runs for p in r.pictures())
    )


@pytest.mark.slow
def test_comet_has_what_was_measured_since_once(backend, tmp_path, looked_at):
    """
    A run that Comet was seen to hold is whole there until it is measured; one push sends the new numbers, the next one nothing.
    """
    run = recorded(planned(tmp_path / "runs" / "group", 2.0, 10, None, words=WORDS), side_px=32)
    sender.push(run)
    state = confirmed.state_of(run)
    assert confirmed.standing(run).is_whole
    before = list(only(backend).metrics)
    measure(run, "redness")
    assert confirmed.state_of(run) != state
    assert not confirmed.standing(run).is_whole
    sender.push(run)
    after = list(only(backend).metrics)
    new = [point for point in after if point not in before]
    assert len(after) - len(before) == len(new)
    expected = {str(redness(picture.image)) for picture in run.pictures()}
    assert all(REDNESS in str(point) for point in new)
    assert all(any(number[:8] in str(point) for point in new) for number in expected)
    assert confirmed.standing(run).is_whole
    sender.push(run)
    assert list(only(backend).metrics) == after


def test_pictures_of_a_session_are_measured_and_those_to_come_are_not(tmp_path, looked_at):
    """
    A session's pictures have the numbers, one by one or all; a picture that is made afterwards has none, and no line is written anew.
    """
    session = begun(tmp_path)
    first = add(session, "a blue star", side_px=32)
    lines = session.lines_file.read_bytes()
    [found] = measure(first.recorded.image, "redness")
    assert found.numbers == {first.recorded.image: pytest.approx(redness(first.recorded.image))}
    second = add(session, "a green star", side_px=32)
    assert session.lines_file.read_bytes().startswith(lines)
    assert [REDNESS in kept.recorded.metrics for kept in session.pictures()] == [True, False]
    assert measure(session, "redness")[0].computed == 1
    again = session.latest()
    assert again is not None
    assert again.recorded.metrics[REDNESS] == pytest.approx(redness(second.recorded.image))
    assert REDNESS not in session.lines_file.read_text()


@pytest.mark.parametrize(
    ("metrics", "models", "match"),
    [
        (["clip_scor"], {}, "got 'clip_scor' as a metric; allowed is .*Did you mean clip_score"),
        ([], {}, "got no metric"),
        (["nrmse_outside"], {"clip": "here"}, "got clip, and no metric that is asked for looks through it"),
        (["lpips"], {}, r"has to be given: lpips \(--lpips\): AlexNet .* lpips_linear \(--lpips-linear\): LPIPS' linear weights"),
        (["lpips"], {"lpips": "a.pth"}, r"has to be given: lpips_linear \(--lpips-linear\)"),
        (["clip_score"], {"klip": "here"}, "got 'klip' as the name of a network; allowed is clip, pickscore"),
    ],
)
def test_what_cannot_be_is_said_before_a_picture_is_looked_at(metrics, models, match, old):
    """
    One error says what was got and what is allowed, and nothing is written.
    """
    before = digest_of(old.path)
    with pytest.raises(MeasureError, match=match):
        measure(old, metrics, models=models)
    assert digest_of(old.path) == before


def test_what_takes_the_decoded_picture_says_that_it_is_not_kept(tmp_path):
    """
    A metric of the picture before compositing can't be measured afterwards; where the record has it, it is known.
    """
    run = recorded(planned(tmp_path, 2.0, 10, None, words=WORDS), side_px=32)
    with pytest.raises(MeasureError, match=r"raw_psnr_outside_db of octopus inpaint: it is of the picture before compositing.*not kept"):
        measure(run, "raw_psnr_outside_db")
    assert not (run.path / FOLDER).exists()
    [found] = measure(run, "ssim_outside")
    assert (found.computed, found.known) == (0, 2)


def test_a_number_that_no_picture_has_says_what_it_is_and_promises_nothing(tmp_path):
    """
    Where pictures lack what a metric measures, the command says what that is, and not that comparisons have a number now.
    """
    [run, _] = sweep_of_two(tmp_path)
    sentence = METRICS["colour_as_asked"].sentence
    answer = said("measure", run.path, "--metric", "colour_as_asked").out
    told = f"2 pictures have no such number: {sentence} kept beside 1 record, in the folder measures: these pictures are not looked at again"
    assert " ".join(answer.split()).endswith(f"colour_as_asked: {told}")
    assert "have it from now on" in " ".join(said("measure", run.path, "--metric", "nrmse_outside").out.split())


def test_a_caption_that_is_written_later_counts(tmp_path, monkeypatch):
    """
    A number is computed again where the caption of the input was written since, if the picture in the dataset still is the one that was edited.
    """
    captions: list[tuple[str, bool]] = []

    def of(_, told) -> float:
        captions.append((told.input_caption, told.is_known))
        return float(len(told.input_caption))

    monkeypatch.setitem(MEASURES, "redness", Measure(name="redness", open=lambda _: Opened(name="redness", of=of, reads_caption=True)))
    folder = write_dataset(tmp_path / "data", count=1, name="octopus")
    resolved = planned(tmp_path / "runs", 2.0, 10, None, words=WORDS[:1])
    run = recorded(resolved.model_copy(update={"spec": resolved.spec.model_copy(update={"dataset": str(folder)})}), side_px=64)
    measure(run, "redness")
    [picture] = run.pictures()
    shutil.copy(picture.files["input"], folder / "0.png")
    Image.open(picture.files["mask"]).save(folder / "0-mask.png")
    for caption in ("", "a book", "a book"):
        metadata = json.loads((folder / "metadata.json").read_text())
        metadata["samples"][0]["input_caption"] = caption
        (folder / "metadata.json").write_text(json.dumps(metadata))
        [found] = measure(run, "redness")
    assert captions == [("", False), ("a book", True)]
    assert (found.known, [*found.numbers.values()]) == (1, [6.0])
    assert run.pictures()[0].metrics["redness"] == 6.0


def test_a_later_version_of_a_measure_measures_again(old, monkeypatch):
    """
    Numbers of an earlier formula are no known ones, also where no network is in the column's name; the record's own stay.
    """
    for version, value in ((1, 1.0), (2, 2.0), (2, 2.0)):
        row = Opened(name="nrmse_outside", of=lambda *_, value=value: value, version=version)
        monkeypatch.setitem(MEASURES, "nrmse_outside", Measure(name="nrmse_outside", open=lambda _, row=row: row))
        [found] = measure(old, "nrmse_outside")
        assert set(found.numbers.values()) == {value}
    assert (found.computed, found.known) == (0, len(old.pictures()))


def test_names_of_columns_fit_everywhere():
    """
    Each metric that is asked for has words, and its column a name that files, tables and Comet take.
    """
    assert set(MEASURES) == set(asked.ASKED)
    assert not set(MEASURES) & set(METRICS)
    for name in MEASURES:
        assert asked.stem_of(f"{name}-0123abcd") == asked.stem_of(name) == name
        assert NAME.fullmatch(f"{name}-0123abcd")
    assert asked.stem_of("seam_delta_e") is None


def test_a_file_of_measures_reads_as_a_table(old):
    """
    What lies beside the record says in words what it is, of which picture each number is, and what computed it.
    """
    [found] = measure(old, "nrmse_outside")
    document = json.loads(found.files[0].read_bytes())
    assert (document["metric"], document["better"], document["models"]) == ("nrmse_outside", "lower", {})
    assert document["identity"] == {"metric": "nrmse_outside", "version": 1, "networks": {}}
    pictures = {picture.sha256: picture for picture in old.pictures()}
    assert [pictures[each["sha256"]].title for each in document["pictures"]] == [each["picture"] for each in document["pictures"]]

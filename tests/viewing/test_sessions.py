"""Sessions, looked at: shown, gone on from, compared, reported."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sdxl_lab.cli import looking
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.records.kept import KeptPicture
from sdxl_lab.records.run_files import RecordError
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.runs.resolution import fetch, resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.viewing.compare import CompareError, compare, print_comparison, printed
from sdxl_lab.viewing.onward import ShowError, parameters_of
from sdxl_lab.viewing.report import write_report
from sdxl_lab.viewing.show import print_path
from tests.support import report_runs, sessions

NOTE = "the tip is cut </script><b>"


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> SessionFolder:
    """Eight tries of three tasks: the second and the sixth starred, a note on the second, the fourth deleted."""
    session = sessions.begun(tmp_path_factory.mktemp("runs") / "sessions")
    tries: list[dict[str, Any]] = [
        {"seed": 1},
        {"seed": 2},
        {"seed": 2, "guidance_scale": 3.0},
        {"seed": 3, "guidance_scale": 3.0},
        {"seed": 4, "guidance_scale": 3.0, "kernel_size": 9},
        {"task": "text_to_image", "prompt": "a red cup"},
        {"task": "text_to_image", "prompt": "a red cup", "seed": 1, "size": {"width": 64, "height": 128}},
        {"task": "image_to_image", "prompt": "a lamp", "strength": 0.6, "sample": "café"},
    ]
    for index, asked in enumerate(tries):
        sessions.add(session, metrics={"seam_delta_e": float(index)} if "task" not in asked else {}, **asked)
    second, fourth, sixth = (session.pictures()[index] for index in (1, 3, 5))
    session.star(second, starred=True)
    session.note(second, NOTE)
    session.star(sixth, starred=True)
    session.delete(fourth)
    return session


@pytest.fixture
def kept(session) -> tuple[KeptPicture, ...]:
    """Its pictures."""
    return session.pictures()


def shown(path: Path) -> str:
    """What is printed of a folder or a picture, with room for each line."""
    console = Console(width=200, record=True)
    print_path(path, console)
    return console.export_text()


def values_of(page: Path) -> dict[str, Any]:
    """The values that stand in a report."""
    [text] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(text)


CHANGED = {
    1: "",
    2: "",
    3: "denoising.guidance_scale 3",
    5: "kernel_size 9",
    6: "denoising.guidance_scale 5, width 128, height 128",
    7: "width 64",
    8: "denoising.guidance_scale 7.5, width none, height none",
}
"""By a picture's number: what was asked otherwise than for the one before that is still there, or else is the task's own."""


def test_a_session_is_shown_as_a_table_of_its_pictures(session, kept):
    """
    Each picture has a line with its number, star, task, seed, steps, prompt, what changed and note; below stands what its pictures were made with.
    """
    text = shown(session.path)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        [
            str(picture.number),
            "*" if picture.number in (2, 6) else "",
            picture.recorded.task,
            str(picture.recorded.seed),
            str(picture.recorded.base_steps),
            "0.25",
            picture.recorded.prompt,
            CHANGED[picture.number],
            NOTE if picture.number == 2 else "",
        ]
        for picture in kept
    ]
    assert [int(row[0]) for row in rows] == [1, 2, 3, 5, 6, 7, 8]
    assert f"session    {session.path.name}, 7 pictures, 2 starred" in text
    assert re.search(r"made with  pocket [0-9a-f]{10}, float32 on cpu, \d+ threads?", text)


def test_a_picture_of_a_session_says_where_it_lies(session, kept, tmp_path):
    """
    Its number, star and note are shown beside how it was made, and are no longer known of a copy elsewhere.
    """
    [picture] = [one for one in kept if one.number == 2]
    text = shown(picture.recorded.image)
    assert re.search(rf"(?m)^session +{session.path.name}, picture 2, starred", text)
    assert re.search(rf"(?m)^note +{re.escape(NOTE)}", text)
    assert picture.picture_id in text
    copy = shutil.copy(picture.recorded.image, tmp_path / "copy.png")
    assert not re.search("session|starred|note", shown(copy))


@pytest.mark.parametrize("number", [2, 5, 7, 8])
def test_the_parameters_of_a_picture_plan_it(session, kept, number):
    """
    The parameters of a session's picture plan that one picture, of any task, from the very pixels that it was made from, in a dataset of its session.
    """
    [picture] = [one for one in kept if one.number == number]
    parameters = parameters_of(picture.recorded.image)
    planned = resolve(RunSpec.from_parameters(**parameters))
    assert planned.spec.edits == picture.resolved.edits
    assert parameters["name"] == f"tries-{number}"
    dataset = fetch(parameters["dataset"])
    assert dataset.folder.parent == session.path.resolve() / "datasets"
    given = dataset.sample(picture.recorded.sample)
    assert ("input" in picture.recorded.files) == (given.image() is not None)
    if (image := given.image()) is not None:
        assert digest_of_pixels(image) == digest_of_pixels(sessions.photo())


def test_what_cannot_be_gone_on_from_says_what_can(session, kept, tmp_path):
    """
    A session is no single picture; a picture that left its session, or whose inputs are lost, has nothing to start from: each is one line of advice.
    """
    with pytest.raises(ShowError, match=rf"a session of 7 pictures; give the one to go on from: .*{kept[-1].recorded.image.name} --as-parameters$"):
        parameters_of(session.path)
    copy = Path(shutil.copy(kept[0].recorded.image, tmp_path / "copy.png"))
    with pytest.raises(ShowError, match=r"made by a call, or in a session that it does not lie in any more.*Bench\(\)\.open\(picture\)"):
        parameters_of(copy)
    moved = SessionFolder(shutil.copytree(session.path, tmp_path / "moved"))
    here = moved.path / kept[0].recorded.image.relative_to(session.path)
    given = kept[0].resolved.dataset.inputs or {}
    for name, message in (("mask", r"picture 1 of .* its mask .* is not here; put the file there"), ("image", "does not have all of it any more")):
        (moved.inputs_folder / f"{given[name]}.png").unlink()
        with pytest.raises(ShowError, match=message):
            parameters_of(here)


def test_all_ways_to_name_a_sessions_pictures_compare_alike(session, kept):
    """
    By its folder, the folder above it, as an object, as runs of one and by their files, a session's pictures are the same rows, with their numbers.
    """
    ways = ([session.path], [session.path.parent], [session], [one.as_run for one in kept], [one.recorded.image for one in kept])
    tables = [compare(way, task="inpaint") for way in ways]
    assert all(table.table().equals(tables[0].table()) for table in tables)
    assert [row.name for row in tables[0].rows] == ["tries-1 and 1 more", "tries-3", "tries-5"]
    assert "3 pictures of sessions are of another task: left out" in tables[0].notes
    each = compare([session], pool_seeds=False)
    assert [row.name for row in each.rows] == [f"tries-{one.number}" for one in kept]
    assert [row.name for row in each.rows if row.is_starred] == ["tries-2", "tries-6"]


def test_a_reference_is_a_picture_by_file_name_or_digest(session, kept):
    """
    The picture that others are compared with is meant by its file, by its session's name and its number, and by the first digits of its `picture_id`.
    """
    for named in (kept[2].recorded.image, str(kept[2].recorded.image), "tries-3", kept[2].picture_id[:8]):
        assert compare([session], task="inpaint", reference=named).reference.name == "tries-3"


def test_starred_looks_at_those_alone(session, tmp_path, capsys):
    """
    With `--starred`, comparison and report have the starred pictures alone; runs have none and are left out, which is said.
    """
    run = report_runs.recorded(report_runs.planned(tmp_path, 5.0, 30, None), side_px=16)
    looking.compare([session.path, run.path], starred=True, csv=tmp_path / "starred.csv")
    assert "1 run has no stars: left out" in capsys.readouterr().err
    assert [line.partition(",")[0] for line in (tmp_path / "starred.csv").read_text().splitlines()[1:]] == ["tries-2", "tries-6"]
    looking.report([session.path], starred=True)
    assert "starred.html" in capsys.readouterr().out
    values = values_of(session.starred_file)
    assert [(picture["number"], picture["starred"]) for picture in values["pictures"]] == [(2, True), (6, True)]


def test_starred_is_refused_where_nothing_is(session, kept, tmp_path):
    """
    Of runs alone, and of a session without a star, there is nothing to look at, and the error says which of the two it is.
    """
    run = report_runs.recorded(report_runs.planned(tmp_path, 5.0, 30, None), side_px=16)
    plain = SessionFolder(shutil.copytree(session.path, tmp_path / "plain"))
    plain.marks_file.unlink()
    for command in (looking.compare, looking.report):
        with pytest.raises(RecordError, match="got 1 run and no picture of a session, and only those have stars"):
            command([run.path], starred=True)
        with pytest.raises(RecordError, match="7 pictures are there, and none is starred; star some"):
            command([plain.path], starred=True)
    with pytest.raises(RecordError, match="is a file, and no picture of a session"):
        looking.report([tmp_path / "plain" / "session.json"])


def test_of_many_rows_the_reference_the_starred_and_the_last_are_printed(session, monkeypatch, capsys):
    """
    Above the most rows, those are printed that hold the reference, a star, or the latest pictures; a line says so, and another names the best of all.
    """
    monkeypatch.setattr(printed, "MOST_ROWS", 4)
    compared = compare([session], pool_seeds=False)
    print_comparison(compared, metrics=["seam_delta_e"], console=Console(width=200))
    text = capsys.readouterr().out
    table = text[: text.index("seam_delta_e")]
    assert re.findall(r"tries-\d", table) == ["tries-1", "tries-2", "tries-6", "tries-8"]
    assert "4 of 7 rows are printed, the reference, those with a star and the last ones" in text
    assert "best seam_delta_e of all 4: tries-1 (0), tries-2 (1), tries-3 (2)" in text


def test_a_report_has_a_sessions_pictures_as_they_were_made(session, kept, tmp_path):
    """
    Pictures stand in the order of making, with number, star, note and digest of the pixels, also where some tasks do not take what others differ in.
    """
    values = values_of(write_report([session.path], tmp_path / "report.html"))
    found = [(item["number"], item["starred"], item["note"], item["sha256"]) for item in values["pictures"]]
    assert found == [(one.number, one.is_starred, one.note, one.recorded.sha256) for one in kept]
    assert values["title"] == "tries"
    assert {run["folder"] for run in values["runs"]} == {session.path.name}
    settings = [values["settings"][item["settings"]] for item in values["pictures"]]
    assert [flat.get("mask.kernel_size") for flat in settings] == [one.resolved.edits[0].taken().get("mask", {}).get("kernel_size") for one in kept]
    assert "mask.kernel_size" in {axis["path"] for axis in values["axes"]}
    for item, one in zip(values["pictures"], kept, strict=True):
        assert {"input", "mask"} & item.keys() == one.recorded.files.keys() - {"result"}


def test_the_same_session_gives_the_same_report_until_a_star_changes(session, tmp_path):
    """
    Written twice, from two copies of the folder, a report is the same to the byte; one star makes it another.
    """
    pages = []
    for place in ("here", "there"):
        copy = SessionFolder(shutil.copytree(session.path, tmp_path / place / session.path.name))
        pages.append(write_report([copy], copy.report_file).read_bytes())
    assert pages[0] == pages[1]
    copy.star(copy.pictures()[0], starred=True)
    assert write_report([copy.path], copy.report_file).read_bytes() != pages[0]


def test_sessions_and_runs_are_reported_and_compared_together(session, tmp_path):
    """
    A folder that holds both is looked at as one: every picture of the run and every picture of the session is there, once.
    """
    run = report_runs.recorded(report_runs.planned(tmp_path, 5.0, 30, None), side_px=16)
    shutil.copytree(session.path, tmp_path / "sessions" / session.path.name)
    looking.report([tmp_path])
    values = values_of(tmp_path / "report.html")
    assert sorted(item["sha256"] for item in values["pictures"]) == sorted(
        picture.sha256 for picture in [*run.pictures(), *(one.recorded for one in session.pictures())]
    )
    assert values["title"] == tmp_path.name
    rows = compare([tmp_path], pool_seeds=False).rows
    assert sorted(row.name for row in rows) == sorted([run.resolved.spec.name, *(f"tries-{one.number}" for one in session.pictures())])


def test_what_has_no_picture_left_is_refused(session, tmp_path):
    """
    A session whose pictures were all deleted can be shown, and is neither compared nor reported.
    """
    empty = SessionFolder(shutil.copytree(session.path, tmp_path / "empty"))
    for one in empty.pictures():
        empty.delete(one)
    assert "0 pictures" in shown(empty.path)
    with pytest.raises(CompareError, match="there is no run to compare; give folders of runs"):
        compare([empty])
    with pytest.raises(Exception, match="there is no run to report; give folders of runs"):
        write_report([empty], tmp_path / "report.html")

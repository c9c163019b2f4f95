from __future__ import annotations

import csv
import hashlib
import json
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdxl_lab.records.finding import find_runs
from sdxl_lab.records.folder import RecordError, RunFolder
from sdxl_lab.records.picture import file_name
from tests.support.run_folders import complete, pixels, script
from tests.support.runs import made_for, resolved_run


def test_a_recorded_picture_is_the_one_that_was_made(tmp_path):
    """
    PNG, line and record hold what was made: pixels, words, seed, steps, and the sha256 that hashlib gives for the pixels.
    """
    resolved = resolved_run(tmp_path)
    run = complete(resolved)
    lines = [json.loads(line) for line in (run.path / "images.jsonl").read_text("utf-8").splitlines()]
    assert [(line["sample"], line["task"], line["seed"], line["step"]) for line in lines] == [
        ("octopus", "inpaint", -732, 0),
        ("octopus", "outpaint", 5, 0),
        ("café au lait", "inpaint", 2**63, 1),
    ]
    for line, edit in zip(lines, resolved.edits, strict=True):
        made = made_for(edit)
        assert pixels(run.path / line["image"]) == np.asarray(made.image).tobytes()
        assert pixels(run.path / line["mask_image"]) == np.asarray(made.mask_image).tobytes()
        assert line["sha256"] == hashlib.sha256(np.asarray(made.image).tobytes()).hexdigest()
        assert (line["base_steps"], line["refiner_steps"], line["prompt"]) == (24, 6, edit.prompt)
    assert json.loads((run.path / "record.json").read_text("utf-8"))["pictures"] == 3
    assert [picture.sha256 for picture in run.pictures()] == [line["sha256"] for line in lines]
    assert [found.path for found in find_runs(tmp_path)] == [run.path]


def test_the_table_of_prompts_has_one_row_a_picture(tmp_path):
    """
    Python's csv reads back step, sample, task, prompts, seed and settings of every picture.
    """
    run = complete(resolved_run(tmp_path))
    with (run.path / "prompts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["-732", "5", str(2**63)]
    assert rows[2]["prompt"] == "a red café au lait, on “sand”"
    assert {row["denoising.high_noise_frac"] for row in rows} == {"0.8"}


def test_local_paths_stay_in_one_file(tmp_path):
    """
    No file of a finished run but local.json holds the path of its dataset or of its folder.
    """
    run = complete(resolved_run(tmp_path / "runs", dataset=str(tmp_path / "secret" / "pictures")))
    holding = [path.name for path in run.path.rglob("*") if path.is_file() and str(tmp_path).encode() in path.read_bytes()]
    assert holding == ["local.json"]
    assert run.local["dataset"] == str(tmp_path / "secret" / "pictures")
    assert run.resolved_here.spec.dataset == str(tmp_path / "secret" / "pictures")
    assert run.resolved_here.run_id == run.resolved.run_id


def test_a_record_is_written_last(tmp_path):
    """
    A run with a picture missing cannot be finished, and one whose picture was deleted is no longer done once it is opened.
    """
    resolved = resolved_run(tmp_path)
    run = RunFolder.of(resolved)
    with run.open(resolved), pytest.raises(RecordError, match="lacks 3 of 3"):
        run.finish()
    complete(resolved).pictures()[0].image.unlink()
    with run.open(resolved):
        assert not run.is_done
        assert [edit.task for edit in run.pending()] == ["inpaint"]


def test_writing_needs_an_open_folder(tmp_path):
    """
    A picture cannot be added without the lock.
    """
    resolved = resolved_run(tmp_path)
    with pytest.raises(RecordError, match="not open"):
        RunFolder.of(resolved).add_picture(resolved.edits[0], made_for(resolved.edits[0]))


def test_a_folder_holds_one_run(tmp_path):
    """
    Another run is refused by a folder that already holds one.
    """
    run = complete(resolved_run(tmp_path))
    other = resolved_run(tmp_path, seed=1, mask={"kernel_size": 3})
    with pytest.raises(RecordError, match="another name"), RunFolder(run.path).open(other):
        pass


def test_an_extended_canvas_keeps_the_original_beside_it(tmp_path):
    """
    Outpainting beyond the borders records the extended canvas, and as input the very pixels it extends.
    """
    resolved = resolved_run(tmp_path, outpaint={"mode": "canvas", "canvas": {"left_px": 3, "bottom_px": 2}})
    run = RunFolder.of(resolved)
    edit = resolved.edits[1]
    with run.open(resolved):
        run.add_picture(edit, made_for(edit, size=(27, 18)))
    extended = np.asarray(made_for(edit, size=(27, 18)).input_image)
    assert pixels(run.images_folder / "octopus" / "outpaint-input.png") == extended.tobytes()
    assert pixels(run.images_folder / "octopus" / "input.png") == extended[:16, 3:].tobytes()


STRANGE = {
    "another file": {"image": "../../elsewhere.png"},
    "an absolute path": {"mask_image": "/etc/hostname"},
    "a list for a name": {"sample": ["octopus"]},
    "a text for a number": {"seed": "seven"},
    "no metrics": {"metrics": 3},
    "another task": {"task": "paint"},
}


@pytest.mark.parametrize("case", STRANGE)
def test_a_strange_line_is_no_picture(tmp_path, case):
    """
    A line of a folder that came from elsewhere names no file outside it and holds what it should, or its picture is not there.
    """
    run = complete(resolved_run(tmp_path))
    (tmp_path / "elsewhere.png").write_bytes(run.pictures()[0].image.read_bytes())
    first, *others = run.lines_file.read_text("utf-8").splitlines(keepends=True)
    run.lines_file.write_text(json.dumps(json.loads(first) | STRANGE[case]) + "\n" + "".join(others), "utf-8")
    assert len(run.pictures()) == 2


def test_a_picture_of_another_kind_is_not_opened(tmp_path):
    """
    A file that is no PNG, and one that claims more pixels than memory holds, are not taken for the recorded picture.
    """
    run = complete(resolved_run(tmp_path))
    first, second, _ = run.pictures()
    Image.open(first.image).save(first.image, "TIFF")
    content = second.image.read_bytes()
    header = b"IHDR" + struct.pack(">II", 2**30, 2**30) + content[24:29]
    second.image.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    assert len(run.pictures()) == 1


def test_a_sample_may_have_the_name_of_a_file(tmp_path):
    """
    A sample called spec.json does not make its run look like two.
    """
    run = complete(resolved_run(tmp_path))
    (run.images_folder / "spec.json").mkdir()
    assert [found.path for found in find_runs(tmp_path)] == [run.path]


@pytest.mark.parametrize("sample", ["../../up", "a/b", "..", ".hidden", "con:1", "x" * 300, "nul\0", "trailing ", "ö" * 70])
def test_no_name_of_a_sample_leaves_its_folder(sample):
    """
    Any name becomes one plain file name, different from that of its neighbors.
    """
    name = file_name(sample)
    assert Path(name).name == name
    assert 0 < len(name.encode()) < 200
    assert not set(name) & set('/\\:*?"<>|\0')
    assert name not in (".", "..")
    assert name != file_name(sample + "'")


def test_records_are_light_to_import():
    """
    Reading records imports neither torch nor diffusers nor comet_ml, and takes little of the processor.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = script(
        "import sys, sdxl_lab.records.folder, sdxl_lab.tracking.tracker\n"
        "print([name for name in ('torch', 'diffusers', 'comet_ml') if name in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import made_for, resolved_run

from sdxl_lab.disk import DiskError, append_line, write_whole
from sdxl_lab.locks import LockError
from sdxl_lab.recorded import file_name
from sdxl_lab.records import RecordError, RunFolder, find_runs
from sdxl_lab.spec import ResolvedSpec

TESTS = str(Path(__file__).parent)


def complete(resolved: ResolvedSpec) -> RunFolder:
    """Make whatever a run still lacks."""
    run = RunFolder.of(resolved)
    with run.open(resolved):
        for edit in run.pending():
            run.add_picture(edit, made_for(edit), {"change_outside_max": 0.0})
        run.finish()
    return run


def pixels(path: Path) -> bytes:
    """Decode a picture."""
    return np.asarray(Image.open(path)).tobytes()


def script(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process that can import these tests."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([TESTS, str(Path(TESTS).parent)])}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


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


@pytest.mark.parametrize("damage", ["torn line", "png without line", "line without png", "leftover", "zeros", "other pixels", "no mask"])
def test_a_damaged_folder_is_continued(tmp_path, damage):
    """
    Whatever a killed process or a power cut leaves, pictures() counts only whole ones and the next run completes the same pictures.
    """
    resolved = resolved_run(tmp_path)
    run = complete(resolved)
    expected = [picture.sha256 for picture in run.pictures()]
    lines = run.lines_file.read_bytes().splitlines(keepends=True)
    victim = run.pictures()[2]
    if damage == "torn line":
        run.lines_file.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    elif damage == "png without line":
        run.lines_file.write_bytes(b"".join(lines[:2]))
    elif damage == "line without png":
        victim.image.unlink()
    elif damage == "leftover":
        run.record_file.unlink()
        victim.image.rename(victim.image.with_name(".unfinished-0badf00d-inpaint.png"))
    elif damage == "zeros":
        run.lines_file.write_bytes(b"".join(lines[:2]) + bytes(50) + b"\n")
    elif damage == "other pixels":
        Image.new("RGB", (24, 16)).save(victim.image)
    else:
        victim.mask_image.unlink()
    assert [picture.sha256 for picture in run.pictures()] == expected[:2]
    again = complete(resolved)
    assert [picture.sha256 for picture in again.pictures()] == expected
    assert again.is_done
    assert not list(run.path.rglob(".unfinished-*"))
    assert all(json.loads(line) for line in run.lines_file.read_bytes().splitlines() if line.strip(b"\0"))


KILLED_AT_EVERY_STEP = """
import os, signal, sys
from pathlib import Path
from runs import made_for, resolved_run
from sdxl_lab.records import RunFolder
from test_records import complete

expected = [picture.sha256 for picture in complete(resolved_run(Path(sys.argv[1]) / "whole")).pictures()]
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.link"}
deaths = 0
for step in range(1, 1000):
    resolved = resolved_run(Path(sys.argv[1]) / str(step))
    child = os.fork()
    if child == 0:
        count = 0
        def hook(event, arguments):
            global count
            if event in EVENTS:
                count += 1
            if event in EVENTS and count == step:
                os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(hook)
        complete(resolved).comet_key()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    run = RunFolder.of(resolved)
    if os.WIFSIGNALED(status):
        deaths += 1
        whole = [picture.sha256 for picture in run.pictures()] if run.spec_file.is_file() else []
        assert whole == expected[:len(whole)], (step, whole)
        assert not run.is_done or len(whole) == 3, step
    again = complete(resolved)
    assert [picture.sha256 for picture in again.pictures()] == expected, step
    assert again.comet_key() == again.comet_key()
    assert not list(run.path.rglob(".unfinished-*")), step
    if not os.WIFSIGNALED(status):
        assert status == 0
        print(deaths)
        break
"""


def test_a_process_killed_at_any_step_leaves_a_folder_that_continues(tmp_path):
    """
    Killed with SIGKILL before each of its file operations in turn, a run is completed by the next one with the same pixels.
    """
    done = script(KILLED_AT_EVERY_STEP, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


HOLDER = """
import sys, time
from pathlib import Path
from runs import resolved_run
from sdxl_lab.records import RunFolder
resolved = resolved_run(Path(sys.argv[1]))
with RunFolder.of(resolved).open(resolved):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_folder_has_one_writer_until_it_dies(tmp_path):
    """
    A second writer gets an error with the first one's process id; once that is killed, the folder is free.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([TESTS, str(Path(TESTS).parent)])}
    resolved = resolved_run(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockError, match=f"process {holder.pid}"), RunFolder.of(resolved).open(resolved):
            pass
        holder.send_signal(signal.SIGKILL)
    assert complete(resolved).is_done


def test_a_block_inside_a_block_is_refused(tmp_path):
    """
    The process that holds a folder cannot open it a second time, and is free to once it has left the block.
    """
    resolved = resolved_run(tmp_path)
    run = RunFolder.of(resolved)
    with run.open(resolved), pytest.raises(LockError, match="this process"), RunFolder.of(resolved).open(resolved):
        pass
    with run.open(resolved):
        pass


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path):
    """
    A file where the folder should be, and a lock that cannot be made, say so.
    """
    resolved = resolved_run(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RecordError, match="another runs_folder"), RunFolder.of(resolved).open(resolved):
        pass
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    with pytest.raises(DiskError, match="could not lock"), RunFolder(tmp_path / "run").open(resolved):
        pass


FULL_DISK = """
import resource, sys
from pathlib import Path
from runs import made_for, resolved_run
from sdxl_lab.disk import DiskError
from sdxl_lab.records import RunFolder
resolved = resolved_run(Path(sys.argv[1]))
run = RunFolder.of(resolved)
with run.open(resolved):
    run.add_picture(resolved.edits[0], made_for(resolved.edits[0]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        run.add_picture(resolved.edits[1], made_for(resolved.edits[1], size=(200, 200)))
    except DiskError as error:
        print(error)
"""


@pytest.mark.parametrize("limit_bytes", [600, 50000])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, limit_bytes):
    """
    When the system refuses to write more, one error says so, no temporary file stays, and the pictures before are kept.
    """
    done = script(FULL_DISK, tmp_path, limit_bytes)
    assert "full" in done.stdout, done.stderr
    run = RunFolder.of(resolved_run(tmp_path))
    assert len(run.pictures()) == 1
    assert run.lines_file.read_bytes().count(b"\n") == 1
    assert run.lines_file.read_bytes().endswith(b"\n")
    assert not list(run.path.rglob(".unfinished-*"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_line_on_a_full_disk_is_an_error(tmp_path):
    """
    Appending where there is no space left raises one DiskError that says what to do.
    """
    (tmp_path / "lines").symlink_to("/dev/full")
    with pytest.raises(DiskError, match="free some space"):
        append_line(tmp_path / "lines", b"{}")


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    """
    A file that cannot be replaced is as it was before, and no temporary file stays.
    """
    (tmp_path / "folder").mkdir()
    with pytest.raises(DiskError):
        write_whole(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


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


def test_a_key_is_drawn_once_and_at_random(tmp_path):
    """
    The same run in two places has two keys, and each place keeps its own.
    """
    first, second = complete(resolved_run(tmp_path / "a")), complete(resolved_run(tmp_path / "b"))
    assert first.resolved.run_id == second.resolved.run_id
    assert first.comet_key() == RunFolder(first.path).comet_key() != second.comet_key()
    assert second.comet_key().isalnum()
    assert len(second.comet_key()) == 32


def test_records_are_light_to_import():
    """
    Reading records imports neither torch nor diffusers nor comet_ml, and takes no time to start.
    """
    start = time.monotonic()
    done = script("import sys, sdxl_lab.records, sdxl_lab.comet; print([name for name in ('torch', 'diffusers', 'comet_ml') if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr
    assert time.monotonic() - start < 10

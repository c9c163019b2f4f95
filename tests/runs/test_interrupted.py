"""Run folders whose writers were killed, met each other, or found the disk full."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sdxl_lab.files.disk import DiskError, append_line, write_whole
from sdxl_lab.files.locks import LockError, locked
from sdxl_lab.records.folder import RunFolder
from tests.support.run_folders import complete, environment, script
from tests.support.runs import resolved_run


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
from tests.support.runs import made_for, resolved_run
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking.key import experiment_key
from tests.support.run_folders import complete

def short_run(name):
    resolved = resolved_run(Path(sys.argv[1]) / name)
    return resolved.model_copy(update={"edits": resolved.edits[1:]})

expected = [picture.sha256 for picture in complete(short_run("whole")).pictures()]
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "os.link"}
deaths = 0
for step in range(1, 1000):
    resolved = short_run(str(step))
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
        experiment_key(complete(resolved))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    run = RunFolder.of(resolved)
    if os.WIFSIGNALED(status):
        deaths += 1
        whole = [picture.sha256 for picture in run.pictures()] if run.spec_file.is_file() else []
        assert whole == expected[:len(whole)], (step, whole)
        assert not run.is_done or len(whole) == 2, step
    again = complete(resolved)
    assert [picture.sha256 for picture in again.pictures()] == expected, step
    assert experiment_key(again) == experiment_key(again)
    assert not list(run.path.rglob(".unfinished-*")), step
    assert [path.name for path in run.comet_folder.iterdir() if path.name != ".lock"] == ["key"], step
    if not os.WIFSIGNALED(status):
        assert status == 0
        print(deaths)
        break
"""


@pytest.mark.timeout(600)
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
from tests.support.runs import resolved_run
from sdxl_lab.records.folder import RunFolder
resolved = resolved_run(Path(sys.argv[1]))
with RunFolder.of(resolved).open(resolved):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_folder_has_one_writer_until_it_dies(tmp_path):
    """
    A second writer gets an error with the first one's process id; once that is killed, the folder is free.
    """
    resolved = resolved_run(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], env=environment(), stdout=subprocess.PIPE, text=True) as holder:
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
    with pytest.raises(DiskError, match=r"cannot make the folder .* choose another folder"), RunFolder.of(resolved).open(resolved):
        pass
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    with pytest.raises(DiskError, match="could not lock"), RunFolder(tmp_path / "run").open(resolved):
        pass


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.support.runs import made_for, resolved_run
from sdxl_lab.files.disk import DiskError
from sdxl_lab.records.folder import RunFolder
resolved = resolved_run(Path(sys.argv[1]))
run = RunFolder.of(resolved)
with run.open(resolved):
    run.add_picture(resolved.edits[0], made_for(resolved.edits[0]))
    sys.dont_write_bytecode = True  # half a compiled module would be kept
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


def test_who_sends_to_comet_keeps_what_is_unfinished(tmp_path):
    """
    Opening a run clears what was left in its comet folder, unless another process holds the lock of that.
    """
    resolved = resolved_run(tmp_path)
    run = complete(resolved)
    run.comet_folder.mkdir(exist_ok=True)
    leftover = run.comet_folder / ".unfinished-0badf00d-confirmed.json"
    leftover.write_bytes(b"{")
    with locked(run.comet_folder), run.open(resolved):
        assert leftover.exists()
    with run.open(resolved):
        assert not leftover.exists()


def test_a_file_of_any_allowed_name_is_written(tmp_path):
    """
    A name as long as the system takes, in letters of several bytes, needs no longer one on the way.
    """
    path = tmp_path / ("\N{CJK UNIFIED IDEOGRAPH-6F22}" * 80 + ".json")
    write_whole(path, b"{}")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_write_that_fails_keeps_the_old_file(tmp_path):
    """
    A file that cannot be replaced is as it was before, and no temporary file stays.
    """
    (tmp_path / "folder").mkdir()
    with pytest.raises(DiskError):
        write_whole(tmp_path / "folder", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]

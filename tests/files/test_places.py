import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sdxl_lab.checkpoints.locating import locate
from sdxl_lab.checkpoints.weight_files import CheckpointError
from sdxl_lab.cli import app
from sdxl_lab.datasets.samples import ArtifactError
from sdxl_lab.datasets.sources import fetch
from sdxl_lab.files.places import PlaceError, output
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec, SpecError
from tests.support.datasets import write_dataset

PLAIN = {"name": "place", "dataset": "pocket-scenes", "checkpoint": "pocket", "tracking": "off"}

ELSEWHERE = {
    "s3://bucket/runs": r"an address \(s3:\)",
    "S3:/bucket": r"an address \(S3:\)",
    "gs://bucket/runs": r"an address \(gs:\)",
    "https://host/runs.zip": r"an address(,| \(https:\))",
    "file:///srv/runs": "write the path alone: /srv/runs",
    "C:\\runs": "a path of Windows",
    "D:/runs": "a path of Windows",
    "\\\\server\\runs": "a path of Windows",
    "artifacts\\runs": "a backslash",
    "my\\ runs": "a backslash",
    "$HOME/runs": r"\$HOME is not filled in here",
    "${SCRATCH}/runs": r"\$\{SCRATCH\} is not filled in here",
    "%USERPROFILE%/runs": "%USERPROFILE% is not filled in here",
    "~no-such-user/runs": "no home folder for ~no-such-user",
    "runs\0": "a NUL character",
    "r" * 300: "more than 255 bytes",
}


@pytest.mark.parametrize("written", ELSEWHERE)
@pytest.mark.parametrize("key", ["runs_folder", "dataset", "checkpoint"])
def test_a_place_elsewhere_is_refused_at_the_gate(tmp_path, monkeypatch, key, written):
    """
    An address, another system's path and what a shell would fill in are refused with got, allowed and the next step; nothing is made.
    """
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=rf"{key}: got .*; allowed is .*\. .*{ELSEWHERE[written]}"):
        RunSpec.from_parameters(**PLAIN | {key: written})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("written", ELSEWHERE)
def test_fetch_refuses_it_too(written):
    """
    A dataset that is fetched without a run gets the same reason.
    """
    with pytest.raises(ArtifactError, match=ELSEWHERE[written]):
        fetch(written)


@pytest.mark.parametrize("written", ELSEWHERE)
def test_a_checkpoint_that_is_looked_up_is_refused_too(written):
    """
    A checkpoint that is given without a run, as to `reproduce`, gets the same reason.
    """
    with pytest.raises(CheckpointError, match=ELSEWHERE[written]):
        locate(written)


NO_OUTPUTS = {written: reason for written, reason in ELSEWHERE.items() if "\0" not in written}
NO_OUTPUTS |= {"-": "name a file", "": "name a file", "runs": "name a file", "/dev/null": "name a file", "notes.txt/x": "notes.txt is no folder"}
WRITING = ["report runs -o", "compare runs --csv", "compare runs --notebook", "reproduce picture.png --output"]


@pytest.mark.parametrize(
    ("options", "written"), [*((WRITING[0], written) for written in NO_OUTPUTS), *((options, "s3://b/x") for options in WRITING)]
)
def test_an_output_elsewhere_is_refused_before_any_work(tmp_path, monkeypatch, options, written):
    """
    What an option names to write to is looked at before the runs are, which are not even there; nothing is made.
    """
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("notes.txt").write_text("mine")
    raised = CliRunner().invoke(app, [*options.split(), written]).exception
    assert isinstance(raised, PlaceError)
    assert re.search(f"got .*; allowed is the path of a file, and .*{NO_OUTPUTS.get(written, 'an address')}", str(raised))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "runs"]


def test_an_output_at_home_lies_there(tmp_path, monkeypatch):
    """
    A shell leaves `--output=~/x.html` as it is; `~` means the home folder all the same.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    assert output("~/x.html") == tmp_path / "x.html"


@pytest.mark.parametrize("written", ["runs", "a~b/runs", "~/runs", "/srv/my runs/a", "../runs", "a:b/c", "cost $5", "50% done", "ünïcode"])
def test_paths_of_this_machine_pass(written):
    """
    A path is taken as it is written, with colons, dollars, percents and spaces within.
    """
    assert RunSpec.from_parameters(**PLAIN, runs_folder=written).runs_folder == written


@pytest.mark.parametrize("written", ["workspace/name:1.0.0", "workspace/name:latest", "workspace/name"])
def test_names_of_artifacts_are_no_addresses(written):
    """
    An artifact's name passes the gate.
    """
    assert RunSpec.from_parameters(**PLAIN | {"dataset": written}).dataset == written


def test_a_dataset_that_lies_here_is_no_address(tmp_path, monkeypatch):
    """
    A folder that is there is fetched, whatever its name looks like.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("$HOME", "s3:/bucket"):
        write_dataset(tmp_path / name, 1)
        assert len(fetch(name).samples) == 1
        assert RunSpec.from_parameters(**PLAIN | {"dataset": name}).dataset == name


def test_spaces_around_a_folder_are_refused():
    """
    A folder for runs does not begin or end with a space.
    """
    for written in (" runs", "runs "):
        with pytest.raises(SpecError, match="begins or ends with a space"):
            RunSpec.from_parameters(**PLAIN, runs_folder=written)


def test_a_record_with_such_a_folder_stays_readable():
    """
    A spec that an earlier version recorded is read, wherever its runs lay.
    """
    assert RunSpec.model_validate(PLAIN | {"runs_folder": "s3:/bucket/runs"}).runs_folder == "s3:/bucket/runs"


@pytest.mark.parametrize("below", ["", "runs/sea"])
def test_a_file_in_the_place_of_the_runs_is_known_before_the_run(tmp_path, below):
    """
    Resolving refuses a folder for runs that is a file, or would lie in one, and names that file.
    """
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    spec = RunSpec.from_parameters(**PLAIN, runs_folder=str(file / below))
    with pytest.raises(SpecError, match=r"runs_folder: got .*; allowed is the path of a folder\. .*notes\.txt is no folder"):
        resolve(spec)
    assert file.read_text() == "mine"

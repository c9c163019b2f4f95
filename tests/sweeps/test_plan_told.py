"""What a plan and a board say: tables for a terminal of 80 columns, the time that runs will take, and a part of them alone."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console

from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.settings.arguments import written
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.attempts import Attempts, has_failed
from sdxl_lab.sweeps.board import Board
from sdxl_lab.sweeps.plan import Plan
from tests.support.commands import said
from tests.support.quick_sweeps import SEED, write_specs
from tests.support.quick_sweeps import dataset as dataset
from tests.support.quick_sweeps import notebook as notebook
from tests.support.quick_sweeps import planned as planned

GUIDANCE = "hyperparameters.denoising.guidance_scale"


@pytest.fixture(autouse=True)
def columns(monkeypatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")


def rows(made: Plan) -> list[str]:
    """The lines of a plan's table, headings included."""
    lines = str(made).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("point "))
    return lines[first - 1 : next(index for index, line in enumerate(lines) if line.startswith("UNet")) - 1]


def entries(made: Plan) -> list[str]:
    """The rows of a plan's table, each of one or more lines, without headings."""
    table = rows(made)
    stop = table[1].index("run ")
    found: list[str] = []
    for line in table[2:]:
        if re.fullmatch(r"[0-9a-f]{10}", line[stop : stop + 10]):
            found.append(line)
        elif not line.startswith("checkpoint ") and "runs that share" not in line:
            found[-1] += f"\n{line}"
    return found


def test_a_table_fits_80_columns_and_no_two_points_look_alike(planned, notebook):
    """
    With labels far too long, each line of the table has at most 80 columns, and what stands for a point is another for each.
    """
    grid = {
        SEED: [111111111, 111111112],
        GUIDANCE: [5.0625, 5.125],
        "hyperparameters.prompt": ["a long prompt about a cat", "a long prompt about a dog"],
    }
    made = planned(notebook(), grid=grid)
    table = rows(made)
    assert max(map(len, table)) <= 80
    room = table[1].index("run ")
    labels = ["".join(line[:room].strip() for line in entry.splitlines()) for entry in entries(made)]
    assert len(set(labels)) == len(made.runs) == 8
    assert all(run.run_id[:10] in entry for run, entry in zip(made.runs, entries(made), strict=True))


def test_only_what_is_shared_is_told_of(planned, notebook):
    """
    A checkpoint is named once, and runs have a heading and what they would cost without sharing only where some share forwards; columns stay aligned.
    """
    apart = planned(notebook(), grid={GUIDANCE: [5.0, 6.0]})
    table = rows(apart)
    assert [line for line in table if not line.startswith("  ")] == [table[1], f"checkpoint {apart.runs[0].parameters['checkpoint']}"]
    assert len(table) == 3 + len(entries(apart)) == 5
    assert f"needed: {apart.forwards_shared} (" in str(apart)
    assert "share" not in "\n".join(table) + str(apart).partition("UNet")[2]

    fraction = "hyperparameters.denoising.high_noise_frac"
    shared = planned(
        notebook(),
        grid={GUIDANCE: [5.0, 6.0], fraction: [None, 0.5]},
        exclude=[{GUIDANCE: 6.0, fraction: 0.5}],
    )
    assert [line for line in rows(shared) if "share" in line] == ["  2 runs that share forwards"]
    assert [len(entry) - len(entry.lstrip()) for entry in entries(shared)] == [4, 4, 2]
    assert len({entry.index(run.run_id[:10]) for run, entry in zip(shared.runs, entries(shared), strict=True)}) == 1
    assert f"without sharing they would be {shared.forwards_alone}, " in str(shared)


def test_a_board_fits_80_columns_and_no_two_points_look_alike(planned, notebook):
    """
    While runs of long names are made, each line of the live table has at most 80 columns, and no name is cut as another's is.
    """
    made = planned(notebook(), grid={"hyperparameters.prompt": [f"a long prompt about cats, ending in {number}" for number in range(5)]})
    for item in made.runs:
        attempts = Attempts(item.folder.parent, item.run_id)
        attempts.begin("mine")
        attempts.end("mine", "failed", "a message that needs more than the room that is left for it in a line of eighty columns")
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(Board(made, "mine"))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    entries = re.split(r"(?m)^failed +", "\n".join(lines))[1:]
    room = lines[1].index("pictures") - lines[1].index("point")
    assert len({"".join(line[:room].strip() for line in entry.splitlines()[:1]) for entry in entries}) == 5


def recorded(item: Any, second_a_forward: float) -> None:
    """Make a run, and have its record say how long each forward took."""
    it = resolve(RunSpec.from_parameters(**item.parameters))
    run(it)
    finish(it)
    lines = [json.loads(line) for line in it.folder.lines_file.read_text().splitlines()]
    lines = [line | {"seconds": second_a_forward * (line["base_steps"] + line["refiner_steps"])} for line in lines]
    it.folder.lines_file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_the_time_is_that_of_like_forwards_on_this_machine(planned, notebook, tmp_path):
    """
    Planned seconds are the forwards times those of the middle recorded run that is like it and took over no other's work; else none are told.
    """
    assert "no estimate yet" in str(planned(notebook(), grid={SEED: [1]}))
    for number, seconds in enumerate((70.0, 60.0, 50.0, 20.0)):
        recorded(planned(notebook(), grid={SEED: [number]}).runs[0], seconds)
    made = planned(notebook(), grid={SEED: [10, 11], GUIDANCE: [5, 1.0]})
    guided = [item for item in made.runs if "guidance_scale=5" in item.label]
    assert made.seconds == {item.run_id: 60.0 * made.forwards[item.run_id] for item in guided}
    assert "about 6:00 by one worker" in str(made)
    assert "without 2 runs of which nothing like it is recorded" in str(made)
    for local in tmp_path.glob("runs/*/local.json"):
        local.write_text(local.read_text().replace('"processor": "', '"processor": "another '))
    assert planned(notebook(), grid={SEED: [10]}).seconds == {}


def test_a_part_of_a_plan_is_its_first_points_or_those_that_failed(planned, notebook):
    """
    What is left for later is neither pending nor done, and no work goes out for it; what was tried and failed last can be chosen alone.
    """
    made = planned(notebook(), grid={SEED: [1, 2, 3, 4]})
    for item, ends in zip(made.runs, (["failed"], ["failed", "done"], ["broken"], []), strict=True):
        attempts = Attempts(item.folder.parent, item.run_id)
        for end in ends:
            attempts.begin("any")
            attempts.end("any", end)
    first = made.limited(most=3)
    assert ([item.run_id for item in first.pending], len(first.left), len(first.done)) == ([item.run_id for item in made.runs[:3]], 1, 0)
    assert sum(len(group.pending) for group in first.groups) == 3
    assert first.forwards_shared * 4 == made.forwards_shared * 3
    failed = made.limited(has_failed)
    assert [item.label for item in failed.pending] == ["seed=1", "seed=3"]
    assert [item.label for item in made.limited(has_failed, 1).pending] == ["seed=1"]
    assert "4 points, 0 done, 1 to run, 3 left for later" in str(made.limited(has_failed, 1))


def test_the_commands_take_a_part(planned, notebook, tmp_path):
    """
    `sweep --limit 1` makes one point and leaves with 0, saying how many are left; `--only-failed` without a failure makes none.
    """
    made = planned(notebook(isolated=True, specs=tmp_path), grid={SEED: [1, 2, 3]})
    write_specs(tmp_path, made)
    parameters = {name: value for name, value in made.runs[0].parameters.items() if name != "name"}
    file = tmp_path / "sweep.yaml"
    file.write_text(written({"name": "test", "notebook": str(made.notebook), "parameters": parameters, "grid": {SEED: [1, 2, 3]}}))
    assert "0 done, 1 to run, 2 left for later" in said("plan", file, "--limit", 1).out
    swept = said("sweep", file, "--limit", 1)
    assert (swept.code, swept.out.splitlines()[:2]) == (
        0,
        [
            f"1 of 3 runs are done: {tmp_path / 'runs'}",
            "2 runs were left for later; without --only-failed and --limit the same command makes them",
        ],
    )
    assert [len(path.read_text().splitlines()) for path in tmp_path.glob("runs/.attempts/*.jsonl")] == [2]
    swept = said("sweep", file, "--only-failed")
    assert (swept.code, swept.out.splitlines()[0]) == (0, f"1 of 3 runs are done: {tmp_path / 'runs'}")
    assert said("sweep", file, "--limit", 0).code == 2

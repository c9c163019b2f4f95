"""A comparison on a terminal, by the command, and in its notebook."""

from __future__ import annotations

import ast
import csv
import io
import itertools
import json

import pytest
from rich.console import Console

from sdxl_lab.kernels import notebooks
from sdxl_lab.runs import resolution
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.compare import compare, print_comparison, telling
from tests.support.commands import said
from tests.support.compare_runs import SAMPLES, planned, recorded, seam


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global engine, nbformat, plan
    import nbformat

    from sdxl_lab.kernels import engine
    from sdxl_lab.sweeps.planner import plan


@pytest.fixture(scope="module", autouse=True)
def cold():
    """Leave no kernel behind."""
    yield
    engine.close()


def many(sample, task, seed):
    """More metrics than a terminal shows at once, of all sizes."""
    number = seam(sample, task, seed)["seam_delta_e"]
    sizes = {"raw_seam_delta_e": number * 1e-4, "peak_memory_bytes": 2.5e9 + number, "colour_as_asked": 1.0, "raw_psnr_outside_db": 20 + number}
    return {"seam_delta_e": number} | sizes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three runs with long names, which differ in six settings."""
    folder = tmp_path_factory.mktemp("runs")
    settings = [
        {},
        {"denoising": {"high_noise_frac": 0.8, "guidance_scale": 3.25}, "refiner": {"aesthetic_score": 7.5}},
        {"mask": {"kernel_size": 25, "feather_px": 3}, "outpaint": {"mask": {"kernel_size": 5}}},
    ]
    for index, given in enumerate(settings):

        def measured(sample, task, seed, index=index):
            return {name: number + index * SAMPLES.index(sample) / 9 for name, number in many(sample, task, seed).items()}

        recorded(planned(folder, f"{index}-of-three-runs-with-a-name-that-is-rather-long", given), measured)
    return folder


def printed(runs, width, **asked):
    """What is printed on a terminal of some width."""
    file = io.StringIO()
    print_comparison(compare([runs]), console=Console(file=file, width=width, highlight=False), **asked)
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_the_terminal(runs, width):
    """
    No line is wider than the terminal, no number is cut, and every setting that differs is told.
    """
    shown = printed(runs, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "..." not in "".join(line for line in shown.splitlines() if "[" in line and "low" not in line and "three-runs" not in line)
    joined = shown.replace("\n", " ")
    for last in ("guidance_scale", "high_noise_frac", "aesthetic_score", "kernel_size", "feather_px"):
        assert last in joined


def test_rows_are_told_apart(tmp_path):
    """
    Of a grid over three settings, whose runs' names begin alike, each row has a name of its own and its value of every setting, at any width.
    """
    grid = list(itertools.product((3.25, 12.0), (0.6, 0.85), (5, 25)))
    for guidance, frac, kernel in grid:
        settings = {"denoising": {"guidance_scale": guidance, "high_noise_frac": frac}, "mask": {"kernel_size": kernel}}
        name = f"a-sweep-over-everything-guidance_scale_{guidance:g}-high_noise_frac_{frac}-kernel_size_{kernel}"
        recorded(
            planned(tmp_path, name, settings, samples=SAMPLES[:1], tasks=("inpaint",)), lambda *_, kernel=kernel: {"seam_delta_e": float(kernel)}
        )
    for width in (60, 80, 200):
        lines = [line.split() for line in printed(tmp_path, width, metrics=["steps"]).partition("\nsteps,")[0].splitlines()]
        rows = [[cell for number, *cells in filter(None, lines) if number == str(row + 1) for cell in cells] for row in range(8)]
        assert len({name for name, *_ in rows}) == 8
        assert [tuple(map(float, row[1:4])) for row in rows] == grid
        assert [row[4:6] for row in rows] == [["1", "24+6"]] * 8
        seams = printed(tmp_path, width, metrics=["seam_delta_e"]).partition("\nseam_delta_e,")[2].partition("\n\n")[0].splitlines()[2:]
        assert [line.split()[0] for line in seams] == [str(row + 1) for row in range(8)]  # a line a row, whatever its name is


def test_what_is_one_number_in_every_picture_is_a_line(tmp_path):
    """
    A metric in which nothing differs is told once, and has a table again as soon as one picture differs, by however little.
    """
    for guidance, (name, last) in enumerate((("one", 1.0), ("other", 1.0), ("third", 0.75)), start=3):

        def measured(sample, task, seed, last=last):
            return seam(sample, task, seed) | {"colour_as_asked": last if sample == SAMPLES[-1] else 1.0}

        recorded(planned(tmp_path / name, name, {"denoising": {"guidance_scale": float(guidance)}}), measured)
    shown = [_of_metric(compare([tmp_path / name for name in names])) for names in (("one", "other"), ("one", "other", "third"))]
    assert [said["colour_as_asked"] for said in shown] == [["colour_as_asked, higher is better: 1 in every picture"], shown[1]["colour_as_asked"]]
    assert [line.split()[:2] for line in shown[1]["colour_as_asked"][2:]] == [["1", "one"], ["2", "other"], ["3", "third"]]
    assert len(shown[0]["seam_delta_e"]) == 4
    assert [said["steps"] for said in shown] == [["steps, lower is better: 30 in every picture"]] * 2


def _of_metric(comparison):
    """The lines that are printed of each metric, by its name."""
    file = io.StringIO()
    print_comparison(comparison, console=Console(file=file, width=200, highlight=False))
    return {block.partition(",")[0]: block.splitlines() for block in file.getvalue().split("\n\n")[1:]}


def test_a_telling_choice_is_printed_and_the_others_are_named(runs):
    """
    Without `--metric` one metric of each kind is printed and the others are named; with it, those that were asked for alone.
    """
    said = printed(runs, 80)
    assert "seam_delta_e, lower is better" in said
    assert "also measured, see --metric and --csv: peak_memory_bytes" in said
    assert "steps, lower is better" in said
    asked = printed(runs, 80, metrics=["peak_memory_bytes"])
    assert "\npeak_memory_bytes, not judged: " in asked
    assert "seam_delta_e, lower is better" not in asked


def test_memory_is_told_in_units_that_people_read(tmp_path):
    """
    Bytes are MiB in the table and where all are one number, means and differences alike; what is written as CSV stays bytes.
    """
    for guidance, held in ((3.0, 512), (7.0, 768)):

        def measured(*_, held=held):
            return {"peak_memory_bytes": held * 2.0**20, "gpu_peak_memory_bytes": 2.0**30}

        recorded(planned(tmp_path, f"at-{guidance:g}", {"denoising": {"guidance_scale": guidance}}), measured)
    shown = printed(tmp_path, 200, metrics=["peak_memory_bytes", "gpu_peak_memory_bytes"])
    _, _, table = shown.partition("\npeak_memory_bytes")
    title, _, first, second, *_ = table.splitlines()
    assert title.endswith("; in MiB")
    assert [float(number) for number in (first.split()[2], *second.split()[2:4])] == [512, 768, 256]
    assert "; in MiB: 1024 in every picture\n" in shown
    assert compare([tmp_path]).table()["peak_memory_bytes"].tolist() == [512 * 2**20, 768 * 2**20]


def test_seconds_are_shown_as_spent(runs):
    """
    Seconds stand beside the steps as spent, and as a metric, by either name, without a word on better or worse.
    """
    lines = printed(runs, 200).splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith("1 "))
    assert [line.split()[-1] for line in lines[first - 2 : first]] == ["seconds", "spent"]
    for name in ("seconds", "seconds_spent"):
        said = printed(runs, 80, metrics=[name])
        assert "\nseconds_spent, not judged: " in said
        assert "better" not in said
        assert max(map(len, said.splitlines())) <= 80


def test_names_in_the_records_can_not_steer_the_terminal(tmp_path):
    """
    Control characters of a prompt do not reach the terminal, and brackets are shown as they are.
    """
    hostile = planned(tmp_path, "hostile", prompts=False)
    hostile = hostile.model_copy(update={"edits": tuple(edit.model_copy(update={"prompt": "\x1b[2J[red]"}) for edit in hostile.edits)})
    recorded(hostile)
    recorded(planned(tmp_path, "plain", prompts=False))
    said = printed(tmp_path, 80)
    assert "\x1b" not in said
    assert "[red]" in said


def test_the_command_prints_and_writes(runs, tmp_path, monkeypatch):
    """
    `sdxl-lab compare` prints 80 columns at most, and its CSV holds the numbers of the data frame.
    """
    path = tmp_path / "new" / "numbers.csv"
    arguments = ["compare", runs, "--reference", "2", "--task", "inpaint", "--csv", path]
    monkeypatch.setenv("COLUMNS", "80")
    shown = said(*arguments)
    assert shown.code == 0
    assert shown.out.endswith(f"written: {path}\n")
    assert max(map(len, shown.out.splitlines()[:-1])) <= 80
    table = compare([runs], reference="2", task="inpaint").table()
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["run"] for line in lines] == table.index.tolist()
    for metric in ("seam_delta_e", "seam_delta_e_difference_low", "raw_seam_delta_e_high", "peak_memory_bytes"):
        assert [float(line[metric] or "nan") for line in lines] == pytest.approx(table[metric].tolist(), nan_ok=True)


def test_a_sweep_file_stands_for_its_runs(tmp_path):
    """
    A sweep's file compares those of its points that are recorded, wherever they come in the folder, and no other run beside them.
    """
    sweep = tmp_path / "frac.yaml"
    common = {"dataset": "pocket-scenes", "checkpoint": "pocket", "tracking": "off", "runs_folder": str(tmp_path / "runs"), "samples": ["red-circle"]}
    points = [{"hyperparameters.mask.feather_px": width} for width in (0, 1, 2)]
    sweep.write_text(json.dumps({"name": "frac", "parameters": common, "points": points}))
    made = [resolution.resolve(RunSpec.from_parameters(**run.parameters)).spec for run in plan(SweepFile.read(sweep)).runs]
    for resolved in made[:2]:
        recorded(resolved, lambda *_: {"seam_delta_e": 1.0})
    recorded(planned(tmp_path / "runs", "another"))
    shown = said("compare", sweep).out
    assert [line.split()[1] for line in shown.splitlines()[2:5] if line] == [resolved.spec.name for resolved in made[:2]]
    assert "another" not in shown


def test_what_cannot_be_compared_is_one_message(runs, tmp_path):
    """
    A folder without runs, an unknown metric or reference leaves with 1, nothing on stdout, and one message.
    """
    for arguments, message in (
        ([tmp_path], "holds no run"),
        ([runs, "--metric", "seam_delta"], "Did you mean seam_delta_e?"),
        ([runs, "--reference", "nobody"], "which is none of the runs compared"),
        ([runs, "--task", "paint"], "allowed are inpaint, outpaint"),
    ):
        refused = said("compare", *arguments)
        assert (refused.code, refused.out) == (1, "")
        assert message in refused.err
        assert len(refused.err.splitlines()) == 1


def test_the_notebook_is_thin_and_without_outputs():
    """
    The notebook has about eight code cells without outputs, defines nothing, and its parameters are those of the command.
    """
    notebook = nbformat.read(notebooks.built_in()["compare"], as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) <= 9
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
    assert not [node for cell in code for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    assert list(notebooks.parameters_of(notebooks.built_in()["compare"])) == ["runs", "reference", "metrics", "task", "pool_seeds"]


def test_the_notebook_runs_through_papermill(runs, tmp_path):
    """
    Run by papermill over three runs, the notebook is whole and shows the settings, the means and verdicts of the data frame, and pictures.
    """
    output = tmp_path / "compared.ipynb"
    notebooks.run(notebooks.built_in()["compare"], {"runs": [str(runs)], "reference": "2", "task": "outpaint"}, output, warm=True)
    cells = json.loads(output.read_text())["cells"]
    shown = "".join(line for cell in cells for out in cell.get("outputs", []) for line in out.get("data", {}).get("text/html", []))
    compared = compare([runs], reference="2", task="outpaint")
    assert all(path in shown for path in compared.differing)
    assert f"{compared.by_metric(telling(compared)[0])['mean'].iloc[0]:.3f}" in shown
    assert shown.count("<img ") == 9


def test_the_notebook_shows_one_run_too(runs, tmp_path):
    """
    One unfinished run with few samples gives a whole notebook as well.
    """
    alone = recorded(planned(tmp_path / "runs", "alone"), count=1)
    notebooks.run(notebooks.built_in()["compare"], {"runs": [str(alone.path)], "metrics": ["seconds"]}, tmp_path / "compared.ipynb", warm=True)
    assert "nothing to compare alone with" in (tmp_path / "compared.ipynb").read_text()

"""The public face: what `from sdxl_lab import ...` gives."""

from __future__ import annotations

import ast
import inspect
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest

import sdxl_lab
from sdxl_lab import _ROOMS as NAMES
from tests.support.compare_runs import planned, recorded

ROOT = Path(__file__).parents[1]


def sources() -> dict[str, str]:
    """The code that people read first: every notebook and script in notebooks/, by file."""
    found = {path.name: path.read_text() for path in (ROOT / "notebooks").glob("*.py")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        found[path.name] = "\n".join("".join(cell["source"]) for cell in cells)
    return found


def imported(code: str) -> set[tuple[str, str]]:
    """(module, name) of each import from the lab."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom | ast.Import)]
    names = [(getattr(node, "module", None) or alias.name, alias.name) for node in nodes for alias in node.names]
    return {(str(module), name) for module, name in names if module.partition(".")[0] == "sdxl_lab"}


def test_the_face_is_one_table():
    """
    What is exported, what type checkers are told and what is found are the same names; another name is an error that lists them.
    """
    told = [node for node in ast.parse(Path(sdxl_lab.__file__).read_text()).body if isinstance(node, ast.If)]
    typed = {alias.asname or alias.name for node in ast.walk(told[0]) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(sdxl_lab.__all__) == set(NAMES) == typed
    assert len(sdxl_lab.__all__) == len(set(sdxl_lab.__all__))
    assert set(sdxl_lab.__all__) <= set(dir(sdxl_lab))
    with pytest.raises(AttributeError, match=r"no attribute 'paint'; it has .*generate.*resolve"):
        sdxl_lab.__getattr__("paint")


def test_no_module_takes_a_name_of_the_face():
    """
    Importing a package or module of the lab sets its name on `sdxl_lab`; none is called as a public name is.
    """
    assert not {module.name for module in pkgutil.iter_modules(sdxl_lab.__path__)} & set(NAMES)


def test_importing_the_face_imports_nothing_else():
    """
    `import sdxl_lab` brings in no other module of the lab, and no library.
    """
    code = "import sys; before = set(sys.modules); import sdxl_lab; print(sorted(set(sys.modules) - before))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert [name for name in ast.literal_eval(said) if name.partition(".")[0] not in sys.stdlib_module_names] == ["sdxl_lab"]


def test_whoever_takes_a_path_takes_a_text():
    """
    What of the face takes a path says that it takes a text too, methods included, and so do those that people call with runs.
    """
    called = [getattr(sdxl_lab, name) for name in sdxl_lab.__all__]
    methods = [
        method for found in called if inspect.isclass(found) for name, method in inspect.getmembers(found, callable) if name in ("add", "read")
    ]
    told = [(call, found) for call in [*filter(inspect.isfunction, called), *methods] for found in inspect.signature(call).parameters.values()]
    assert [f"{call.__qualname__}: {found}" for call, found in told if "Path" in str(found.annotation) and "str" not in str(found.annotation)] == []


@pytest.mark.parametrize("as_given", [str, Path, lambda folder: [folder], lambda folder: [str(folder)]], ids=["text", "path", "list", "texts"])
def test_one_folder_may_be_given_as_it_is(as_given, tmp_path):
    """
    One folder of runs, as a path or a text, alone or in a list, is the same to all that look at runs.
    """
    runs = [recorded(planned(tmp_path / "runs", name, {"denoising": {"guidance_scale": guidance}})) for name, guidance in (("a", 2.0), ("b", 3.0))]
    given = as_given(tmp_path / "runs")
    assert [row.name for row in sdxl_lab.compare(given).rows] == ["a", "b"]
    assert sdxl_lab.report(given, str(tmp_path / "report.html")) == tmp_path / "report.html"
    [found] = sdxl_lab.measure(given, "nrmse_outside")
    assert len(found.numbers) == sum(len(run.pictures()) for run in runs)
    assert len(sdxl_lab.find_runs(str(tmp_path / "runs"))) == 2


def test_a_sweep_file_is_told_for_what_it_is(tmp_path):
    """
    Python, which looks for no sweep's runs, says of its file that the folder of the runs is what to give.
    """
    file = tmp_path / "words.yaml"
    file.write_text("name: words")
    for looks in (sdxl_lab.compare, sdxl_lab.study, lambda given: sdxl_lab.measure(given, "nrmse_outside")):
        with pytest.raises(sdxl_lab.LabError, match=r"words\.yaml is a file of parameters, and of a sweep the folder of its runs is what to give"):
            looks(file)


def test_values_of_a_line_are_short(tmp_path):
    """
    What a line in a notebook leaves is one short line, however many pictures it is of.
    """
    runs = [recorded(planned(tmp_path / "runs", name, {"denoising": {"guidance_scale": guidance}})) for name, guidance in (("a", 2.0), ("b", 3.0))]
    [found] = sdxl_lab.measure(tmp_path / "runs", "nrmse_outside")
    assert repr(found) == f"<Measured nrmse_outside: 24 pictures, mean {fmean(found.numbers.values()):.4g}; 24 measured now>"
    distances = sdxl_lab.distance(runs, tmp_path / "runs", metrics=["kid"], insist=True, keep=False)
    assert re.fullmatch(r"<Distances: kid of 2 sets to runs, as \w+ sees them>", repr(distances))
    assert str(distances).startswith("kid, lower is better")


def test_notebooks_use_the_face_alone():
    """
    Notebooks and the scripts beside them import from `sdxl_lab`, and nothing from below it.
    """
    found = {name: imported(code) for name, code in sources().items()}
    assert {"inpaint_outpaint.ipynb", "compare.ipynb", "questions.py"} <= {name for name, names in found.items() if names}
    assert {module for names in found.values() for module, _ in names} == {"sdxl_lab"}

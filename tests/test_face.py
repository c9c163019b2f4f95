"""The public face: what `from sdxl_lab import ...` gives."""

from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sdxl_lab
from sdxl_lab import _ROOMS as NAMES

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


def test_notebooks_use_the_face_alone():
    """
    Notebooks and the scripts beside them import from `sdxl_lab`, and nothing from below it.
    """
    found = {name: imported(code) for name, code in sources().items()}
    assert {"inpaint_outpaint.ipynb", "compare.ipynb", "questions.py"} <= {name for name, names in found.items() if names}
    assert {module for names in found.values() for module, _ in names} == {"sdxl_lab"}

"""Modules in a warm kernel: each notebook imports the file that it would import in a new one."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sdxl_lab.kernels import engine
from tests.support.warm_notebooks import execute, printed

INSERT = "import sys; sys.path.insert(0, {folder!r})\n"
BY_PATH = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location({name!r}, {folder!r} + "/{name}.py")
{name} = importlib.util.module_from_spec(spec)
sys.modules[{name!r}] = {name}
spec.loader.exec_module({name})
"""
ON_A_PATH = "import email; email.__path__.append({folder!r})\nimport email.{name}\nfrom email import {name}\n"
IN_PLACE = "import sys, types; sys.modules['wave'] = types.ModuleType('wave'); sys.modules['wave'].here = {folder!r}\nimport wave as {name}\n"

FOUND = {
    "in a folder on sys.path": INSERT + "import {name}",
    "in a folder on sys.path, given from here": "import sys; sys.path.insert(0, '.')\nimport {name}",
    "in an added site folder": "import site; site.addsitedir({folder!r})\nimport {name}",
    "in the folder gone to": "import os; os.chdir({folder!r})\nimport {name}",
    "beside the notebook": "import {name}",
    "by its path": BY_PATH,
    "in a package": INSERT + "from {name}_pack import {name}",
    "in a package's own folder more": ON_A_PATH,
    "in a namespace package on sys.path": INSERT + "from {name}_space import {name}",
    "in a namespace package beside the notebook": "from {name}_space import {name}",
    "in an archive": "import sys; sys.path.insert(0, {folder!r} + '/archive.zip')\nimport {name}_zipped as {name}",
    "by a finder": "import sys, importlib.machinery as m\nsys.meta_path.insert(0, m.PathFinder)\nsys.path_importer_cache.clear()\n"
    + INSERT
    + "import {name}",
    "in the place of another": IN_PLACE,
}


@pytest.fixture(scope="module", autouse=True)
def kernel() -> Iterator[None]:
    """One for all, without torch."""
    engine.close()
    yield
    engine.close()


def write_modules(folder: Path, name: str) -> Path:
    """A module in all the ways in which one can lie in a folder; each says where it is, and has a function."""
    source = f"here = {str(folder)!r}\ndef where():\n    return here\n"
    for path in (f"{name}.py", f"{name}_pack/__init__.py", f"{name}_pack/{name}.py", f"{name}_space/{name}.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr(f"{name}_zipped.py", source)
    return folder


def run(*sources: str, **options: Any) -> tuple[int, str]:
    """Run a notebook; return its kernel's process id and the rest of what it printed."""
    pid, _, rest = printed(execute("import os; print(os.getpid())", *sources, **options)).partition("\n")
    return int(pid), rest.strip()


@pytest.mark.parametrize("way", FOUND)
def test_a_notebook_imports_its_own_module(tmp_path, monkeypatch, way):
    """
    Two notebooks that find a module of one name in two folders get each its own, in one kernel, also where a folder lies below a library's.
    """
    name = f"module_{list(FOUND).index(way)}"
    seen = []
    for folder in (write_modules(tmp_path / "one", name), write_modules(tmp_path / "two", name)):
        monkeypatch.chdir(folder)
        seen.append(run(FOUND[way].format(folder=str(folder), name=name), f"print({name}.here)"))
    (first, here), (second, there) = seen
    assert (here, there) == (str(tmp_path / "one"), str(tmp_path / "two"))
    assert first == second
    monkeypatch.chdir("/")
    left = "import sys, email, wave; print([name for name in sys.modules if name.startswith('module_')])\n"
    left += f"print(hasattr(email, {name!r}), len(email.__path__), hasattr(wave, 'here'), {str(tmp_path)!r} in str(sys.path_importer_cache))"
    assert run(left) == (first, "[]\nFalse 1 False False")


def test_a_module_in_a_folder_below_that_of_a_library_is_the_notebooks(tmp_path, monkeypatch):
    """
    A notebook in a folder of a repository that is on the path has modules beside it that no other notebook gets.
    """
    beside = Path(__file__).parents[1]
    assert str(beside.parent) in run("import sys; print(sys.path)")[1]
    monkeypatch.chdir(beside)
    first, file = run("import conftest; print(conftest.__file__)")
    assert file == str(beside / "conftest.py")
    (tmp_path / "conftest.py").write_text("here = 'own'")
    monkeypatch.chdir(tmp_path)
    assert run("import conftest; print(conftest.here)") == (first, "own")


def test_a_library_stays_imported():
    """
    What notebooks import from where libraries lie is imported once in a kernel, with packages, extensions and modules of the standard library.
    """
    source = "import tabnanny, sqlite3, xml.dom.minidom, yaml, numpy.polynomial\n"
    source += "print([id(module) for module in (tabnanny, sqlite3, xml.dom.minidom, yaml, numpy.polynomial)])"
    assert run(source) == run(source)


def test_a_library_replaced_or_lost_is_put_back():
    """
    A module that a notebook replaces, deletes or blocks is the library's own for the next one, as is the attribute of its package.
    """
    look = "import sys, json.tool, wave, xml.dom; print(id(sys.modules['json.tool']), id(json.tool), id(wave), id(xml.dom))"
    before = run(look)
    run("import sys, types, json; sys.modules['json.tool'] = json.tool = types.ModuleType('json.tool'); sys.modules['wave'] = None")
    run("import sys; del sys.modules['xml.dom'], sys.modules['xml']; import xml.dom")
    assert run(look) == before


def test_settings_of_plots_end_with_their_notebook():
    """
    A notebook that sets how plots look leaves the next with matplotlib's own settings, and plots are shown in both, in the same kernel.
    """
    look = "import matplotlib.pyplot as plt; print(plt.rcParams['figure.dpi'], plt.rcParams['lines.linewidth'], plt.get_backend())"
    before = run(look)
    for _ in range(2):
        plot = "import matplotlib.pyplot as plt; plt.rc('figure', dpi=33); plt.rc('lines', linewidth=9); plt.style.use('ggplot'); plt.plot([1]);"
        assert [output for output in execute(plot).cells[0].outputs if "image/png" in output.get("data", {})]
        assert run(look) == before


def test_a_module_that_appears_later_is_found(tmp_path):
    """
    That a folder or module was not there for one notebook is forgotten with it.
    """
    source = INSERT.format(folder=str(tmp_path / "later"))
    attempt = "try:\n    import latecomer\n    print(latecomer.here)\nexcept ImportError as error:\n    print(error)"
    assert run(source, attempt)[1] == "No module named 'latecomer'"
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "latecomer.py").write_text("here = 1")
    assert run(source, attempt)[1] == "1"


def test_a_module_that_hides_a_library_gets_a_new_kernel(tmp_path, monkeypatch):
    """
    Where a new kernel would find a module beside the notebook, and this one has a library's of that name, there is a new kernel; it is told why.
    """
    told: list[str] = []
    before, library = run("import mpmath; print(mpmath.__file__)")
    (tmp_path / "mpmath.py").write_text("here = 'own'")
    monkeypatch.chdir(tmp_path)
    after, own = run("import mpmath; print(mpmath.here)", tell=told.append)
    assert "site-packages" in library
    assert own == "own"
    assert after != before
    assert told == [f"a new kernel for a notebook: finds a module mpmath in {tmp_path}, and earlier notebooks imported another one"]


LEFT = {
    "by a script": "%run {file}",
    "by a module without a place": "from importlib.util import module_from_spec, spec_from_file_location\n"
    "spec = spec_from_file_location('any', {file!r})\nspec.loader.exec_module(module_from_spec(spec))",
    "by a module beside it": "import os, sys; sys.path.insert(0, os.path.dirname({file!r})); import patch_of_wave",
}


@pytest.mark.parametrize("way", LEFT)
def test_a_function_of_a_notebooks_file_is_seen(tmp_path, way):
    """
    A library that is patched by code from a file of the notebook costs a kernel, and it is said what lives on, and where.
    """
    told: list[str] = []
    file = tmp_path / "patch_of_wave.py"
    file.write_text("import wave\ndef patched(*_): return 1\nwave.open = patched\n")
    run(LEFT[way].format(file=str(file)), tell=told.append)
    assert told == ["a new kernel for the next notebook: a notebook left function patched in wave.open"]
    assert run("import wave; print(wave.open.__name__)")[1] == "open"

"""Notebooks and sweep files that come with the lab, copied to be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdxl_lab.kernels import examples, notebooks
from sdxl_lab.sweeps.sweep_file import SweepFile
from tests.support.commands import said
from tests.support.run_folders import ROOT


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder, and a terminal on which nothing is folded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_all_that_people_start_from_is_listed_with_a_line_each():
    """
    Without a name every notebook, sweep file and site file of the repository is listed by the name under which it is copied, and what it is for.
    """
    files = [path.name for kind in ("ipynb", "yaml") for path in ROOT.glob(f"notebooks/*.{kind}")] + ["parsl_local.py"]
    lines = said("notebook").out.splitlines()
    assert sorted(line.split("  ")[0] for line in lines) == sorted(files)
    assert all(len(line.split("  ", 1)[1].split()) > 3 for line in lines)


@pytest.mark.parametrize("name", list(examples.examples()))
def test_a_copy_is_the_file_itself(here, name):
    """
    What is copied by its name, or by that of its file, is what the lab itself runs, in a folder that is made.
    """
    original = examples.examples()[name]
    assert said("notebook", name).out == f"written: {original.name}\n"
    assert said("notebook", original.name, "new/folder").out == f"written: new/folder/{original.name}\n"
    assert (here / original.name).read_bytes() == (here / "new" / "folder" / original.name).read_bytes() == original.read_bytes()


def test_a_copied_sweep_runs_the_notebook_of_its_name(here):
    """
    A sweep file that was copied alone finds its notebook among the built-in ones.
    """
    said("notebook", "fractions")
    assert SweepFile.read(here / "fractions.yaml").notebook == notebooks.find("inpaint_outpaint")


def test_the_sweep_of_weights_makes_once_what_both_syntaxes_say_alike(here):
    """
    Of its twelve points the two whose weight is 1 are one picture of thirty steps, as plain text would be.
    """
    said("notebook", "weights")
    planned = said("plan", "weights.yaml").out
    assert "12 points, 0 done, 12 to run" in planned
    assert "UNet forwards still needed: 330 " in planned


def test_the_sweep_of_moons_finds_the_built_in_lora(here):
    """
    Its fifteen points are planned in a folder that has nothing but the sweep's file.
    """
    said("notebook", "moon")
    assert "15 points, 0 done, 15 to run" in said("plan", "moon.yaml").out


def test_what_is_there_is_not_overwritten(here):
    """
    A file of that name is left as it is, and the answer names another way.
    """
    (here / "explore.ipynb").write_text("mine")
    refused = said("notebook", "explore")
    assert (refused.code, refused.err) == (
        1,
        "sdxl-lab: explore.ipynb is there already, and may be yours; name another folder: sdxl-lab notebook explore FOLDER\n",
    )
    assert (here / "explore.ipynb").read_text() == "mine"


def test_an_unknown_name_is_answered_with_the_names(here):
    """
    A name that nothing has is answered in one line with all that can be copied.
    """
    refused = said("notebook", "inpainting")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert all(name in refused.err for name in ("'inpainting'", *examples.examples()))
    assert not list(here.iterdir())

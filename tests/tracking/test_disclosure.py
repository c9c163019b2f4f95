from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from sdxl_lab.tracking.disclosure import public_notebook, without_paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("saved /home/ann/lab/run.py now", "saved …/run.py now"),
        ('File "/opt/venv/lib/python3.11/site.py", line 3', 'File "…/site.py", line 3'),
        ("C:\\Users\\ann\\lab\\run.py", "…/run.py"),
        ("file:///home/ann/a.png", "…/a.png"),
        ("\x1b[32m/home/ann/lab/cell.py\x1b[39m", "\x1b[32m…/cell.py\x1b[39m"),
        ("PosixPath('/home/ann/x')", "PosixPath('…/x')"),
        ("path=/home/ann/my.png,/srv/data/b.png", "path=…/my.png,…/b.png"),
    ],
)
def test_absolute_paths_keep_their_last_part(text, expected):
    """
    Paths of every system are cut down to a file's name.
    """
    assert without_paths(text) == expected


@pytest.mark.parametrize(
    "text",
    ["https://example.org/a/b/c", "images/octopus/inpaint.png", "3/4 and 5 / 6", "<b>bold</b><br/>", "half//floor", "// comment", "a red bird"],
)
def test_other_text_stays_as_it_is(text):
    """
    Web addresses, relative paths, fractions, markup and words are not touched.
    """
    assert without_paths(text) == text


def test_the_machine_has_no_name(monkeypatch):
    """
    Home folder and host name are taken out, wherever they stand.
    """
    monkeypatch.setattr(platform, "node", lambda: "annas-laptop.local")
    monkeypatch.setenv("HOME", "/Users/ann b")
    assert without_paths("on annas-laptop: ~ is /Users/ann b") == "on …: ~ is …"
    assert "ann" not in without_paths("/Users/ann b/lab/run.py on annas-laptop.local")


def test_a_file_that_is_no_notebook_is_refused():
    """
    Other JSON, and no JSON at all, raise ValueError.
    """
    for content in (b"", b"[]", b'{"cells": 3}'):
        with pytest.raises(ValueError, match=r".+"):
            public_notebook(content)


def test_the_built_in_notebook_stays_a_notebook():
    """
    The copy of a notebook has the same cells, and nbformat accepts it.
    """
    import nbformat

    path = Path(__file__).parents[2] / "notebooks" / "inpaint_outpaint.ipynb"
    copy = json.loads(public_notebook(path.read_bytes()))
    nbformat.validate(copy)
    assert [cell["source"] for cell in copy["cells"]] == [cell["source"] for cell in json.loads(path.read_text("utf-8"))["cells"]]

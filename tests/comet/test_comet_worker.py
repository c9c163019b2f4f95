"""Processes in which the SDK works."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sdxl_lab.comet.worker import FOLDER


@pytest.mark.parametrize(("name", "stays"), [(f"{FOLDER}x", False), ("users", True)])
def test_only_a_worker_removes_its_folder_when_it_leaves(tmp_path, name, stays):
    """
    The folder around a worker's home goes with it; around anybody else's home nothing is touched.
    """
    home = tmp_path / name / "home"
    home.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", "from sdxl_lab.comet.worker import leave; leave()"], env=os.environ | {"HOME": str(home)}, check=True)
    assert home.exists() == stays

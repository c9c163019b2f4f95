"""The workflow that publishes a release, as far as it can be looked at without publishing one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.run_folders import ROOT

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
JOBS: dict[str, Any] = WORKFLOW["jobs"]


def test_nothing_is_published_until_a_maintainer_asks_for_it():
    """
    The workflow answers tags alone, and each of its jobs waits for the variable, itself or by a job before it.
    """
    assert WORKFLOW[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as true
    gated = {name for name, job in JOBS.items() if job.get("if") == "vars.PUBLISH == 'true'"}
    assert gated
    assert all(name in gated or job["needs"] in gated for name, job in JOBS.items())


def test_no_secret_is_kept_and_only_publishing_may_prove_who_it_is():
    """
    The workflow names no secret, reads the repository and no more, and only the job that publishes may ask for a token of identity.
    """
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert "secrets." not in text
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert {name: job["permissions"] for name, job in JOBS.items() if "permissions" in job} == {"publish": {"id-token": "write"}}


@pytest.mark.parametrize(("tag", "is_it"), [("the version", True), ("v0.0.0", False)])
def test_a_tag_that_is_not_the_version_stops_it(tag, is_it):
    """
    The first command of the workflow fails unless the tag is `v` and the version of the package.
    """
    [command] = [step["run"] for step in JOBS["build"]["steps"] if step.get("name") == "The tag is the version"]
    version = re.search(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text())
    assert version
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    name = f"v{version[1]}" if is_it else tag
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, env={"GITHUB_REF_NAME": name, "PATH": path}, check=False)
    assert (ended.returncode == 0) == is_it

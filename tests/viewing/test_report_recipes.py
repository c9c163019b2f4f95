"""Recipes: what a report says of how each of its pictures is made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from sdxl_lab.records.folder import RunFolder
from sdxl_lab.records.session import SessionFolder
from sdxl_lab.settings.arguments import read_file
from sdxl_lab.viewing.onward import parameters_of
from sdxl_lab.viewing.report import write_report
from tests.support import report_runs, sessions

WORDS = (
    ("octopus", "inpaint", report_runs.HOSTILE, -732),
    ("יונה", "outpaint", "אב 🐙 \x85 \u2028 \x7f: yes # no", 2**63 + 1),
)


def pictures(runs: list[RunFolder | SessionFolder], path: Path) -> list[dict[str, Any]]:
    """The pictures of a report, as its page holds them."""
    page = write_report(runs, path).read_text("utf-8")
    return json.loads(page.partition('id="data">')[2].partition("</script>")[0])["pictures"]


def test_a_recipe_is_what_continues_from_the_picture(tmp_path):
    """
    Read by `-f`, and by YAML 1.1 as papermill does, it is what `show --as-parameters` says of the PNG, whatever the words, without a path of here.
    """
    run = report_runs.recorded(report_runs.planned(tmp_path / "runs", 1e-05, 10, 0.8, WORDS), side_px=32)
    recorded = {picture.sha256: picture.image for picture in run.pictures()}
    found = pictures([run], tmp_path / "report.html")
    assert len(found) == len(WORDS)
    for number, picture in enumerate(found):
        file = tmp_path / f"{number}.yaml"
        file.write_text(picture["parameters"], "utf-8")
        expected = parameters_of(recorded[picture["sha256"]])
        assert read_file(file) == expected
        assert yaml.safe_load(picture["parameters"]) == expected
        assert str(tmp_path) not in picture["parameters"]
        with Image.open(recorded[picture["sha256"]]) as image:
            assert picture["infotext"] == image.info["parameters"]


def test_what_a_session_was_given_is_said_in_its_recipe(tmp_path):
    """
    A recipe of a picture whose input no dataset has names the command that makes one, and reads as parameters all the same.
    """
    session = sessions.begun(tmp_path)
    kept = sessions.add(session, seed=3)
    [picture] = pictures([session], session.report_file)
    first = picture["parameters"].partition("\n")[0]
    assert first.startswith("# ")
    assert f"sdxl-lab show {session.path.name}/images/{kept.recorded.image.name} --as-parameters" in first
    (tmp_path / "copied.yaml").write_text(picture["parameters"], "utf-8")
    assert read_file(tmp_path / "copied.yaml")["hyperparameters"] == {"prompt": kept.recorded.prompt, "seed": 3}

"""The report of a sweep."""

from __future__ import annotations

from pathlib import Path

from sdxl_lab.runs import resolution
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.sweeps.report import Ahead, report
from sdxl_lab.sweeps.sweep_file import SweepFile
from sdxl_lab.viewing.report.files import Gallery
from tests.support import report_runs
from tests.viewing.test_report import values_of


def setup_module() -> None:
    """
    What takes seconds to import.
    """
    global plan
    from sdxl_lab.sweeps.planner import plan


def test_a_sweeps_report_tells_what_is_made_failed_or_missing(tmp_path):
    """
    Of three points, one recorded, one failed before it had a folder, one never begun, the report beside the runs shows each as what it is.
    """
    content = {
        "name": "warm-days",
        "parameters": {"samples": ["red-circle"], "tasks": ["inpaint"], "tracking": "off", "runs_folder": str(tmp_path / "three")},
        "grid": {"hyperparameters.denoising.num_inference_steps": [3, 5, 7]},
    }
    planned = plan(SweepFile.from_dict(content))
    made, failed, _ = planned.runs
    report_runs.recorded(resolution.resolve(RunSpec.from_parameters(**made.parameters)).spec)
    path = report(planned, {failed.label: "it was too warm"})
    assert path == tmp_path / "three" / "report.html"
    values = values_of(path)
    [axis] = [axis for axis in values["axes"] if axis["name"] == "num_inference_steps"]
    found = {axis["values"][item["at"][values["axes"].index(axis)]]: (item["state"], item.get("message")) for item in values["pictures"]}
    steps = [run.parameters["hyperparameters"]["denoising"]["num_inference_steps"] for run in planned.runs]
    assert [found[step] for step in steps] == [("done", None), ("failed", "it was too warm"), ("missing", None)]
    assert values["title"] == "warm-days"


def test_a_report_begun_ahead_is_the_same_to_the_byte(tmp_path, monkeypatch):
    """
    Pictures are taken in as their runs are done; at the end none is encoded again but one changed since, and of one lost nothing is left.
    """
    content = {
        "name": "ahead",
        "parameters": {"samples": ["red-circle"], "tasks": ["inpaint"], "tracking": "off", "runs_folder": str(tmp_path / "ahead")},
        "grid": {"hyperparameters.denoising.num_inference_steps": [3, 5]},
    }
    planned = plan(SweepFile.from_dict(content))
    ahead, encoded = Ahead(planned), []
    for item in planned.runs:
        assert not ahead.go_on()
        report_runs.recorded(resolution.resolve(RunSpec.from_parameters(**item.parameters)).spec)
        assert ahead.go_on()
    assert not ahead.go_on()
    alone = report(planned).read_bytes()
    encode = Gallery._encode
    monkeypatch.setattr(Gallery, "_encode", lambda self, image: encoded.append(image.size) or encode(self, image))
    assert report(planned, ahead=ahead).read_bytes() == alone
    assert encoded == []
    changed, lost = (Path(planned.runs[index].folder, "images", "red-circle", name) for index, name in ((0, "inpaint-mask.png"), (1, "inpaint.png")))
    changed.write_bytes(changed.with_name("input.png").read_bytes())
    lost.unlink()
    assert report(planned, ahead=ahead).read_bytes() == report(planned).read_bytes() != alone

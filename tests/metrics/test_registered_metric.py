"""A metric that is registered from outside is found wherever pictures have numbers, and no other change is needed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from sdxl_lab.metrics import METRICS, Metric
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.runs.experiment import finish, run
from sdxl_lab.runs.resolution import resolve
from sdxl_lab.spec.run_spec import RunSpec
from sdxl_lab.tracking.projection import project
from sdxl_lab.viewing.compare import CompareError, compare, print_comparison, write_csv
from sdxl_lab.viewing.report import write_report
from tests.support.datasets import write_dataset

MEAN_LEVEL = Metric(
    name="mean_level",
    of=lambda made, _: float(np.asarray(made.image).mean()),
    sentence="The mean of all levels, of 255.",
    unit="levels",
    better="higher",
    telling=0,
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, random_pair) -> Iterator[list[RunFolder]]:
    """Two finished runs of one picture each, made while the metric is registered, as it still is."""
    folder = tmp_path_factory.mktemp("registered")
    dataset = write_dataset(folder / "scenes", count=1)
    given = {"dataset": str(dataset), "checkpoint": str(random_pair), "tasks": ["inpaint"], "tracking": "off", "runs_folder": str(folder / "runs")}
    folders = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, MEAN_LEVEL.name, MEAN_LEVEL)
        for name, guidance in (("weak", 1.0), ("strong", 9.0)):
            denoising = {"num_inference_steps": 2, "guidance_scale": guidance}
            resolved = resolve(RunSpec.from_parameters(name=name, hyperparameters={"denoising": denoising}, **given))
            run(resolved)
            finish(resolved)
            folders.append(resolved.folder)
        yield folders


def test_records_hold_its_number_after_those_of_the_others(runs):
    """
    A line of images.jsonl has the number that Pillow's pixels have, after the metrics that were there before.
    """
    for folder in runs:
        recorded = json.loads((folder.path / "images.jsonl").read_text())
        names = list(recorded["metrics"])
        assert recorded["metrics"]["mean_level"] == np.asarray(Image.open(folder.path / recorded["image"])).mean()
        assert names[: names.index("mean_level") + 1] == [name for name in METRICS if name in names]


def test_comparisons_show_judge_and_name_it(runs, tmp_path):
    """
    It is the first of what is printed, higher is better, and a column of the table; asked for by another name, it is what was meant.
    """
    compared = compare(runs)
    printed = io.StringIO()
    print_comparison(compared, console=Console(width=100, file=printed))
    weak, strong = map(recorded, runs)
    titles = [line for line in printed.getvalue().splitlines() if " is better" in line]
    assert titles[0] == "mean_level, higher is better"
    assert compared.table()["mean_level_difference"].tolist()[1] == strong - weak
    assert "mean_level_difference" in write_csv(compared, tmp_path / "compared.csv").read_text().partition("\n")[0]
    with pytest.raises(CompareError, match=r"they have .*mean_level.* Did you mean mean_level\?"):
        compare(runs, metrics=["mean_levels"])


def test_reports_show_it(runs, tmp_path):
    """
    The report has it among the metrics that are shown first, with its words, and each picture's number.
    """
    page = write_report(runs, tmp_path / "report.html").read_text()
    content = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    words = {"name": "mean_level", "unit": "levels", "better": "higher", "sentence": "The mean of all levels, of 255.", "first": True}
    assert content["metrics"][0] == words
    assert [picture["metrics"]["mean_level"] for picture in content["pictures"]] == [recorded(folder) for folder in runs]


def test_comet_gets_it(runs, tmp_path):
    """
    The experiment of a run holds it, under its task and the sample's step.
    """
    for folder in runs:
        assert project(folder, tmp_path).metrics["inpaint/mean_level", 0] == recorded(folder)


def recorded(folder: RunFolder) -> float:
    """The number in a run's only line."""
    return json.loads((folder.path / "images.jsonl").read_text())["metrics"]["mean_level"]

"""What each of Comet's panels is given, by the unmodified SDK against the stand-in: as the SDK's own calls for it, once, and read back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from PIL import Image, ImageChops

from sdxl_lab.images.masks import dilate
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.tracking import confirmed, of_run, sender
from sdxl_lab.tracking.experiment import File, Projection, file_of, mark_of
from sdxl_lab.tracking.holdings import Held, Holdings, lacking
from sdxl_lab.tracking.projection import project
from sdxl_lab.tracking.tracker import end
from sdxl_lab.viewing.before_after import SIDE_PX, before_after, outlined
from tests.support.comet_backend.state import Asset, Logged
from tests.support.comet_runs import only, told
from tests.support.comet_server import Backend
from tests.support.comet_server import backend as backend
from tests.support.run_folders import complete
from tests.support.runs import resolved_run
from tests.tracking.test_comet_live import write_notebook

pytestmark = pytest.mark.timeout(600)

OWN_CALLS = """
import sys
import comet_ml
folder = sys.argv[1]
experiment = comet_ml.start(mode="create", experiment_config=comet_ml.ExperimentConfig(log_code=False, log_env_details=False, parse_args=False))
experiment.log_html(open(f"{folder}/report.html").read(), clear=True)
experiment.log_notebook(f"{folder}/executed.ipynb")
experiment.log_table(f"{folder}/prompts.csv")
experiment.log_code(f"{folder}/executed.py", code_name="executed.py")
experiment.log_curve("steps", x=[1, 2], y=[3.0, 4.5])
experiment.end()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of three pictures, done, laid out and with its notebook, that Comet knows nothing of."""
    run = complete(resolved_run(tmp_path / "runs" / "panels", tracking="off"))
    end(run)
    write_notebook(run, "x = 1")
    return run


def sent(backend: Backend, since: int = 0) -> dict[str, tuple[str, dict[str, str]]]:
    """Path and query of what brought HTML, notebooks, tables, code and curves, by name, without what is drawn anew each time."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for method, target, body in backend.received[since:]:
        parts = urlsplit(target)
        if parts.path.endswith("write/experiment/html"):
            fields = json.loads(body)
            found["html"] = (f"{method} {parts.path}", {"override": str(fields["override"])})
        if parts.path.endswith("asset/upload"):
            query = {name: value for name, value in parse_qsl(parts.query) if name not in ("experimentId", "assetId", "apiKey", "projectId", "runId")}
            found[query["fileName"]] = (f"{method} {parts.path}", query)
    return found


def test_panels_are_given_what_the_sdks_own_calls_give_them(backend, run, monkeypatch, tmp_path):
    """
    HTML panel, Notebook tab, table and code arrive in requests like those of log_html, log_notebook, log_table and log_code.
    """
    monkeypatch.setenv("COMET_AUTO_LOG_CODE", "1")
    sender.push(run)
    ours = sent(backend)
    (tmp_path / "own").mkdir()
    for name in ("report.html", "executed.ipynb", "prompts.csv"):
        shutil.copy(run.path / name, tmp_path / "own" / name)
    (tmp_path / "own" / "executed.py").write_text("x = 1\n")
    before = len(backend.received)
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", OWN_CALLS, str(tmp_path / "own")], env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=300
    )
    theirs = sent(backend, before)
    shared = ours.keys() & theirs.keys()
    assert shared == {"html", "executed.ipynb", "prompts.csv", "executed.py"}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert theirs["executed.ipynb"][1]["type"] == "notebook"
    assert theirs["steps"][1]["type"] == "curve"


def test_the_panels_hold_the_records_files(backend, run):
    """
    The HTML panel shows the report, the Notebook tab the stripped notebook, the Data panel prompts.csv; no code is sent unless it is asked for.
    """
    sender.push(run)
    experiment = only(backend)
    assert experiment.html.startswith(run.report_file.read_text())
    assets = {asset.name: asset for asset in experiment.assets}
    assert {name: asset.type for name, asset in assets.items()} == {"prompts.csv": "asset", "report.html": "asset", "executed.ipynb": "notebook"}
    assert assets["prompts.csv"].content == run.prompts_file.read_bytes()
    assert [cell["source"] for cell in json.loads(assets["executed.ipynb"].content)["cells"]] == ["x = 1"]
    assert confirmed.standing(run).is_whole


def test_a_page_that_is_replaced_is_shown_alone(backend, run):
    """
    Of a report that has changed the panel shows the new one and not the old, and a push after that sends nothing.
    """
    sender.push(run)
    run.report_file.write_text("<html>another</html>")
    sender.push(run)
    assert only(backend).html.startswith("<html>another</html>")
    assert only(backend).html.count("</html>") == 1
    before = len(backend.requests)
    sender.push(run)
    assert {method for method, _ in backend.requests[before:]} == {"GET"}


@pytest.mark.slow
def test_a_local_dataset_has_a_lineage_where_it_is_asked_for(backend, run, tmp_path, monkeypatch):
    """
    Runs over one local dataset consume one version of an artifact, which holds the digest and no content; unless asked for there is none.
    """
    sender.push(run)
    assert backend.artifacts == {}
    monkeypatch.setenv("COMET_AUTO_LOG_DATASETS", "1")
    for name in ("one", "other"):
        sender.push(RunFolder(shutil.copytree(run.path, tmp_path / name, ignore=shutil.ignore_patterns("comet"))))
    [artifact] = backend.artifacts.values()
    [version] = artifact.versions
    label = artifact.label(version)
    assert artifact.name == "local-pocket-scenes-1"
    assert [(asset.link, asset.content) for asset in version.assets] == [(f"sha256:{'d' * 64}", b"")]
    assert [experiment.inputs for experiment in backend.experiments.values()] == [[], [label], [label]]
    assert (version.state, json.loads(version.metadata or "{}")) == ("CLOSED", {"sha256": "d" * 64})


@pytest.mark.slow
@pytest.mark.parametrize("path", ["write/experiment/html", "executed.ipynb"])
def test_what_a_panel_lacks_is_noticed(path, backend, run, monkeypatch):
    """
    Where Comet loses the page or the notebook, the push says so, and the next one brings it.
    """
    monkeypatch.setattr(sender, "PAUSES_S", ())
    backend.fail(path, status=500)
    with pytest.raises(Exception, match="is not all in Comet"):
        sender.push(run)
    backend.clear()
    sender.push(run)
    assert only(backend).html
    assert "notebook" in [asset.type for asset in only(backend).assets]


def as_an_earlier_version_left_it(backend: Backend, run: RunFolder) -> dict[str, Any]:
    """
    Part of what projection 2 said of a run: parameters by task, the notebook as an asset, one picture of three.
    """
    experiment = only(backend)
    experiment.logged_parameters = {
        name: Logged("7.5", None, 0) for name in ("inpaint|denoising|guidance_scale", "outpaint|prompts_sha256", "dtype", "mine")
    }
    experiment.points, experiment.html = [], ""
    experiment.images = [image for image in experiment.images if image.step == 0 and not image.name.startswith("before-after")]
    notebook = next(asset for asset in experiment.assets if asset.name == "executed.ipynb")
    old = Asset(name="executed.ipynb", content=notebook.content, metadata={"file_sha256": notebook.sha256})
    experiment.assets = [old, Asset(name="executed.ipynb", content=b"a visitor's")]
    path = run.comet_folder / "confirmed.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"projection": 2, "state": "of two pictures"}))
    return {image.name: image.id for image in experiment.images}


def test_a_run_sent_in_part_by_an_earlier_version_is_brought_up_to_this_one(backend, run):
    """
    What it has is not sent again, what it lacks is added, and the keys and the notebook by which the earlier version told the same are gone.
    """
    sender.push(run)
    whole = told(only(backend))
    kept = as_an_earlier_version_left_it(backend, run)
    sender.push(run)
    experiment = only(backend)
    del experiment.logged_parameters["mine"]
    assert {image.name: image.id for image in experiment.images if image.step == 0}.items() >= kept.items()
    experiment.assets = [asset for asset in experiment.assets if asset.content != b"a visitor's"]
    assert told(experiment) == whole


@pytest.mark.slow
def test_a_server_that_keeps_old_parameters_is_left_with_them(backend, run):
    """
    Where parameters cannot be taken away, all else is brought there, and the run counts as whole.
    """
    sender.push(run)
    as_an_earlier_version_left_it(backend, run)
    backend.fail("parameters/delete", status=400)
    sender.push(run)
    assert confirmed.standing(run).is_whole
    assert {"inpaint|denoising|guidance_scale", "denoising|guidance_scale"} <= only(backend).parameters.keys()


def test_a_sheet_of_other_bytes_is_the_same_sheet(backend, run, tmp_path, monkeypatch):
    """
    A picture before and after that another version of Pillow drew is not sent again; one that is to look otherwise is another one.
    """
    sender.push(run)
    sheets = [image for image in only(backend).images if image.name.startswith("before-after")]
    assert {(image.name, image.step) for image in sheets} == {
        ("before-after-inpaint", 0), ("before-after-outpaint", 0), ("before-after-inpaint", 1),
    }  # fmt: skip
    for sheet in sheets:
        sheet.content += b"drawn otherwise"
    (run.comet_folder / "confirmed.json").unlink()
    requests = len(backend.requests)
    sender.push(run)
    assert {method for method, _ in backend.requests[requests:]} == {"GET"}
    assert len({sheet.sha256 for sheet in project(run, tmp_path).images if sheet.make}) == len(sheets)
    monkeypatch.setattr(of_run, "LAYOUT", 0)
    assert len(lacking(project(run, tmp_path), Holdings()).images) == len(only(backend).images)
    assert len({sheet.sha256 for sheet in project(run, tmp_path).images if sheet.make} & {(one.metadata or {})["file_sha256"] for one in sheets}) == 0


def test_a_sheet_shows_the_picture_beside_its_input(run):
    """
    The result is on the right as it is, the input on the left as it is but for the outline, and a file that cannot be read leaves a gray field.
    """
    picture = run.pictures()[0]
    sheet = before_after(picture, ["octopus", "a red octopus"])
    with Image.open(picture.image) as result:
        shown = result.convert("RGB").resize((SIDE_PX, round(SIDE_PX * result.height / result.width)), Image.Resampling.NEAREST)
    margin = sheet.width - 2 * SIDE_PX
    right = sheet.width - SIDE_PX - margin // 3
    top = sheet.height - shown.height - margin // 3
    assert ImageChops.difference(sheet.crop((right, top, right + shown.width, top + shown.height)), shown).getbbox() is None
    picture.input_image.write_bytes(b"lost")
    lost = before_after(picture, [])
    assert lost.getpixel((margin // 3 + 5, lost.height - margin // 3 - 5)) == (211, 211, 211)


def test_an_outline_lies_around_the_mask():
    """
    Only pixels near the border of the white region are drawn on, on both sides of it.
    """
    mask = Image.new("L", (300, 200))
    mask.paste(255, (100, 50, 200, 150))
    drawn = outlined(Image.new("RGB", mask.size, (9, 99, 199)), mask)
    changed = ImageChops.difference(drawn, Image.new("RGB", mask.size, (9, 99, 199))).convert("L").point([0] + [255] * 255)
    inner = ImageChops.invert(dilate(ImageChops.invert(mask), 9))
    assert ImageChops.subtract(changed, dilate(mask, 9)).getbbox() is None
    assert ImageChops.multiply(changed, inner).getbbox() is None
    assert [drawn.getpixel(place) for place in ((100, 100), (99, 100))] == [(255, 230, 0), (255, 230, 0)]


def lone(**kinds: Any) -> Projection:
    """An experiment of nothing but some files."""
    nothing: dict[str, Any] = {"key": "0" * 32, "name": "n", "tags": (), "parameters": {}, "others": {}, "metrics": {}, "images": (), "assets": ()}
    return Projection(**nothing | kinds)


def test_a_curve_is_known_by_its_digest(tmp_path):
    """
    A curve is sent where none of its name has its digest, and replaces an earlier one; an asset of that name is something else.
    """
    path = tmp_path / "curve.json"
    path.write_text(json.dumps({"name": "steps", "x": [1, 2], "y": [3.0, 4.5]}))
    curve: File = file_of("steps", None, path)
    wanted = lone(curves=(curve,))

    def held(id: str, kind: str, sha256: str) -> Held:
        return Held(id=id, kind=kind, name="steps", step=None, size_bytes=path.stat().st_size, sha256=sha256)

    here = Holdings(others={"Name": "n"}, files=(held("old", "curve", "0" * 64), held("asset", "asset", curve.sha256)))
    assert lacking(wanted, here).curves == (curve,)
    both = Holdings(others={"Name": "n"}, files=(held("old", "curve", "0" * 64), held("new", "curve", curve.sha256)))
    assert (lacking(wanted, both).curves, lacking(wanted, both).surplus) == ((), ("old",))


def test_a_page_is_known_by_the_digest_at_its_end(tmp_path):
    """
    The panel's page is that of the record if it ends with its digest, whatever stands before.
    """
    path = tmp_path / "report.html"
    path.write_text("<html></html>")
    page = file_of("report.html", None, path)
    assert lacking(lone(html=page), Holdings(others={"Name": "n"}, html="<html></html>")).html == (page,)
    assert len(lacking(lone(html=page), Holdings(others={"Name": "n"}, html=f"<p>mine</p><html></html>{mark_of(page)}"))) == 0


def test_a_page_that_is_too_large_is_no_panel(run, tmp_path, monkeypatch):
    """
    A report beyond the limit is among the assets alone.
    """
    monkeypatch.setattr(of_run, "HTML_LIMIT_BYTES", 10)
    shown = project(run, tmp_path)
    assert shown.html is None
    assert "report.html" in [file.name for file in shown.assets]

"""Reports, as far as they can be judged without a browser."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdxl_lab.cli.looking import report
from sdxl_lab.images.png import digest_of_pixels
from sdxl_lab.records.folder import RunFolder
from sdxl_lab.viewing.report import Missing, ReportError, files, pictures_folder, write_report
from tests.support import report_runs
from tests.support.runs import resolved_run


class Elements(HTMLParser):
    """The elements of a page: (name, attributes, text)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self._is_open = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.found.append((tag, dict(attrs), ""))
        self._is_open = True

    def handle_endtag(self, tag: str) -> None:
        """An element ends; texts between elements are nobody's."""
        self._is_open = False

    def handle_data(self, data: str) -> None:
        """A text, or a part of one."""
        if self._is_open:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)

    def texts(self, tag: str) -> list[str]:
        """The texts of all elements of a name."""
        return [text for name, _, text in self.found if name == tag]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> tuple[list[RunFolder], list[Missing]]:
    """Ten runs, one that failed, one never begun."""
    return report_runs.sweep_of_three(tmp_path_factory.mktemp("runs") / "three")


@pytest.fixture(scope="module")
def page(sweep, tmp_path_factory) -> Path:
    """Their report."""
    runs, missing = sweep
    return write_report(runs, tmp_path_factory.mktemp("reports") / "report.html", missing=missing)


def values_of(path: Path) -> dict[str, Any]:
    """The values that stand in a page."""
    [text] = [text for name, attributes, text in Elements(path.read_text()).found if attributes.get("id") == "data" and name == "script"]
    return json.loads(text)


def shown(path: Path, source: str) -> Image.Image:
    """A picture as the page shows it."""
    if source.startswith("data:"):
        kind, _, content = source.partition(";base64,")
        assert kind == "data:image/webp"
        return Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    return Image.open(path.parent / source)


def policy_of(page: str) -> dict[str, list[str]]:
    """The page's content security policy, by directive."""
    found = [attributes for name, attributes, _ in Elements(page).found if name == "meta" and "http-equiv" in attributes]
    assert len(found) == 1
    return {name: sources for name, *sources in map(str.split, (found[0]["content"] or "").split(";"))}


def test_the_policy_allows_what_the_page_brings_and_nothing_else(page):
    """
    Everything is forbidden but the page's own scripts and style, by their SHA-256, and pictures inside of it; the policy stands before them.
    """
    text = page.read_text()
    allowed, elements = policy_of(text), Elements(text)
    assert allowed["default-src"] == allowed["base-uri"] == allowed["form-action"] == ["'none'"]
    assert allowed["img-src"] == ["data:"]

    def digests(texts: list[str]) -> list[str]:
        return [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]

    scripts = [text for name, attributes, text in elements.found if name == "script" and attributes.get("type") != "application/json"]
    assert allowed["script-src"] == digests(scripts)
    assert allowed["style-src"] == digests(elements.texts("style"))
    assert not any("unsafe" in source for sources in allowed.values() for source in sources)
    names = [name for name, attributes, _ in elements.found if name in ("script", "style", "link", "img") or "http-equiv" in attributes]
    assert names[0] == "meta"


def test_a_report_names_no_other_place(page):
    """
    No element has an address, a style or a handler of its own, and no text of the page, prompts aside, holds one.
    """
    text = page.read_text()
    for name, attributes, _ in Elements(text).found:
        assert not {"src", "href", "srcset", "action", "style", "ping"} & attributes.keys(), name
        assert not any(attribute.startswith("on") for attribute in attributes), name
    parts = [(Path(files.__file__).parent / "report.html").read_text()]
    parts += [part for name, attributes, part in Elements(text).found if name in ("script", "style") and attributes.get("id") != "data"]
    assert len(parts) == 3
    for part in parts:
        assert not re.search(r"\b(https?|wss?|ftp)://|[\"'(]//", part)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|fetch\(|XMLHttp|import\b", part)
    assert str(Path.home()) not in text
    assert str(page.parent) not in text


def test_texts_of_records_are_never_markup(page):
    """
    A prompt that ends the script element stays inside the values, which hold no `<`; a title is escaped where it stands.
    """
    text = page.read_text()
    [content] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert "<" not in content
    assert report_runs.HOSTILE in {values["prompt"] for values in json.loads(content)["settings"]}
    assert len(Elements(text).texts("title")) == 1


def test_a_hostile_title_is_text(sweep, tmp_path):
    """
    A title with markup, or with the name of a part of the page, is shown as it is.
    """
    title = '</title><script>alert(1)</script> {{data}} & "it" \\1'
    path = write_report(sweep[0][:1], tmp_path / "report.html", title=title)
    found = re.findall(r"<(?:title|h1)>(.*?)</(?:title|h1)>", path.read_text(), re.DOTALL)
    assert [html.unescape(text) for text in found] == [title, title]
    assert values_of(path)["title"] == title
    assert policy_of(path.read_text())["default-src"] == ["'none'"]


def test_the_values_are_those_of_the_records(sweep, page):
    """
    Every picture of every run is there once, with its settings, words, metrics and the digest of its pixels, as recorded.
    """
    runs, _ = sweep
    values = values_of(page)
    found = {(values["runs"][item["run"]]["run_id"], *(values["settings"][item["settings"]][name] for name in ("sample", "task"))): item
             for item in values["pictures"]}  # fmt: skip
    assert len(found) == len(values["pictures"]) == 48
    for run in runs:
        edits = {edit.key: edit for edit in run.resolved.edits}
        for picture in run.pictures():
            item = found[run.resolved.run_id, picture.sample, picture.task]
            settings = values["settings"][item["settings"]]
            assert item["state"] == "done"
            assert item["sha256"] == picture.sha256
            assert picture.metrics.items() <= item["metrics"].items()
            assert item["metrics"]["seconds_spent"] == picture.seconds
            assert item["metrics"]["steps"] == picture.base_steps + picture.refiner_steps
            assert settings["prompt"] == picture.prompt
            assert int(settings["seed"]) == picture.seed
            assert settings["denoising.guidance_scale"] == edits[picture.key].settings.denoising.guidance_scale
            for axis, position in zip(values["axes"], item["at"], strict=True):
                expected = run.resolved.spec.name if axis["path"] == "run" else settings[axis["path"]]
                assert axis["values"][position] == expected


def test_whole_numbers_stay_exact(page):
    """
    A seed that a browser would round is written as a text.
    """
    seeds = {values["seed"] for values in values_of(page)["settings"]}
    assert {str(2**63), str(2**63 + 1), -732, 5} == seeds


def test_the_axes_are_what_differs(page):
    """
    The axes are the three settings of the sweep in order of size, sample, task and run; first come the settings with the most values.
    """
    values = values_of(page)
    axes = {axis["path"]: axis["values"] for axis in values["axes"]}
    assert axes.keys() == {"denoising.guidance_scale", "denoising.num_inference_steps", "denoising.high_noise_frac", "sample", "task", "run"}
    assert axes["denoising.guidance_scale"] == [2.0, 5.0, 9.0]
    assert axes["denoising.high_noise_frac"] == [None, 0.8]
    assert len(axes["run"]) == 12
    assert values["x"] == "denoising.guidance_scale"
    assert values["y"] in ("denoising.num_inference_steps", "denoising.high_noise_frac")


def test_what_is_not_there_is_shown_with_its_reason(sweep, page):
    """
    The failed run's first picture is shown, its others are failed with the whole message; the run that was never begun is missing.
    """
    values = values_of(page)
    states: dict[str, list[str]] = {}
    for item in values["pictures"]:
        states.setdefault(values["runs"][item["run"]]["run_id"], []).append(item["state"])
    never, failed = (item.resolved.run_id for item in sorted(sweep[1], key=lambda item: item.message is not None))
    assert states.pop(failed) == ["done", "failed", "failed", "failed"]
    assert states.pop(never) == ["missing"] * 4
    assert {state for found in states.values() for state in found} == {"done"}
    assert {item.get("message") for item in values["pictures"]} == {None, report_runs.WHY}


def test_small_pictures_keep_every_pixel(sweep, page):
    """
    Results, inputs and masks of 128 pixels have, as shown, the SHA-256 under which they stand; equal inputs stand there once.
    """
    values = values_of(page)
    for sha256, source in values["files"].items():
        assert digest_of_pixels(shown(page, source)) == sha256
    named = {item[kind] for item in values["pictures"] for kind in ("sha256", "input", "mask") if item["state"] == "done"}
    assert named == values["files"].keys()
    assert len({item["input"] for item in values["pictures"] if item["state"] == "done"}) == 2


def test_large_pictures_are_scaled_down_and_named_by_the_original(tmp_path):
    """
    A picture of 1024 pixels is shown with 768, close to the original scaled, under the SHA-256 of the original.
    """
    run = report_runs.recorded(report_runs.planned(tmp_path, 2.0, 10, None, report_runs.WORDS[:1]), side_px=1024)
    path = write_report([run], tmp_path / "report.html")
    [picture] = run.pictures()
    image = shown(path, values_of(path)["files"][picture.sha256])
    assert image.size == (768, 768)
    expected = Image.open(picture.image).resize((768, 768), Image.Resampling.LANCZOS)
    difference = [abs(a - b) for a, b in zip(image.convert("RGB").tobytes(), expected.tobytes(), strict=True)]
    assert sum(difference) / len(difference) < 3


def test_the_same_records_give_the_same_bytes(sweep, page, tmp_path):
    """
    Written again, elsewhere, a report is the same to the byte; over itself, its file is not touched.
    """
    runs, missing = sweep
    again = write_report([run.path for run in runs], tmp_path / "again.html", missing=missing, title=values_of(page)["title"])
    assert again.read_bytes() == page.read_bytes()
    before = page.stat().st_mtime_ns
    write_report(runs, page, missing=missing)
    assert page.stat().st_mtime_ns == before


def test_many_pictures_lie_in_a_folder_beside_the_page(sweep, tmp_path):
    """
    Above the limit, pictures are files named by their pixels, which the policy allows; what is no longer shown is removed, and nothing else.
    """
    runs, _ = sweep
    path = tmp_path / "report.html"
    folder = pictures_folder(path)
    write_report(runs, path, most_embedded_bytes=1000)
    values = values_of(path)
    assert sorted(values["files"].values()) == sorted(f"{folder.name}/{file.name}" for file in folder.iterdir())
    assert all(digest_of_pixels(shown(path, source)) == sha256 for sha256, source in values["files"].items())
    assert policy_of(path.read_text())["img-src"] == ["file:", "'self'"]
    (folder / "notes.txt").write_text("mine")
    write_report(runs[:1], path, most_embedded_bytes=1000)
    assert {file.name for file in folder.iterdir()} == {*(Path(source).name for source in values_of(path)["files"].values()), "notes.txt"}
    (folder / "notes.txt").unlink()
    write_report(runs, path)
    assert not folder.exists()


def test_runs_recorded_twice_or_under_one_name_are_told_apart(tmp_path):
    """
    Two folders of one run are shown as one run; two runs of one name have labels of their own.
    """
    here, there = (report_runs.recorded(report_runs.planned(tmp_path / place, 2.0, 10, None)) for place in ("here", "there"))
    one = resolved_run(tmp_path / "named")
    other = resolved_run(tmp_path / "named", denoising={"num_inference_steps": 31, "high_noise_frac": 0.8})
    runs = [here, there, *(report_runs.recorded(resolved, side_px=16) for resolved in (one, other))]
    labels = [run["label"] for run in values_of(write_report(runs, tmp_path / "report.html"))["runs"]]
    assert len(labels) == len(set(labels)) == 3
    assert [label.split()[0] for label in labels[1:]] == ["test", "test"]


def test_runs_that_are_no_grid_stand_side_by_side(tmp_path):
    """
    Where few combinations of the settings that differ were planned, runs are the columns, in the order given, and samples the rows.
    """
    planned = [report_runs.planned(tmp_path, guidance, steps, frac) for guidance, steps, frac in ((9.0, 10, None), (5.0, 30, None), (2.0, 20, 0.8))]
    values = values_of(write_report(map(report_runs.recorded, planned), tmp_path / "report.html"))
    assert (values["x"], values["y"]) == ("run", "sample")
    [runs] = [axis["values"] for axis in values["axes"] if axis["path"] == "run"]
    assert runs == [resolved.spec.name for resolved in planned]


def test_the_title_is_the_name_of_what_is_shown(sweep, tmp_path):
    """
    Wherever the page lies: the folder's that holds the runs, the run's of one alone, and by the command the folder's that was asked for.
    """
    runs = sweep[0]
    assert values_of(write_report(runs, tmp_path / "all.html"))["title"] == "three"
    assert values_of(write_report(runs[:1], tmp_path / "one.html"))["title"] == runs[0].resolved.spec.name
    report_runs.recorded(report_runs.planned(tmp_path / "only", 2.0, 10, None), side_px=16)
    report([tmp_path / "only"], tmp_path / "asked.html")
    assert values_of(tmp_path / "asked.html")["title"] == "only"


def test_metrics_that_differ_between_runs_are_shown_first(tmp_path):
    """
    Of the telling metrics those are shown first that two runs have otherwise for one sample and task; each has its unit, direction and a sentence.
    """
    runs = [report_runs.recorded(report_runs.planned(tmp_path, guidance, 10, None), side_px=16) for guidance in (2.0, 5.0)]
    metrics = {metric["name"]: metric for metric in values_of(write_report(runs, tmp_path / "report.html"))["metrics"]}
    assert [name for name, metric in metrics.items() if metric["first"]] == ["seam_delta_e"]
    assert metrics.keys() >= {"change_outside_max", "ssim_outside", "steps", "peak_memory_bytes"}
    assert (metrics["seam_delta_e"]["unit"], metrics["seam_delta_e"]["better"]) == ("ΔE", "lower")
    assert all(metric["sentence"].endswith(".") for metric in metrics.values())
    alone = values_of(write_report([report_runs.recorded(report_runs.planned(tmp_path, 2.0, 30, None), side_px=16)], tmp_path / "alone.html"))
    assert [metric["name"] for metric in alone["metrics"] if metric["first"]] == ["seam_delta_e", "steps"]


def test_a_report_of_nothing_is_refused(tmp_path):
    """
    Without a run there is one error, and no file.
    """
    with pytest.raises(ReportError, match="no run"):
        write_report([], tmp_path / "report.html")
    assert not list(tmp_path.iterdir())

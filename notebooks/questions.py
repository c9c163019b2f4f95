"""Answers what `questions.yaml` and `holes.yaml` ask: compares their runs, and puts tables, a plot and pictures into the page of the study.

Use: make questions      (or, once a sweep is run: python notebooks/questions.py questions, or holes)

A difference is paired by scene and seed with the run in which nothing was asked about, and its interval resamples scenes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

from sdxl_lab import Comparison, Row, RunFolder, compare, contact_sheet, find_runs, home

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
STUDY = DOCS / "study.md"
METRICS = {
    ("colour_as_asked", "inpaint"): "color as asked, inpaint",
    ("seam_delta_e", "inpaint"): "seam ΔE, inpaint",
    ("seam_delta_e", "outpaint"): "seam ΔE, outpaint",
    ("sharpness_inside", "inpaint"): "sharpness, inpaint",
    ("sharpness_inside", "outpaint"): "sharpness, outpaint",
}
SHOWN = ("02-cyan-diamond", "09-red-star", "18-red-circle")
"""Scenes to look at: a large object, a middle one and a small one, chosen before there were pictures of them."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the questions are about."""

    high_noise_frac: float | None = None
    inpaint_kernel: int = 17
    outpaint_kernel: int = 3
    guidance_scale: float = 7.5
    num_inference_steps: int = 30
    fill: str = "original"
    color_match: str | None = None
    blend: str = "alpha"

    @classmethod
    def of(cls, run: RunFolder) -> Settings:
        """Those of a run."""
        settings = {edit.task: edit.settings for edit in run.resolved.edits}
        denoising, mask = settings["inpaint"].denoising, settings["inpaint"].mask
        return cls(
            high_noise_frac=denoising.high_noise_frac,
            inpaint_kernel=mask.kernel_size,
            outpaint_kernel=settings["outpaint"].mask.kernel_size,
            guidance_scale=denoising.guidance_scale,
            num_inference_steps=denoising.num_inference_steps,
            fill=mask.fill,
            color_match=mask.color_match,
            blend=mask.blend,
        )


Questions = Mapping[str, tuple[str, Sequence[Settings]]]
QUESTIONS: Questions = {
    "refiner from": ("high_noise_frac", [Settings(high_noise_frac=frac) for frac in (None, 0.8)]),
    "object's mask dilated, px": ("inpaint_kernel", [Settings(inpaint_kernel=kernel) for kernel in (1, 9, 17, 33)]),
    "background's mask dilated, px": ("outpaint_kernel", [Settings(outpaint_kernel=kernel) for kernel in (1, 3, 5, 7)]),
    "guidance": ("guidance_scale", [Settings(guidance_scale=scale) for scale in (1, 3, 5, 7.5, 12)]),
    "steps": ("num_inference_steps", [Settings(num_inference_steps=steps) for steps in (5, 10, 20, 30, 50)]),
}
FILLS = ("original", "neutral", "blur", "telea", "navier_stokes", "noise")
HOLES: Questions = {
    "mask filled with": ("fill", [Settings(fill=fill) for fill in FILLS]),
    "colors matched": ("color_match", [Settings(color_match=match) for match in (None, "ring")]),
    "blend": ("blend", [Settings(blend=blend) for blend in ("alpha", "poisson")]),
}
ASKED = {"questions": QUESTIONS, "holes": HOLES}
"""What each sweep asks, by its name."""


def table_in(sweep: str) -> re.Pattern[str]:
    """Where the page has a sweep's table."""
    of = "" if sweep == "questions" else f" of {sweep}"
    return re.compile(rf"(?<=<!-- answers{of} -->\n).*?(?=<!-- end of answers{of} -->)", re.DOTALL)


def tasks(question: str) -> tuple[str, ...]:
    """The tasks that a question is about: the mask of one is no matter of the other."""
    return {"object's mask dilated, px": ("inpaint",), "background's mask dilated, px": ("outpaint",)}.get(question, ("inpaint", "outpaint"))


def label(field: str, settings: Settings) -> str:
    """A setting's value as the question puts it: a kernel by how far it grows the mask."""
    value = getattr(settings, field)
    if "kernel" in field:
        return str((value - 1) // 2)
    return "none" if value is None else f"{value:g}" if isinstance(value, float | int) else value


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a sweep asks, its runs, and their comparison for each task."""

    questions: Questions
    runs: Mapping[Settings, RunFolder]
    compared: Mapping[str, Comparison]

    @classmethod
    def read(cls, sweep: str) -> Answers:
        """Read the records of a sweep."""
        # A sweep counts what another has recorded, such as the reference, as done.
        folders = [home() / "artifacts" / "runs" / name for name in ASKED]
        done = {Settings.of(run): run for folder in folders if folder.exists() for run in find_runs(folder) if run.is_done}
        wanted = {settings for _, values in ASKED[sweep].values() for settings in values}
        if missing := wanted - done.keys():
            raise SystemExit(f"{len(missing)} of {len(wanted)} runs are not made yet; make them with: sdxl-lab sweep notebooks/{sweep}.yaml")
        runs = {settings: run for settings, run in done.items() if settings in wanted}
        reference = runs[Settings()]
        metrics = list(dict.fromkeys(metric for metric, _ in METRICS))
        compared = {
            task: compare(list(runs.values()), reference=reference, task=task, metrics=metrics[task == "outpaint" :])
            for task in ("inpaint", "outpaint")
        }
        return cls(questions=ASKED[sweep], runs=runs, compared=compared)

    def row(self, task: str, settings: Settings) -> Row:
        """The row of a comparison that holds a run."""
        folder = self.runs[settings].path
        return next(row for row in self.compared[task].rows if any(run.path == folder for run in row.runs))

    def cell(self, metric: str, task: str, settings: Settings) -> str:
        """A difference with its interval, in bold where it is one; for the reference the mean."""
        comparison, row = self.compared[task], self.row(task, settings)
        mean, difference = comparison.mean(row, metric), comparison.difference(row, metric)
        assert mean is not None
        if difference is None:
            return f"{mean.mean:.2f}"
        if difference.low is None or difference.high is None:
            return "the same"
        text = f"{difference.mean:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})"
        return text if difference.low <= 0 <= difference.high else f"**{text}**"


def table(answers: Answers) -> str:
    """All differences, as a Markdown table."""
    lines = ["| | | " + " | ".join(METRICS.values()) + " |", "|" + "---|" * (len(METRICS) + 2)]
    for question, (field, values) in answers.questions.items():
        for settings in values:
            cells = [answers.cell(metric, task, settings) if task in tasks(question) else "" for metric, task in METRICS]
            lines.append(f"| {question} | {label(field, settings)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(answers: Answers, path: Path) -> None:
    """Draw every difference with its interval: a column a question, a row a metric."""
    metrics = {"colour_as_asked": "color as asked", "seam_delta_e": "seam ΔE", "sharpness_inside": "sharpness"}
    figure, grid = plt.subplots(len(metrics), len(answers.questions), figsize=(13, 6.6), sharey="row", sharex="col", layout="constrained")
    for across, (question, (field, values)) in enumerate(answers.questions.items()):
        for down, metric in enumerate(metrics):
            axes: Axes = grid[down][across]
            if metric == "colour_as_asked" and "inpaint" not in tasks(question):
                axes.set_axis_off()  # only inpainting is asked for a color
                continue
            axes.axhline(0, color="0.6", linewidth=0.8)
            for task, color, shift in (("inpaint", "tab:blue", -0.08), ("outpaint", "tab:orange", 0.08)):
                if (metric, task) in METRICS and task in tasks(question):
                    _draw(axes, answers, metric, task, values, color, shift)
            axes.set_xticks(range(len(values)), [label(field, settings) for settings in values])
            axes.margins(x=0.15)
            axes.spines[["top", "right"]].set_visible(False)
            if across == 0:
                axes.set_ylabel(f"{metrics[metric]},\ndifference")
        grid[-1][across].set_xlabel(question)
    handles = [plt.Line2D([], [], color=color, marker="o", label=task) for task, color in (("inpaint", "tab:blue"), ("outpaint", "tab:orange"))]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw(axes: Axes, answers: Answers, metric: str, task: str, values: Sequence[Settings], color: str, shift: float) -> None:
    for place, settings in enumerate(values):
        difference = answers.compared[task].difference(answers.row(task, settings), metric)
        if difference is None or difference.low is None or difference.high is None:
            axes.plot(place + shift, 0, marker="o", color=color, fillstyle="none")
        else:
            axes.plot([place + shift] * 2, [difference.low, difference.high], color=color)
            axes.plot(place + shift, difference.mean, marker="o", color=color)


def pictures(answers: Answers) -> Image.Image:
    """The same scenes for each value of each setting, one block of rows a question."""
    blocks = []
    for question, (field, values) in answers.questions.items():
        task = tasks(question)[0]
        made = [{picture.sample: picture for picture in answers.runs[settings].pictures() if picture.task == task} for settings in values]
        rows = [f"{question}\n{made[0][name].prompt}" for name in SHOWN]
        cells = [[_read(column[name].image) for column in made] for name in SHOWN]
        blocks.append(contact_sheet(rows=rows, columns=[label(field, settings) for settings in values], cells=cells))
    half = (len(blocks) + 1) // 2
    columns = [_stacked(blocks[:half]), _stacked(blocks[half:])]
    sheet = Image.new("RGB", (sum(column.width for column in columns), max(column.height for column in columns)), "white")
    for index, column in enumerate(columns):
        sheet.paste(column, (index * columns[0].width, 0))
    return sheet


def _stacked(blocks: Sequence[Image.Image]) -> Image.Image:
    column = Image.new("RGB", (max(block.width for block in blocks), sum(block.height for block in blocks)), "white")
    for index, block in enumerate(blocks):
        column.paste(block, (0, sum(above.height for above in blocks[:index])))
    return column


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def main(*sweeps: str) -> None:
    """Write the study's answers.

    Args:
        *sweeps: Names of those to write; none for all.
    """
    for sweep in sweeps or ASKED:
        answers = Answers.read(sweep)
        before, after = table_in(sweep).split(STUDY.read_text())
        STUDY.write_text(before + table(answers) + after)
        if sweep == "questions":
            plot(answers, DOCS / "images" / f"{sweep}.png")
        pictures(answers).save(DOCS / "images" / f"{sweep}.webp", quality=90 if sweep == "questions" else 70)
        print(f"written: the table of {sweep} in docs/study.md, and docs/images/{sweep}.*")


if __name__ == "__main__":
    main(*sys.argv[1:])

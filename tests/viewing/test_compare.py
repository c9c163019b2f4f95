"""Comparing runs: what differs, which pictures are pairs, and the numbers in the frames."""

from __future__ import annotations

import inspect
import io
import itertools
import shutil

import numpy as np
import pytest
from rich.console import Console

from sdxl_lab import metrics
from sdxl_lab.records.finding import find_runs
from sdxl_lab.spec.generated import Frame
from sdxl_lab.spec.identities import CheckpointIdentity
from sdxl_lab.viewing.compare import SPENT, CompareError, Comparison, Interval, compare, words_of
from sdxl_lab.viewing.compare.printed import print_comparison
from tests.support.compare_runs import SAMPLES, planned, recorded, seam

DIFFERENCES = dict(zip(SAMPLES, (0.5, 0.6, 1.5, 0.75, 2.0, 0.125), strict=True))


def worse(sample, task, seed):
    """The same pictures with a seam that shows more, by another amount for each sample."""
    return {"seam_delta_e": seam(sample, task, seed)["seam_delta_e"] + DIFFERENCES[sample]}


def difference(compared: Comparison, index: int, metric: str = "seam_delta_e") -> Interval:
    """A row's difference to the reference, where there has to be one."""
    found = compared.difference(compared.rows[index], metric)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run, and one with another guidance whose pictures differ by known numbers."""
    runs = tmp_path_factory.mktemp("runs")
    weak = planned(runs, "weak", {"denoising": {"guidance_scale": 2.0}})
    return [recorded(planned(runs, "base"), seconds=1.0), recorded(weak, worse, seconds=3.0)]


def test_differences_are_those_of_numpy_over_pairs(two):
    """
    The mean difference is numpy's mean of the differences of known numbers, n counts the pairs, and the reference has none.
    """
    compared = compare(two)
    base, weak = compared.rows
    found = difference(compared, 1)
    assert found.mean == pytest.approx(np.mean(list(DIFFERENCES.values())), abs=1e-9)
    assert (found.n, found.samples) == (12, 6)
    assert compared.difference(base, "seam_delta_e") is None
    means = [found.mean for row in (base, weak) if (found := compared.mean(row, "seam_delta_e"))]
    assert means[1] - means[0] == pytest.approx(np.mean(list(DIFFERENCES.values())), abs=1e-9)


def test_a_comparison_prints_as_the_command_does(two):
    """
    In Python `print` gives the table of the command line, 80 columns wide, and the cell's value without it is one short line.
    """
    compared, out = compare(two), io.StringIO()
    print_comparison(compared, console=Console(file=out, width=80, highlight=False))
    assert str(compared) == out.getvalue().strip("\n")
    assert "guidance_scale" in str(compared)
    assert max(map(len, str(compared).splitlines())) <= 80
    assert repr(compared).startswith("<Comparison of 2 rows with base: denoising.guidance_scale differs; ")
    assert len(repr(compared)) < 120


def test_only_what_differs_is_said(two):
    """
    Settings that are alike in all runs are no column; one that differs in both tasks is one column, by its dotted name.
    """
    frame = compare(two).settings()
    assert frame.columns.tolist() == ["denoising.guidance_scale"]
    assert frame["denoising.guidance_scale"].to_dict() == {"base": 7.5, "weak": 2.0}


def test_a_setting_of_one_task_is_named_after_it(tmp_path):
    """
    A setting that differs in one task, or differently in both, is a column for each of these tasks, and loses the task's name where one is asked for.
    """
    runs = [
        recorded(planned(tmp_path, "plain")),
        recorded(planned(tmp_path, "dilated", {"mask": {"kernel_size": 25}, "outpaint": {"mask": {"kernel_size": 5, "feather_px": 2}}})),
    ]
    both, one = compare(runs).settings(), compare(runs, task="outpaint").settings()
    assert both.loc["dilated"].to_dict() == {"inpaint.mask.kernel_size": 25, "outpaint.mask.kernel_size": 5, "outpaint.mask.feather_px": 2}
    assert one.loc["plain"].to_dict() == {"mask.kernel_size": 1, "mask.feather_px": 0}


def test_what_only_tells_samples_apart_is_no_difference(tmp_path):
    """
    A kernel in proportion to each picture differs between samples, not between runs; one given for all is a difference.
    """
    sizes = {sample: (64 * number, 96) for number, sample in enumerate(SAMPLES, 1)}
    refined = {"denoising": {"high_noise_frac": 0.8}}
    runs = [recorded(planned(tmp_path, "base", sizes=sizes)), recorded(planned(tmp_path, "refined", refined, sizes=sizes))]
    assert compare(runs).settings().to_dict() == {"denoising.high_noise_frac": {"base": None, "refined": 0.8}}
    exact = recorded(planned(tmp_path, "exact", {"mask": {"kernel_size": 1}}, sizes=sizes))
    assert compare([runs[0], exact], task="inpaint").settings().loc["exact"].to_dict() == {"mask.kernel_size": 1}


def test_checkpoints_of_one_name_are_told_apart_by_digest(tmp_path):
    """
    Another checkpoint is a column by its name, and by its digest if only that differs; so are dtype and threads.
    """
    retrained = CheckpointIdentity(name="pocket", digest="e" * 64, family="pocket")
    runs = [recorded(planned(tmp_path, "a")), recorded(planned(tmp_path, "b", checkpoint=retrained, threads=2))]
    assert compare(runs).settings().loc["b"].to_dict() == {"checkpoint.digest": "e" * 16, "compute.threads": 2}


def test_prompts_of_the_parameters_differ_from_the_datasets(tmp_path):
    """
    A prompt given for all samples is shown, and the dataset's own, which differ from sample to sample, are counted.
    """
    runs = [recorded(planned(tmp_path, "own")), recorded(planned(tmp_path, "given", prompts=False))]
    assert compare(runs).settings().to_dict() == {"prompt": {"own": "6 values", "given": "a crab"}}


def test_runs_that_differ_in_seeds_alone_are_one_row(tmp_path):
    """
    Three seeds of two settings are two rows of 36 pictures with 36 pairs of 6 samples, unless each run is asked for.
    """
    for seed, guidance in itertools.product((0, 100, 2**63), (7.5, 2.0)):
        settings = {"denoising": {"guidance_scale": guidance}}
        recorded(planned(tmp_path, f"guidance_{guidance:g}-seed_{seed}", settings, seed=seed), worse if guidance == 2 else seam)
    pooled, each = compare([tmp_path]), compare([tmp_path], pool_seeds=False)
    assert [row.name for row in pooled.rows] == ["guidance_scale=2", "guidance_scale=7.5"]
    found = difference(pooled, 1)
    assert (found.n, found.samples, len(pooled.pictures())) == (36, 6, 72)
    assert found.mean == pytest.approx(-np.mean(list(DIFFERENCES.values())), abs=1e-9)
    assert len(each.rows) == 6
    assert set(each.settings().columns) == {"denoising.guidance_scale", "seed"}
    paired = [row.name for row in each.rows if each.difference(row, "seam_delta_e")]
    assert paired == ["guidance_7.5-seed_0"]
    assert "no sample, task and seed is shared with guidance_2-seed_0" in "\n".join(each.notes)


def test_the_order_of_runs_changes_no_pair(tmp_path):
    """
    With the same reference, runs in any order give the same numbers to the last bit.
    """
    runs = [
        recorded(planned(tmp_path, "a")),
        recorded(planned(tmp_path, "b", {"mask": {"feather_px": 1}}), worse),
        recorded(planned(tmp_path, "c", {"mask": {"feather_px": 2}}, samples=SAMPLES[::-1][:5]), worse),
    ]
    first = compare(runs, reference="a").table().drop(columns=["samples"])
    for order in itertools.permutations(runs):
        again = compare(order, reference="a").table().loc[first.index, first.columns]
        assert again.equals(first)


def test_exchanging_run_and_reference_turns_the_differences(two):
    """
    Seen from the other run, the mean difference is its negative, and better is worse.
    """
    one, other = compare(two), compare(two, reference="weak")
    assert difference(one, 1).mean == -difference(other, 0).mean
    assert [one.verdict(one.rows[1], "seam_delta_e"), other.verdict(other.rows[0], "seam_delta_e")] == ["worse", "better"]


def test_the_table_holds_every_number(two):
    """
    The table has a row a run with means, ends and pairs of each metric, and the frame by metric has the same.
    """
    compared = compare(two)
    table, by_metric = compared.table(), compared.by_metric()
    found = difference(compared, 1)
    line = table.loc["weak"]
    ends = ("_difference", "_difference_low", "_difference_high", "_pairs")
    assert [line[f"seam_delta_e{end}"] for end in ends] == [found.mean, found.low, found.high, 12]
    assert [by_metric.loc[("seam_delta_e", "weak"), name] for name in ("difference", "difference_low", "difference_high")] == [
        found.mean,
        found.low,
        found.high,
    ]
    assert table["seconds_spent"].tolist() == [1.0, 3.0]
    assert table[["pictures", "steps", "base_steps", "refiner_steps"]].to_numpy().tolist() == [[12, 30, 24, 6]] * 2
    assert np.isnan(table.loc["base", "seam_delta_e_difference"])
    assert table.loc["base", "seam_delta_e_pairs"] == 0


def test_pictures_have_their_own_differences(two):
    """
    The frame of pictures has each picture's number and its difference to its pair: the known one of its sample.
    """
    frame = compare(two).pictures()
    weak = frame[frame["run"] == "weak"]
    assert len(frame) == 24
    assert weak["seam_delta_e_difference"].to_numpy() == pytest.approx([DIFFERENCES[sample] for sample in weak["sample"]])
    assert np.isnan(frame[frame["run"] == "base"]["seam_delta_e_difference"].to_numpy()).all()


def test_the_furthest_pictures_come_first(two):
    """
    The pictures to look at are those of the samples whose numbers differ most, the reference's first.
    """
    files = list(compare(two).furthest("seam_delta_e", count=2).values())
    assert [file.parent.name for file in files] == ["sponge"] * 4
    assert files[0].is_relative_to(two[0].path)
    assert files[1].is_relative_to(two[1].path)


def test_equal_runs_are_the_same(tmp_path):
    """
    Where every pair is equal the verdict is `same`, and where the interval holds 0 it is `unclear`.
    """

    def turned(sample, task, seed):
        return {"seam_delta_e": seam(sample, task, seed)["seam_delta_e"] + (1 if SAMPLES.index(sample) % 2 else -1)}

    runs = [planned(tmp_path, name, {"mask": {"feather_px": index}}) for index, name in enumerate(("a", "b", "c"))]
    compared = compare([recorded(runs[0]), recorded(runs[1]), recorded(runs[2], turned)])
    assert [compared.verdict(row, "seam_delta_e") for row in compared.rows] == ["", "same", "unclear"]


def test_what_a_picture_costs_are_its_steps(tmp_path):
    """
    Fewer evaluations by base and refiner together are better, exactly and over a single sample too; the mean and the pairs are those counted by hand.
    """
    steps = {"base": (24, 6), "split": (20, 10), "short": (10, 0), "long": (25, 6)}
    runs = [
        recorded(planned(tmp_path, name, {"mask": {"feather_px": index}}, samples=SAMPLES[:1]), base_steps=base, refiner_steps=refiner)
        for index, (name, (base, refiner)) in enumerate(steps.items())
    ]
    compared = compare(runs)
    assert [compared.verdict(row, "steps") for row in compared.rows] == ["", "same", "better", "worse"]
    assert [difference(compared, index, "steps").mean for index in (1, 2, 3)] == [0, -20, 1]
    assert compared.table()["steps"].tolist() == [30, 30, 10, 31]
    assert compared.by_metric("steps").loc[("steps", "short"), ["n", "pairs"]].tolist() == [2, 2]


@pytest.mark.parametrize("metric", ["seconds", "seconds_spent", "peak_memory_bytes", "gpu_peak_memory_bytes"])
def test_what_was_spent_is_shown_and_never_judged(metric, tmp_path):
    """
    Seconds and memory depend on what the process had made before, so their differences stand without interval and verdict, however large.
    """
    spent = [recorded(planned(tmp_path, "alone"), lambda *_: dict.fromkeys(SPENT, 9.0), seconds=9.0)]
    spent += [recorded(planned(tmp_path, "after", {"denoising": {"high_noise_frac": 0.8}}), lambda *_: dict.fromkeys(SPENT, 1.0), seconds=1.0)]
    for named in ((), (metric,)):
        compared = compare(spent, metrics=named)
        found = difference(compared, 1, metric)
        assert (found.mean, found.low, found.high, found.n) == (-8.0, None, None, 12)
        assert compared.verdict(compared.rows[1], metric) == ""
        assert set(compared.by_metric(metric)["verdict"]) == {""}
        assert compared.furthest(metric, count=1)
    assert not [name for name in SPENT if words_of(name).better]


def test_what_was_measured_of_a_crop_alone_is_said(tmp_path):
    """
    One line names the metrics that are of each crop, where one was seen; without a crop there is none.
    """

    def numbers(sample, task, seed):
        return seam(sample, task, seed) | {"raw_seam_delta_e": 1.0}

    whole = recorded(planned(tmp_path, "whole"), numbers)
    cropped = recorded(planned(tmp_path, "cropped", {"mask": {"feather_px": 1}}), numbers, frame=Frame(box=(0, 0, 16, 16), size=(64, 64)))
    said = [[note for note in compare(runs).notes if "crop" in note and "raw_" in note] for runs in ([whole], [whole, cropped])]
    assert said == [[], ["where a crop was seen, raw_seam_delta_e is of that alone; the others are of whole pictures"]]


def test_steps_that_are_not_the_same_work_are_said(tmp_path):
    """
    A row without guidance, and rows of pictures of other sizes, have a line each; rows that are alike have none.
    """
    base = recorded(planned(tmp_path, "base"))
    strong = recorded(planned(tmp_path, "strong", {"denoising": {"guidance_scale": 9.0}}))
    weak = recorded(planned(tmp_path, "weak", {"denoising": {"guidance_scale": 1.0}}))
    large = recorded(planned(tmp_path, "large", {"mask": {"feather_px": 1}}), working_size=(32, 16))
    assert not [note for note in compare([base, strong]).notes if note.startswith("a step")]
    said = compare([base, strong, weak, large]).notes
    assert [note for note in said if "about half the work" in note and note.endswith(": weak")]
    assert [note for note in said if "larger picture" in note and note.endswith(": 256 in base, strong and 1 more; 512 in large")]
    assert not [note for note in compare([base, weak], metrics=["seam_delta_e"]).notes if note.startswith("a step")]


def test_an_unfinished_run_is_compared_over_what_it_has(tmp_path):
    """
    A run of which 3 of 12 pictures are made has 3 pairs, no interval for its 2 samples, and is said not to be done.
    """
    runs = [recorded(planned(tmp_path, "whole")), recorded(planned(tmp_path, "begun", {"mask": {"feather_px": 1}}), worse, count=3)]
    compared = compare(runs)
    found = difference(compared, 1)
    assert (found.n, found.low) == (3, None)
    said = "\n".join(compared.notes)
    assert "begun is not done: 3 of 12 pictures" in said
    assert "differences are over the pictures that whole has too: begun 3 of 3" in said
    assert "no interval where there are fewer than 5 samples" in said


def test_a_metric_that_a_run_lacks_is_said(tmp_path):
    """
    A run recorded without a metric has no number of it, and one line says so.
    """
    runs = [recorded(planned(tmp_path, "with")), recorded(planned(tmp_path, "without", {"mask": {"feather_px": 1}}), lambda *_: {})]
    compared = compare(runs)
    assert compared.mean(compared.rows[1], "seam_delta_e") is None
    assert difference(compared, 1, "seconds").n == 12
    assert np.isnan(compared.table().loc["without", "seam_delta_e"])
    assert "without: recorded without seam_delta_e" in compared.notes


def test_other_samples_are_no_pairs(tmp_path):
    """
    Runs over other samples have no differences, which is said, and their samples are what differs.
    """
    runs = [recorded(planned(tmp_path, "left", samples=SAMPLES[:3])), recorded(planned(tmp_path, "right", samples=SAMPLES[3:]))]
    compared = compare(runs)
    assert compared.difference(compared.rows[1], "seam_delta_e") is None
    assert compared.verdict(compared.rows[1], "seam_delta_e") == ""
    assert compared.settings().columns.tolist() == ["samples"]
    assert any(note.startswith("no sample, task and seed is shared with left by right") for note in compared.notes)


def test_the_same_run_counts_once(two, tmp_path):
    """
    A run named twice, by its folder and the folder above, is one row; a copy of it elsewhere is too, with a line that says so.
    """
    assert len(compare([two[0], two[0].path, two[0].path.parent]).rows) == 2
    copy = shutil.copytree(two[0].path, tmp_path / "copy")
    compared = compare([two[0], copy])
    assert len(compared.rows) == 1
    assert any("is recorded twice" in note for note in compared.notes)
    assert len(compared.pictures()) == 12


def test_one_run_alone_has_means_and_no_differences(two):
    """
    One run is shown with its means, and the line that there is nothing to compare it with.
    """
    compared = compare(two[:1])
    assert compared.by_metric().loc[("seam_delta_e", "base"), "n"] == 12
    assert compared.settings().columns.empty
    assert "there is one run alone: nothing to compare base with" in compared.notes


def test_the_reference_may_be_named_in_many_ways(two):
    """
    A reference is a folder, a name, the first digits of a run_id or a number; one that is not among the runs joins them.
    """
    ways = [two[1], two[1].path, str(two[1].path), "weak", two[1].path.name, two[1].resolved.run_id[:8], "2"]
    assert {compare(two, reference=way).reference.name for way in ways} == {"weak"}
    joined = compare(two[:1], reference=two[1].path)
    assert [row.name for row in joined.rows] == ["weak", "base"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"runs": []}, "there is no run to compare"),
        ({"runs": ["nowhere"]}, "nowhere is not there"),
        ({"metrics": ["seam_delta"]}, "Did you mean seam_delta_e?"),
        ({"reference": "week"}, "Did you mean weak?"),
        ({"reference": "3"}, "none of the runs compared: base, weak"),
        ({"task": "repaint"}, "allowed are inpaint, outpaint"),
    ],
)
def test_what_is_not_there_is_one_clear_error(two, changed, message):
    """
    A run, metric, reference or task that is not there is an error that says what is.
    """
    given = {"runs": two, **changed}
    with pytest.raises(CompareError) as caught:
        compare(given.pop("runs"), **given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_to_look_at_is_an_error(tmp_path):
    """
    Runs without any picture, and a task that no run has, are errors.
    """
    begun = recorded(planned(tmp_path, "begun", tasks=("inpaint",)), count=0)
    with pytest.raises(CompareError, match="got 1 run without a picture yet"):
        compare([begun])
    with pytest.raises(CompareError, match="got 1 run without outpaint pictures"):
        compare([begun], task="outpaint")


def test_which_way_is_better_is_what_the_metrics_say():
    """
    Each direction is the one that the docstring of the metric's function states, and metrics whose docstring states none have none.
    """
    functions = {name: getattr(metrics, name) for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))}
    named = {"psnr_outside_db": "psnr_outside", "colour_as_asked": "shows_colour", "raw_seam_delta_e": "seam_mismatch"}
    assert words_of("steps").better == "lower"
    better = {name: metric.better for name, metric in metrics.METRICS.items() if metric.better}
    for metric, direction in better.items():
        known = named.get(metric) or named.get(metric.removeprefix("raw_")) or metric.removeprefix("raw_")
        function = functions[known if known in functions else known.rpartition("_")[0]]
        summary = function.__doc__.splitlines()[0]
        assert f"{direction} is better" in summary or (direction == "higher" and "1 is better" in function.__doc__.splitlines()[0])
    for silent in ("change_inside", "sharpness_inside"):
        assert not [metric for metric in better if metric.startswith(silent)]
        assert "lower is better" not in functions[silent].__doc__
        assert "higher is better" not in functions[silent].__doc__


def test_runs_come_in_the_order_of_the_numbers_in_their_names(tmp_path):
    """
    Found in a folder, steps-9 comes before steps-10, and fractions by size.
    """
    names = ["frac-0.25", "frac-0.5", "steps-9", "steps-10", "steps-100"]
    for name in reversed(names):
        recorded(planned(tmp_path, name, samples=SAMPLES[:1]))
    assert [run.resolved.spec.name for run in find_runs(tmp_path)] == names


def test_comparing_leaves_the_records_alone(two):
    """
    Comparing writes nothing into the runs.
    """
    runs = two[0].path.parent
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    compare(find_runs(runs)).table()
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


def test_a_setting_that_a_task_does_not_take_is_none_of_its_columns(tmp_path):
    """
    Beside a task without strength, those that have one are still one column, and in that task alone the runs are one row.
    """
    tasks = ("inpaint", "outpaint", "text_to_image")
    runs = [recorded(planned(tmp_path, f"s{value}", {"denoising": {"strength": value}}, tasks=tasks)) for value in (0.5, 0.9)]
    assert compare(runs).differing == {"denoising.strength": [0.5, 0.9]}
    [row] = compare(runs, task="text_to_image").rows
    assert len(row.runs) == 2

"""Whether the intervals of a preference study hold the truth: studies are simulated of which the truth is known, and counted as real ones are.

Use: python benchmarks/preference.py [--studies 300] [--into FILE.jsonl] [--write PAGE.md]

Each study has 4 systems, 40 samples and 10 judges, each of whom answers 54 pairs and 6 of them again, mirrored. Pictures of one sample are alike:
each system has an effect of its own on each sample (standard deviation 0.5 of a log strength), and another on each judge (0.25). Ties are called by
Davidson's model. The truth is what such people would say of such samples without end, and is set to the shares of the SDXL paper's study. An
attentive judge answers a mirrored repeat as before, but for one in ten, which is answered anew; a careless one answers everything at random.

Every study is counted three times: as it is, with each judge careless by a chance of 5%, and so again without judges who agree with themselves
in less than 0.7 of their repeats. With --into, studies that were counted are kept, a line each, and the same command goes on from there. With
--write, the table is put into a page.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SYSTEMS = ("SDXL with refiner", "SDXL base", "SD 1.5", "SD 2.1")
TRUTH = np.array([48.44, 36.93, 7.91, 6.71]) / 99.99
"""Shares of choices in Podell et al., arXiv:2307.01952, figure 1, whose sum is not quite 100."""
SAMPLES, JUDGES, TRIALS, REPEATS = 40, 10, 54, 6
OF_SAMPLES, OF_JUDGES, NU, SLIPS = 0.5, 0.25, 0.4, 0.1
CARELESS, AT_RANDOM, LEAST = 0.05, (0.45, 0.45, 0.1), 0.7
PAIRS = np.array(list(itertools.combinations(range(4), 2)))
WAYS = {"attentive": "all judges attentive", "careless": "5% careless", "left out": "5% careless, without judges below 0.7"}
BETWEEN = re.compile(r"(<!-- simulated -->\n).*?(<!-- end of simulated -->)", re.DOTALL)


def chances(difference: np.ndarray) -> np.ndarray:
    """How likely the first, the second, and a tie are, by the difference of two log strengths; of shape (..., 3)."""
    weights = np.stack([np.exp(difference / 2), np.exp(-difference / 2), np.full(np.shape(difference), NU)], -1)
    return weights / weights.sum(-1, keepdims=True)


def strengths() -> np.ndarray:
    """Log strengths of which a study without end would have the shares of `TRUTH`, found by counting that study."""
    from sdxl_lab.studies.strengths import Model, fit

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)  # over the difference of two effects, which is normal
    apart = nodes * np.sqrt(2) * np.hypot(OF_SAMPLES, OF_JUDGES)
    model = Model(systems=4, sets=tuple((int(first), int(second)) for first, second in PAIRS), has_ties=True)
    wanted = np.log(TRUTH) - np.log(TRUTH).mean()
    found = wanted
    for _ in range(30):
        said = np.array([weights @ chances(found[first] - found[second] + apart) / weights.sum() for first, second in PAIRS])
        found = found + wanted - fit(model, said)[:-1]
    return found


def simulated(strength: np.ndarray, number: int, *, careless: float) -> tuple[Any, np.ndarray]:
    """The ballots of one study, and who of its judges is careless. What attentive judges answer is the same for any chance of careless ones."""
    from sdxl_lab.studies.ballots import TIED, Ballots

    random = np.random.default_rng((1952, number))
    of_sample = random.normal(size=(SAMPLES, 4)) * OF_SAMPLES
    sample = random.permutation(np.resize(random.permutation(SAMPLES), TRIALS))
    pair = PAIRS[np.resize(np.arange(len(PAIRS)), TRIALS)]
    is_careless = random.random(JUDGES) < careless
    shown, answer, again = [], [], []
    for judge in range(JUDGES):
        strong = strength + of_sample[sample] + random.normal(size=4) * OF_JUDGES
        likely = chances(np.take_along_axis(strong, pair[:, :1], 1)[:, 0] - np.take_along_axis(strong, pair[:, 1:], 1)[:, 0])
        repeats = random.choice(TRIALS, REPEATS, replace=False)
        drawn, anew, slips = random.random(TRIALS), random.random(REPEATS), random.random(REPEATS) < SLIPS
        is_swapped = random.random(TRIALS) < 0.5
        if is_careless[judge]:
            likely, slips = np.tile(AT_RANDOM, (TRIALS, 1)), np.ones(REPEATS, bool)
        first = np.minimum((drawn[:, None] > likely.cumsum(1)).sum(1), 2)
        second = np.where(slips, np.minimum((anew[:, None] > likely[repeats].cumsum(1)).sum(1), 2), first[repeats])
        for trial, said, is_other_way in [
            *zip(range(TRIALS), first, is_swapped, strict=True),
            *zip(repeats, second, ~is_swapped[repeats], strict=True),
        ]:
            shown.append(pair[trial][::-1] if is_other_way else pair[trial])
            answer.append(TIED if said == 2 else int(said != is_other_way))
            again.append((trial, judge))
    question, by = np.array(again).T
    ballots = Ballots(
        systems=SYSTEMS,
        samples=tuple(map(str, range(SAMPLES))),
        judges=tuple(map(str, range(JUDGES))),
        shown=np.array(shown),
        answer=np.array(answer),
        sample=sample[question],
        judge=by,
        question=question,
        mirrors=np.tile(np.arange(TRIALS + REPEATS) >= TRIALS, JUDGES),
        pictures=np.full((len(answer), 2), "", object),
    )
    return ballots, is_careless


def counted(strength: np.ndarray, number: int, resamples: int) -> dict[str, Any]:
    """One study in all its ways: share, low and high of each system, and how many judges of each kind were left out."""
    from sdxl_lab.studies.judges import judges_of
    from sdxl_lab.studies.ranking import rankings_of

    def shares(ballots: Any) -> list[list[float | None]]:
        (ranking,) = rankings_of(ballots, resamples=resamples)
        found = {standing.system: standing.share for standing in ranking.standings}
        return [[share.value, share.low, share.high] for share in map(found.__getitem__, SYSTEMS) if share]

    ballots, _ = simulated(strength, number, careless=0)
    other, is_careless = simulated(strength, number, careless=CARELESS)
    left = np.array([judge.is_left_out for judge in judges_of(other, [0] * JUDGES, min_self_agreement=LEAST)])
    return {
        "study": number,
        "resamples": resamples,
        "attentive": shares(ballots),
        "careless": shares(other),
        "left out": shares(other.where(~left[other.judge])),
        "judges": [int(is_careless.sum()), int((left & is_careless).sum()), int((left & ~is_careless).sum())],
    }


def kept(file: Path | None, resamples: int) -> dict[int, dict[str, Any]]:
    """The studies that were counted before, with as many resamples; a line that was torn is counted again."""
    found: dict[int, dict[str, Any]] = {}
    for line in file.read_text("utf-8").splitlines() if file and file.is_file() else []:
        try:
            study = json.loads(line)
        except ValueError:
            continue
        if study["resamples"] == resamples:
            found[study["study"]] = study
    return found


def table(studies: list[dict[str, Any]]) -> Iterator[str]:
    """What came out, as Markdown."""
    yield "| judges | system | truth | mean share | bias | interval holds the truth | mean width |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for way, words in WAYS.items():
        numbers = np.array([study[way] for study in studies], float)
        for index, system in enumerate(SYSTEMS):
            share, low, high = (100 * numbers[:, index, part] for part in range(3))
            truth = 100 * TRUTH[index]
            error = share.std(ddof=1) / np.sqrt(len(studies)) if len(studies) > 1 else float("nan")
            holds = ((low <= truth) & (truth <= high)).mean()
            yield (
                f"| {words} | {system} | {truth:.2f} | {share.mean():.2f} | {share.mean() - truth:+.2f} ± {error:.2f} "
                f"| {100 * holds:.1f}% | {(high - low).mean():.1f} |"
            )
    careless, caught, wronged = np.array([study["judges"] for study in studies]).sum(0)
    yield ""
    yield (
        f"{len(studies)} studies, {studies[0]['resamples']} resamples each. Of {careless} careless judges {caught} were left out, "
        f"and of {len(studies) * JUDGES - careless} attentive ones {wronged}. ± is the standard error of the simulation. "
        f"Between the same studies with and without careless judges, the largest share differs by {_shift(studies, 'careless')} points in the mean, "
        f"and by {_shift(studies, 'left out')} once judges are left out."
    )


def _shift(studies: list[dict[str, Any]], way: str) -> str:
    shift = 100 * np.array([study[way][0][0] - study["attentive"][0][0] for study in studies])
    return f"{shift.mean():+.2f} ± {shift.std(ddof=1) / np.sqrt(len(shift)) if len(shift) > 1 else float('nan'):.2f}"


def main(given: list[str]) -> None:
    """Count studies, print the table, and write it where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=999)
    parser.add_argument("--into", type=Path, help="keep each study that was counted, a line each")
    parser.add_argument("--write", type=Path, help="a page, between <!-- simulated --> and <!-- end of simulated -->")
    asked = parser.parse_args(given)
    known = kept(asked.into, asked.resamples)
    strength = strengths()
    began, done = time.monotonic(), 0
    for number in range(asked.studies):
        if number not in known:
            known[number] = counted(strength, number, asked.resamples)
            done += 1
            if asked.into:
                with asked.into.open("a", encoding="utf-8") as file:
                    file.write(f"\n{json.dumps(known[number])}\n")  # a line that was torn before it stays alone
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {asked.studies} studies", end="", file=sys.stderr, flush=True)
    text = "\n".join(table([known[number] for number in range(asked.studies)]))
    print(text)
    print(f"counted now: {done} studies in {time.monotonic() - began:.2f} s")
    if asked.write:
        page = asked.write.read_text("utf-8")
        asked.write.write_text(BETWEEN.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

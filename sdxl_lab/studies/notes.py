"""What has to be known to read the answer of a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sdxl_lab.studies.ranking import Ranking
from sdxl_lab.studies.resampling import FEWEST_JUDGES, FEWEST_SAMPLES, Clusters
from sdxl_lab.wording import counted, few

if TYPE_CHECKING:
    from sdxl_lab.studies.result import StudyResult

MOST_NAMES = 5
DOUBTFUL = 0.7
"""Who agrees less with his own answers is told of: perhaps careless, perhaps shown what is hard to tell apart."""
FEWEST_REPEATS = 5
"""From how many on."""


def notes_of(result: StudyResult, clusters: Clusters, questions: int) -> Iterator[str]:
    """Say what the numbers of an answer mean, and what is doubtful about them, a sentence or two each.

    Judges are counted here and named in their table alone: notes go along wherever the answer is shown.

    Args:
        result: The answer.
        clusters: What was resampled for its intervals.
        questions: How many a judge was asked.
    """
    yield from _of_intervals(clusters)
    yield from _of_judges(result, questions)
    if len(result.rankings) > 1:
        yield f"no vote connects these {len(result.rankings)} groups of systems: each is ranked by itself, and shares of one say nothing of another"
    known = {standing.system for ranking in result.rankings for standing in ranking.standings}
    if unknown := [label for label in result.systems if label not in known]:
        yield f"without a vote, hence in no table: {few(unknown, MOST_NAMES, between='; ')}"
    for ranking in result.rankings:
        yield from _of_ranking(ranking)
    for place in result.places:
        low, high = place.share.low, place.share.high
        if low is not None and high is not None and not low <= place.expected <= high:
            yield (
                f"{place.name} was chosen in {place.share.value:.0%} of the votes that chose one, where {place.expected:.0%} is fair: judges favor a "
                "place; as places are drawn anew for each judge, that blurs shares and favors no system"
            )


def _of_intervals(clusters: Clusters) -> Iterator[str]:
    if not clusters.has_intervals:
        samples = counted(clusters.samples, "sample")
        yield f"no intervals: the votes are on {samples}, and with fewer than {FEWEST_SAMPLES} none would be worth the name"
    elif clusters.resamples_judges:
        yield f"[low, high]: 95%, resampling {clusters.samples} samples and {clusters.judges} judges: what other pictures and other people might say"
    else:
        whose = (
            "one judge's: the intervals are of this one's taste"
            if clusters.judges == 1
            else f"of {clusters.judges} judges: the intervals are of their taste"
        )
        yield (
            f"[low, high]: 95%, resampling {clusters.samples} samples alone. The votes are {whose} on other pictures, and say nothing of other "
            f"people (from {FEWEST_JUDGES} judges on, they are resampled too)"
        )


def _of_judges(result: StudyResult, questions: int) -> Iterator[str]:
    if unfinished := [judge.votes + judge.skipped for judge in result.judges if judge.votes + judge.skipped < questions]:
        fewest = min(unfinished)
        more = f" or more, and not all, of {questions} questions" if len(unfinished) > 1 else f" of {questions} questions"
        yield f"{counted(len(unfinished), 'judge')} answered {fewest}{more}"
    if left := sum(judge.is_left_out for judge in result.judges):
        who = counted(left, "judge was", "judges were")
        yield f"{who} left out, who answered less than {result.min_self_agreement:.0%} of the repeated questions as before"
    unknown = sum(judge.self_agreement is None for judge in result.judges)
    if result.min_self_agreement and unknown:
        yield f"{counted(unknown, 'judge')} answered no repeated question, and {'is' if unknown == 1 else 'are'} counted unchecked"
    doubtful = sum(
        not judge.is_left_out and judge.repeats >= FEWEST_REPEATS and judge.self_agreement is not None and judge.self_agreement < DOUBTFUL
        for judge in result.judges
    )
    if doubtful:
        yield (
            f"{counted(doubtful, 'judge')} answered less than {DOUBTFUL:.0%} of the repeated questions as before: careless, or shown what is hard "
            f"to tell apart; --min-self-agreement {DOUBTFUL} counts without them"
        )
    if 0 < (most := max((judge.repeats for judge in result.judges), default=0)) < FEWEST_REPEATS:
        yield f"a careless judge is known by {FEWEST_REPEATS} repeats or more, and nobody answered more than {most}"
    if skipped := sum(judge.skipped for judge in result.judges):
        yield f"{counted(skipped, 'question was', 'questions were')} skipped, and {'is' if skipped == 1 else 'are'} counted nowhere"


def _of_ranking(ranking: Ranking) -> Iterator[str]:
    if all(standing.share is None for standing in ranking.standings):
        names = few([standing.system for standing in ranking.standings], MOST_NAMES, between="; ")
        yield f"every answer on {names} was a tie: nobody can say which is better"
    elif ranking.is_counted:
        yield "shares are counted: all systems were shown each time, and a share is of the votes that chose one"
    else:
        yield (
            "shares are derived: strengths over their sum, by Bradley and Terry's model with Davidson's ties; how often each would be chosen if all "
            "were shown at once and none called a tie"
        )
    if ranking.ridge:
        groups = few([" and ".join(part) for part in ranking.unconnected], MOST_NAMES, between="; ")
        yield (
            f"wins do not connect all systems both ways ({groups}): some always won or never. A ridge of {ranking.ridge:g} on log strengths keeps "
            "their shares finite; take these as rough, and gather more votes"
        )

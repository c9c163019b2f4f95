"""95% intervals of what votes say, with other samples and other judges in mind.

Votes on one sample are alike, and so are votes of one judge: an interval from single votes would promise too much. Here both are resampled at
once. Each sample and each judge gets a random weight from the exponential distribution, a vote has the product of its two, and everything is
computed anew from the weighted votes, `RESAMPLES` times with a fixed seed. No weight is 0, so what the votes can rank stays ranked.

The product counts the chance of a single vote three times (Owen's pigeonhole bootstrap), which would make intervals too wide. So the draws give
the interval's shape, and its width is drawn in to the variance that is known to first order: of samples, and of judges, less what both hold
(Cameron, Gelbach and Miller), never less than the larger of the two. The interval is symmetric on the scale of log odds (Hall), and reaches as
far out as Student's t asks for with as few samples and judges as there are. `benchmarks/preference.py` counts how often it holds the truth.

Sources: Owen, Annals of Applied Statistics 1 (2007), 386; Owen and Eckles, Annals of Applied Statistics 6 (2012), 895; Cameron, Gelbach and
Miller, Journal of Business & Economic Statistics 29 (2011), 238; Hall, Journal of the Royal Statistical Society B 50 (1988), 35; for exponential
weights Rubin, Annals of Statistics 9 (1981), 130.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sdxl_lab.records.preferred import Estimate

LEVEL = 0.95
RESAMPLES = 1999
SEED = 1979
FEWEST_SAMPLES = 5
"""With fewer there is no interval, as in a comparison of runs."""
FEWEST_JUDGES = 5
"""With fewer, how judges differ cannot be told: samples alone are resampled, and the interval is of these judges."""
CHUNK = 1 << 22
"""Weights held at once."""


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """What votes have in common.

    Attributes:
        sample: The sample of each vote, as numbers from 0, of shape (votes,).
        judge: The judge of each vote.
        resamples: How often weights are drawn.
    """

    sample: np.ndarray
    judge: np.ndarray
    resamples: int = RESAMPLES

    @cached_property
    def samples(self) -> int:
        """How many different samples."""
        return len(np.unique(self.sample))

    @cached_property
    def judges(self) -> int:
        """How many different judges."""
        return len(np.unique(self.judge))

    @property
    def has_intervals(self) -> bool:
        """Whether there are samples enough."""
        return self.samples >= FEWEST_SAMPLES

    @property
    def resamples_judges(self) -> bool:
        """Whether there are judges enough."""
        return self.judges >= FEWEST_JUDGES

    def weights(self) -> Iterable[np.ndarray]:
        """Draw each vote's weight.

        Returns:
            Pieces of shape (some draws, votes), of `resamples` draws in all; the same for the same clusters.
        """
        return self._all_weights if self.resamples * len(self.sample) <= CHUNK else self._drawn()

    @cached_property
    def _all_weights(self) -> list[np.ndarray]:
        return list(self._drawn())

    def _drawn(self) -> Iterator[np.ndarray]:
        random = np.random.default_rng(SEED)
        of_samples = random.exponential(size=(self.resamples, int(self.sample.max()) + 1))
        of_judges = random.exponential(size=(self.resamples, int(self.judge.max()) + 1))
        size = max(1, CHUNK // len(self.sample))
        for start in range(0, self.resamples, size):
            piece = of_samples[start : start + size, self.sample]
            yield piece * of_judges[start : start + size, self.judge] if self.resamples_judges else piece

    def spread(self, influence: np.ndarray) -> tuple[float, float]:
        """How far a number may be off, to first order.

        Args:
            influence: By how much each vote moved it, of shape (votes,).

        Returns:
            Its variance over other samples and judges, and the degrees of freedom with which that is known.
        """
        by_sample = _between(influence, self.sample, self.samples)
        if not self.resamples_judges:
            return by_sample, self.samples - 1
        by_judge = _between(influence, self.judge, self.judges)
        cell = self.sample * (int(self.judge.max()) + 1) + self.judge
        both = float((np.bincount(np.unique(cell, return_inverse=True)[1], influence) ** 2).sum())
        variance = max(by_sample, by_judge, by_sample + by_judge - both)
        of_judges = max(0.0, variance - by_sample)  # what judges add to what samples say
        known = (variance - of_judges) ** 2 / (self.samples - 1) + of_judges**2 / (self.judges - 1)
        return variance, variance**2 / known if known > 0 else self.samples - 1

    def sums(self, columns: np.ndarray) -> np.ndarray:
        """Add up what votes say, with each draw's weights.

        Args:
            columns: Of shape (votes, columns).

        Returns:
            Of shape (resamples, columns).
        """
        return np.concatenate([weights @ columns for weights in self.weights()])

    def estimate(self, share: float, draws: np.ndarray, influence: np.ndarray) -> Estimate:
        """Give a share its interval, which is symmetric in log odds, so that it stays between 0 and 1.

        Args:
            share: From 0 to 1.
            draws: What each draw of `weights` made of it, of shape (resamples,).
            influence: By how much each vote moved its log odds, of shape (votes,).
        """
        from scipy.special import expit, logit, ndtr, stdtrit

        if not self.has_intervals or not 0 < share < 1:
            return Estimate(value=share)
        variance, freedom = self.spread(influence)
        off = np.abs(logit(np.clip(draws, 1e-12, 1 - 1e-12)) - logit(share))
        drawn = float((off**2).mean())
        if variance <= 0 or drawn <= 0:
            return Estimate(value=share)
        reach = np.quantile(off * math.sqrt(variance / drawn), 1 - 2 * ndtr(stdtrit(freedom, (1 - LEVEL) / 2)))
        return Estimate(value=share, low=float(expit(logit(share) - reach)), high=float(expit(logit(share) + reach)))

    def ratios(self, hits: np.ndarray, among: np.ndarray) -> list[Estimate | None]:
        """Count shares of votes.

        Args:
            hits: How far each vote counts as a hit, from 0 to 1, of shape (votes, shares).
            among: Whether it counts at all, of shape (votes, shares).

        Returns:
            Hits over what counts, one for each share; None where nothing counts.
        """
        among = among.astype(float)
        hits = hits * among
        drawn = self.sums(np.concatenate([hits, among], 1)) if self.has_intervals else np.zeros((1, 2 * hits.shape[1]))
        found: list[Estimate | None] = []
        for index in range(hits.shape[1]):
            count = float(among[:, index].sum())
            if not count:
                found.append(None)
                continue
            share = float(hits[:, index].sum()) / count
            scale = count * max(share * (1 - share), 1e-300)
            draws = drawn[:, index] / np.maximum(drawn[:, hits.shape[1] + index], 1e-300)
            found.append(self.estimate(share, draws, (hits[:, index] - share * among[:, index]) / scale))
        return found


def _between(influence: np.ndarray, cluster: np.ndarray, count: int) -> float:
    """What clusters say of the variance, as if nothing else were drawn."""
    return float((np.bincount(cluster, influence) ** 2).sum()) * count / max(1, count - 1)

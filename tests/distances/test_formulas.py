"""Each distance against an implementation of its own, on the same features."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

from sdxl_lab.distances import DISTANCES, Parts, Seen, jackknife
from sdxl_lab.distances.kernels import median_distance

N, M, D, CLASSES = 130, 110, 24, 9
OPTIONS = {"mmd": {"bandwidth": 3.5}}


def features(count: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    """
    Features as networks have them: not normal, not independent, never below 0.
    """
    rng = np.random.RandomState(seed)
    mixing = np.random.RandomState(0).randn(D, D)
    return np.maximum(rng.standard_t(5, (count, D)) @ mixing / 4 + shift, 0)


def seen(name: str, rows: np.ndarray) -> Seen:
    """
    A set in which each picture is a sample of its own.
    """
    logits = rows[:, :CLASSES] * 2
    classes = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Seen(name=name, n=len(rows), features=rows, classes=classes, samples=[f"{name}-{i}" for i in range(len(rows))])


def by_itself(name: str, a: np.ndarray, b: np.ndarray, classes: np.ndarray) -> float:
    """
    The number as its paper defines it, by scipy, pair by pair where that is what it says.
    """
    if name == "fid":
        ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * np.real(sqrtm(ca @ cb))))
    if name == "is":
        return float(np.exp(np.mean([rel_entr(row, classes.mean(axis=0)).sum() for row in classes])))
    if name in ("precision", "recall"):
        points, manifold = (a, b) if name == "precision" else (b, a)
        radii = cKDTree(manifold).query(manifold, k=4)[0][:, 3]
        return float((cdist(points, manifold) <= radii).any(axis=1).mean())
    if name == "cmmd":
        a, b = (rows / np.sqrt((rows**2).sum(axis=1))[:, None] for rows in (a, b))
    kernel = {
        "kid": lambda x, y: (x @ y / D + 1) ** 3,
        "mmd": lambda x, y: np.exp(-((x - y) ** 2).sum() / (2 * 3.5**2)),
        "cmmd": lambda x, y: np.exp(-((x - y) ** 2).sum() / 200),
    }[name]
    within = [np.mean([kernel(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j]) for rows in (a, b)]
    return float((1000 if name == "cmmd" else 1) * (sum(within) - 2 * np.mean([kernel(x, y) for x in a for y in b])))


@pytest.mark.parametrize("name", list(DISTANCES))
def test_a_distance_is_what_its_paper_says(name):
    """
    Over the same features the number is that of an independent implementation, to a millionth.
    """
    a, b = features(N, seed=1, shift=0.4), features(M, seed=2)
    row = DISTANCES[name]
    ours, other = seen("a", a), seen("b", b)
    estimate = row.of(ours, other, jackknife.parts_of(ours.samples, other.samples), OPTIONS.get(name, {}))
    assert ours.classes is not None
    assert estimate.value == pytest.approx(by_itself(name, a, b, ours.classes), rel=1e-6)


@pytest.mark.parametrize("name", list(DISTANCES))
def test_a_part_left_out_is_a_set_without_it(name):
    """
    What the interval is made of are the numbers of the sets without each part, computed anew.
    """
    ours, other = seen("a", features(60, seed=3, shift=0.3)), seen("b", features(70, seed=4))
    row, options = DISTANCES[name], {"bandwidth": 2.0}
    parts = jackknife.parts_of(ours.samples, other.samples)
    without = row.of(ours, other, parts, options).without
    assert parts.count == jackknife.PARTS
    assert without is not None
    assert len(without) == parts.count
    assert ours.features is not None
    assert other.features is not None
    none = Parts(ours=np.zeros(0, int), others=np.zeros(0, int), count=0)
    for part in (0, 7, parts.count - 1):
        rest = seen("a", ours.features[parts.ours != part]), seen("b", other.features[parts.others != part])
        assert without[part] == pytest.approx(row.of(*rest, _with_parts(none, *rest), options).value, rel=1e-5, abs=1e-9)


def _with_parts(none: Parts, ours: Seen, other: Seen) -> Parts:
    """
    No parts, for as many pictures as there are.
    """
    return Parts(ours=np.full(ours.n or 0, -1), others=np.full(other.n or 0, -1), count=none.count)


def test_a_frechet_distance_of_moments_is_that_of_their_features():
    """
    From mean and covariance alone comes what comes from the features, whichever of the two sides has them.
    """
    a, b = seen("a", features(N, seed=1)), seen("b", features(M, seed=2, shift=0.2))
    fid, parts = DISTANCES["fid"], jackknife.parts_of([], [])
    alone = [Seen(name=each.name, n=None, moments=(each.mean, each.covariance)) for each in (a, b)]
    expected = fid.of(a, b, parts, {}).value
    for pair in ((alone[0], b), (a, alone[1]), (alone[0], alone[1])):
        assert fid.of(*pair, parts, {}).value == pytest.approx(expected, rel=1e-6)


def test_a_set_is_at_no_distance_from_itself():
    """
    FID of a set with itself is 0, all of it lies among itself, and an unbiased MMD is below 0, since no pair is a picture with itself.
    """
    one, other = seen("a", features(N, seed=1)), seen("b", features(N, seed=1))
    parts = jackknife.parts_of(one.samples, other.samples)
    numbers = {name: row.of(one, other, parts, {}).value for name, row in DISTANCES.items()}
    assert numbers["fid"] == pytest.approx(0, abs=1e-8)
    assert numbers["precision"] == numbers["recall"] == 1
    assert max(numbers[name] for name in ("kid", "mmd", "cmmd")) < 0


def test_the_bandwidth_is_the_references_median():
    """
    The bandwidth that nobody gave is the median distance of two pictures of the reference, and stands in what is recorded.
    """
    a, b = features(50, seed=1), features(70, seed=2)
    estimate = DISTANCES["mmd"].of(seen("a", a), seen("b", b), jackknife.parts_of([], []), {})
    expected = float(np.median(cdist(b, b)[np.triu_indices(70, 1)]))
    assert median_distance(b) == pytest.approx(expected, rel=1e-9)
    assert estimate.parameters["bandwidth"] == pytest.approx(expected, rel=1e-9)


def test_pictures_of_one_sample_are_left_out_together():
    """
    A sample is in one part, of both sets; parts differ by one sample at most; and with fewer than five samples there is no interval.
    """
    ours, others = [f"{i // 3}" for i in range(90)], [f"{i}" for i in range(20, 47)]
    parts = jackknife.parts_of(ours, others)
    by_sample = {name: {int(part) for each, part in zip(ours, parts.ours, strict=True) if each == name} for name in ours}
    assert all(len(found) == 1 for found in by_sample.values())
    shared = dict(zip(others, parts.others.tolist(), strict=True))
    assert all(by_sample[name] == {shared[name]} for name in by_sample.keys() & shared.keys())
    assert {len(np.unique(np.array(ours)[parts.ours == part])) for part in range(parts.count)} <= {1, 2}
    assert jackknife.parts_of(["a", "b", "c", "d"] * 9, others).count == 0


@pytest.mark.parametrize("name", ["fid", "kid", "is"])
def test_intervals_are_as_wide_as_numbers_scatter(name):
    """
    Over sets drawn anew, the standard error that an interval rests on is what the numbers really scatter, within a factor of two.
    """
    row, values, errors = DISTANCES[name], [], []
    for repeat in range(30):
        ours, other = (seen(side, features(100, seed=10 * repeat + place, shift=0.4 * place)) for place, side in enumerate("ab"))
        estimate = row.of(ours, other, jackknife.parts_of(ours.samples, other.samples if row.has_reference else ()), {})
        ends = jackknife.interval(estimate, (-np.inf, np.inf))
        assert ends
        values.append(estimate.value)
        errors.append((ends[1] - ends[0]) / 2 / 2.093)  # Student's t for 20 parts
    assert 0.5 < np.mean(errors) / np.std(values, ddof=1) < 2

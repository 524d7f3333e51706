"""Ward's clusters equal SciPy's; medoids are members; importance fades; sampling follows importance."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from operators.interests.medoids import DAY_MS, LAMBDA, interests, sample
from operators.interests.ward import clusters

NOW = 1_750_000_000_000


def _same(a, b) -> bool:
    return len({*zip(a.tolist(), b.tolist(), strict=True)}) == len(set(a.tolist())) == len(set(b.tolist()))


@pytest.mark.parametrize("seed", range(20))
def test_clusters_are_scipys(seed):
    chance = np.random.default_rng(seed)
    points = chance.normal(size=(int(chance.integers(2, 150)), int(chance.integers(2, 40))))
    if seed % 2:
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    made = linkage(points, "ward")
    for threshold in np.quantile(made[:, 2], [0.0, 0.3, 0.7, 0.95]) + 1e-9:
        assert _same(clusters(points, float(threshold)), fcluster(made, threshold, "distance"))


def test_the_same_vectors_are_one_interest_and_nothing_is_none():
    assert clusters(np.ones((5, 3)), 0.1).tolist() == [0] * 5
    assert len(interests(np.zeros((0, 3)), np.zeros(0, np.int64), NOW)) == 0
    assert interests(np.ones((1, 3)), np.array([NOW]), NOW).medoids.tolist() == [0]


def test_a_medoid_is_the_member_nearest_to_all_others():
    chance = np.random.default_rng(1)
    points = np.repeat(np.eye(8)[:3], 10, axis=0) + chance.normal(0, 0.1, (30, 8))
    found = interests(points, np.full(30, NOW), NOW)
    assert sorted(row // 10 for row in found.medoids.tolist()) == [0, 1, 2]
    for medoid in found.medoids.tolist():
        rows = np.arange(medoid // 10 * 10, medoid // 10 * 10 + 10)
        sums = ((points[rows, None] - points[None, rows]) ** 2).sum(axis=(1, 2))
        assert rows[sums.argmin()] == medoid


def test_importance_fades_by_lambda_a_day_and_orders_interests():
    points = np.repeat(np.eye(4)[:2], 2, axis=0)
    times = np.array([NOW, NOW - DAY_MS, NOW - 100 * DAY_MS, NOW - 100 * DAY_MS])
    found = interests(points, times, NOW)
    assert found.medoids[0] in (0, 1)
    assert found.importance == pytest.approx([1 + np.exp(-LAMBDA), 2 * np.exp(-100 * LAMBDA)])
    assert found.since.tolist() == [NOW - DAY_MS, NOW - 100 * DAY_MS]
    assert found.latest[0] == NOW


def test_sampling_is_by_importance_and_by_its_seed():
    importance = np.array([8.0, 1.0, 1.0, 0.5])
    drawn = [sample(importance, 1, seed)[0] for seed in range(2000)]
    shares = np.bincount(drawn, minlength=4) / 2000
    assert shares == pytest.approx(importance / importance.sum(), abs=0.04)
    assert sample(importance, 3, 7).tolist() == sample(importance, 3, 7).tolist()
    assert sample(importance, 9, 0).tolist() == [0, 1, 2, 3]

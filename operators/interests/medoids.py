"""Interests of a pinner as medoids: PinnerSage (Pal et al., KDD 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.interests.ward import clusters

DAY_MS = 86_400_000
#: A day makes an action e^−0.01 as important: PinnerSage's λ, the best of those they tried.
LAMBDA = 0.01
#: Distance up to which clusters of unit vectors merge; chosen on real saves: ``docs/interests.md``.
THRESHOLD = 1.2
#: The latest actions that interests are made of, and medoids that one slate starts from.
ACTIONS, SAMPLED = 200, 3


class Interests(NamedTuple):
    """Clusters of actions, the most important first; arrays ``(c,)``."""

    #: Row of the action that stands for each cluster: it is one of its members.
    medoids: NDArray[np.int64]
    importance: NDArray[np.float64]
    sizes: NDArray[np.int64]
    #: Time (ms) of the first and of the latest action of each.
    since: Ints
    latest: Ints

    def __len__(self) -> int:
        return len(self.medoids)


def interests(vectors: NDArray[np.floating], times: Ints, now: int, threshold: float = THRESHOLD) -> Interests:
    """Cluster the actions ``(n, d)``, ``(n,)`` ms; bounded by their number alone.

    The medoid is the member with the least sum of squared distances to the others, importance is the sum of
    exp(−λ days) over members, days before ``now`` (ms).
    """
    cluster = clusters(vectors, threshold)
    weights = np.exp(-LAMBDA * np.maximum(now - times, 0) / DAY_MS)
    found: list[tuple[int, float, int, int, int]] = []
    for number in range(int(cluster.max()) + 1 if len(cluster) else 0):
        rows = np.flatnonzero(cluster == number)
        points = vectors[rows].astype(np.float64)
        # Σⱼ ‖pᵢ − pⱼ‖² = m ‖pᵢ − mean‖² + what is the same for all i.
        apart = ((points - points.mean(axis=0)) ** 2).sum(axis=1)
        when = times[rows]
        found.append(
            (int(rows[apart.argmin()]), float(weights[rows].sum()), len(rows), int(when.min()), int(when.max()))
        )
    found.sort(key=lambda each: (-each[1], each[0]))
    columns = list(zip(*found, strict=True)) if found else [()] * 5
    return Interests(
        np.array(columns[0], np.int64),
        np.array(columns[1], np.float64),
        np.array(columns[2], np.int64),
        np.array(columns[3], np.int64),
        np.array(columns[4], np.int64),
    )


def sample(importance: NDArray[np.float64], k: int, seed: int) -> NDArray[np.int64]:
    """``k`` rows (all where there are fewer) drawn without replacement, by importance; the same for the same seed."""
    n = len(importance)
    if n <= k:
        return np.arange(n)
    chance = np.random.default_rng(seed)
    # The k first of exponential clocks that run at the speed of importance (Efraimidis and Spirakis, 2006).
    clocks = chance.exponential(size=n) / np.maximum(importance, 1e-300)
    return np.sort(np.argsort(clocks, kind="stable")[:k])

"""Fusion: one ranking from several whose scores have nothing in common.

Reciprocal rank fusion: Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and
individual rank learning methods", SIGIR 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints

#: The paper's k: how little the very first places stand out.
SMOOTHING = 60.0


class Fused(NamedTuple):
    """Ids and scores, both ``(n,)``, best first; equal scores by id."""

    ids: Ints
    scores: NDArray[np.float64]


def fuse(rankings: Sequence[Ints], k: int) -> Fused:
    """The ``k`` best of several rankings: ``score(id) = Σ 1 / (60 + place)`` with places from 1.

    Each ranking has an id once, best first.
    """
    ids = np.concatenate([np.empty(0, np.int64), *rankings])
    points = np.concatenate([np.empty(0), *(1.0 / (SMOOTHING + 1.0 + np.arange(len(each))) for each in rankings)])
    unique, place = np.unique(ids, return_inverse=True)
    scores = np.zeros(len(unique))
    np.add.at(scores, place, points)
    # Rounded, so that the order of adding up cannot break a tie.
    scores = np.round(scores, 12)
    best = np.lexsort((unique, -scores))[:k]
    return Fused(unique[best], scores[best])

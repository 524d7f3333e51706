"""One ranking of related pins from sources whose scores have nothing in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.fusion import Fused
from operators.slate.candidates import Found


class Weight(NamedTuple):
    """What a source's word is worth: by the place that it gives a pin, and by the score as a share of the highest.

    A score counts from 0, or, where 0 means nothing (``relative``), from the lowest of the source's answer.
    """

    place: float
    score: float = 0.0
    relative: bool = False


#: Chosen on validation (``docs/related.md``). Boards and walks see the same boards; cosines and scores of words say
#: little beyond their order.
WEIGHTS: Mapping[str, Weight] = {
    "boards": Weight(0.05, 0.05),
    "walks": Weight(0.45, 0.45),
    "pin2vec": Weight(0.25, 0.25, relative=True),
    "visual": Weight(0.5),
    "words": Weight(3.0),
}
#: Of a source that is not named there, such as PinSage, of which no public data tells what it adds to all others.
UNNAMED = Weight(0.5)
#: How little the very first places stand out.
SMOOTHING = 5.0
#: What one e-fold of clicks over expected clicks adds, beside sources that add at most their weights.
GAMMA = 0.3


def blend(found: Mapping[str, Found], weights: Mapping[str, Weight] = WEIGHTS) -> Fused:
    """Best first, equal scores by id: ``Σ place_weight · 5 / (5 + place) + score_weight · (s - low) / (high - low)``.

    Summed over the sources that found a pin, with places from 1; high is the source's highest score, low as
    :class:`Weight` says.
    """
    ids, points = [np.empty(0, np.int64)], [np.empty(0)]
    for name, each in found.items():
        # Walks say what boards say, and more: boards speak for both where walks are not asked.
        alone = name == "boards" and "walks" not in found
        weight = weights.get("walks" if alone and "walks" in weights else name, UNNAMED)
        by_place = SMOOTHING / (SMOOTHING + 1.0 + np.arange(len(each)))
        ids.append(each.pins)
        points.append(weight.place * by_place + weight.score * _normalised(each.scores, weight.relative))
    return _joined(np.concatenate(ids), np.concatenate(points))


def boosted(blended: Fused, pins: Ints, boosts: NDArray[np.float64], gamma: float = GAMMA) -> Fused:
    """``score + gamma · boost``; ``pins`` ``(m,)`` that no source found come in with what their boost is worth."""
    return _joined(np.concatenate([blended.ids, pins]), np.concatenate([blended.scores, gamma * boosts]))


def _joined(ids: Ints, points: NDArray[np.float64]) -> Fused:
    unique, place = np.unique(ids, return_inverse=True)
    scores = np.zeros(len(unique))
    np.add.at(scores, place, points)
    # Rounded, so that the order of adding up cannot break a tie.
    scores = np.round(scores, 12)
    best = np.lexsort((unique, -scores))
    return Fused(unique[best], scores[best])


def _normalised(scores: NDArray[np.float32], relative: bool) -> NDArray[np.float64]:
    """``(n,)`` up to 1; all 1 where they are equal."""
    values = scores.astype(np.float64)
    if not len(values):
        return values
    low = values.min() if relative else min(0.0, values.min())
    spread = values.max() - low
    return np.ones(len(values)) if spread == 0 else (values - low) / spread

"""The best of what a source found."""

from __future__ import annotations

import numpy as np

from operators.batch import Ints
from operators.slate.candidates import Floats, Found
from operators.small_sets import best_scores, contains


def best_of(pins: Ints, scores: Floats, k: int, without: Ints | None = None) -> Found:
    """The ``k`` best, each pin once with its best score; equal scores by id."""
    if without is not None:
        stays = ~contains(pins, without)
        pins, scores = pins[stays], scores[stays]
    pins, scores = best_scores(pins, scores)
    order = np.lexsort((pins, -scores))[:k]
    return Found(pins[order], scores[order])

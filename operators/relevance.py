"""Topic relevance: how close a pin is to what a pinner saves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.decay import DAY_MS, Floats

#: Half-life of a save in a pinner's taste.
HALF_LIFE_MS = 30 * DAY_MS
#: How many of the latest saves make a pinner's taste.
SAVES = 100

Vectors = NDArray[np.float32]


def taste(times: Ints, vectors: Vectors) -> Floats:
    """A pinner's taste ``U = Σ 2**((t - max t) / half-life) · v``, ``(d,)`` float64.

    ``times`` (ms) and ``vectors`` ``(n, d)`` are those of the latest :data:`SAVES` saves. Scaling by
    the latest instead of the landmark leaves every cosine as it is and cannot overflow.
    """
    if not len(times):
        return np.zeros(vectors.shape[1] if vectors.ndim == 2 else 0)
    weights = np.exp2((times - times.max()) / HALF_LIFE_MS)
    return weights @ vectors.astype(np.float64)


def relevance(user: Floats, vectors: Vectors) -> Floats:
    """Cosine of a taste ``(d,)`` and pins ``(n, d)``: ``(n,)`` in -1 … 1, 0 where either is zero."""
    pins = vectors.astype(np.float64)
    if not len(user):
        return np.zeros(len(pins))
    length = np.linalg.norm(user) * np.linalg.norm(pins, axis=1)
    return np.divide(pins @ user, length, out=np.zeros(len(pins)), where=length > 0)

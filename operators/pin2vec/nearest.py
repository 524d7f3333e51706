"""The nearest vectors: one pass over all of them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath=True)
def nearest(wish, asked, slots, counts, inner, prior):  # type: ignore[no-untyped-def]
    """Rows with a vector, without those ``asked``, and ``cosine + prior · log(count)`` of each."""
    d = len(wish)
    length = np.float32(0.0)
    for i in range(d):
        length += wish[i] * wish[i]
    length = max(np.sqrt(length), np.float32(1e-12))
    found, scores = np.empty(len(slots), np.int64), np.empty(len(slots), np.float32)
    n = 0
    for row in range(len(slots)):
        if slots[row] < 0:
            continue
        own = False
        for i in range(len(asked)):
            own |= asked[i] == row
        if own:
            continue
        v = inner[slots[row]]
        dot, square = np.float32(0.0), np.float32(0.0)
        for i in range(d):
            dot += wish[i] * v[i]
            square += v[i] * v[i]
        cosine = dot / (length * max(np.sqrt(square), np.float32(1e-12)))
        found[n], scores[n] = row, cosine + prior * np.float32(np.log(np.float64(max(counts[row], 1))))
        n += 1
    return found[:n], scores[:n]

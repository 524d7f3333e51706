"""Cosines: inner products of rows of a large table of vectors with a few others, without copying the rows."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import Ints

Vectors = NDArray[np.float32]


# Sums in any order, so that the compiler may use wide registers; the order is the same for every row of every table.
@njit(cache=True, fastmath={"reassoc", "contract"})
def _products(vectors, rows, others, out):  # type: ignore[no-untyped-def]
    d = vectors.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        if row < 0:
            continue
        vector = vectors[row]
        for j in range(len(others)):
            other = others[j]
            total = np.float32(0)
            for at in range(d):
                total += vector[at] * other[at]
            out[i, j] = total


def cosines(vectors: Vectors, rows: Ints, others: Vectors) -> Vectors:
    """``(n, m)``: products of ``vectors[rows]`` and ``others`` ``(m, d)``; a row of NaN where ``rows`` ``(n,)`` is -1.

    All vectors are L2-normalised, so these are cosines.
    """
    out = np.full((len(rows), len(others)), np.nan, np.float32)
    if len(vectors) and len(others):
        _products(vectors, rows, np.ascontiguousarray(others), out)
    return out

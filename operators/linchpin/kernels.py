"""Compiled loops over rows. Sums run in an order that only the width decides, so a row's bits are its own.

A product of matrices by BLAS sums in another order for another number of rows; ``docs/linchpin.md`` says what
doing without costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@njit(cache=True)
def dots(a: Floats, b: Floats) -> Floats:  # pragma: no cover - compiled
    """``(n, d)``, ``(n, d)`` → ``(n,)`` inner products, summed in float64."""
    n, d = a.shape
    out = np.empty(n, np.float32)
    for row in range(n):
        # Four sums side by side keep the processor busy; their order is fixed.
        s0 = s1 = s2 = s3 = 0.0
        at = 0
        while at + 4 <= d:
            s0 += np.float64(a[row, at]) * b[row, at]
            s1 += np.float64(a[row, at + 1]) * b[row, at + 1]
            s2 += np.float64(a[row, at + 2]) * b[row, at + 2]
            s3 += np.float64(a[row, at + 3]) * b[row, at + 3]
            at += 4
        while at < d:
            s0 += np.float64(a[row, at]) * b[row, at]
            at += 1
        out[row] = (s0 + s1) + (s2 + s3)
    return out


@njit(cache=True)
def dense(x: Floats, weight: Floats, bias: Floats) -> Floats:  # pragma: no cover - compiled
    """``x`` ``(n, i)``, ``weight`` ``(i, o)``, ``bias`` ``(o,)`` → ``x weight + bias`` ``(n, o)``."""
    n, o = x.shape[0], weight.shape[1]
    out = np.empty((n, o), np.float32)
    for row in range(n):
        for j in range(o):
            out[row, j] = bias[j]
        for i in range(x.shape[1]):
            value = x[row, i]
            for j in range(o):
                out[row, j] += value * weight[i, j]
    return out


@njit(cache=True)
def finite(x: Floats, value: Any) -> Floats:  # pragma: no cover - compiled
    """``(n,)`` with ``value`` wherever a number is missing or infinite."""
    out = np.empty_like(x)
    for at in range(len(x)):
        out[at] = x[at] if np.isfinite(x[at]) else value
    return out


@njit(cache=True)
def common_ids(starts: Ints, ids: Ints, other_starts: Ints, other_ids: Ints) -> Ints:  # pragma: no cover - compiled
    """How many ids two sets of each row have in common, ``(n,)`` int64; the ids of a set ascend."""
    out = np.zeros(len(starts) - 1, np.int64)
    for row in range(len(out)):
        a, b = starts[row], other_starts[row]
        while a < starts[row + 1] and b < other_starts[row + 1]:
            if ids[a] == other_ids[b]:
                out[row] += 1
                a += 1
                b += 1
            elif ids[a] < other_ids[b]:
                a += 1
            else:
                b += 1
    return out


@njit(cache=True)
def trees(  # pragma: no cover - compiled
    x: Floats,
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    missing_left: NDArray[np.bool_],
    value: NDArray[np.float64],
    roots: NDArray[np.int32],
    base: float,
) -> NDArray[np.float64]:
    """``(n, d)`` → ``(n,)`` ``base`` plus the leaf of each tree, in float64. ``feature`` is -1 at a leaf."""
    out = np.empty(x.shape[0], np.float64)
    for row in range(x.shape[0]):
        total = base
        for root in roots:
            node = root
            while feature[node] >= 0:
                each = x[row, feature[node]]
                if np.isnan(each):
                    node = left[node] if missing_left[node] else right[node]
                else:
                    node = left[node] if each <= threshold[node] else right[node]
            total += value[node]
        out[row] = total
    return out

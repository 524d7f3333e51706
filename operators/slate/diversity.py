"""Diversity: greedy MAP inference of a determinantal point process, with soft spacing of owners and domains.

The kernel is ``L = Diag(e^{αr}) S Diag(e^{αr})`` with ``S_ij = (1 + <f_i, f_j>)/2``; the greedy choice is kept in
O(N·M²) by incremental Cholesky (Chen, Zhang and Zhou, "Fast greedy MAP inference for DPP", NeurIPS 2018).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import Floats
from operators.slate.greedy import places, spaced

#: Below this share of its own norm nothing new is left in a pin; the rest follows in order of relevance.
_SPENT = 1e-6


def similarity(vectors: Floats) -> Floats:
    """``(n, d)`` L2-normalised rows, or zero where unknown → ``S`` ``(n, n)`` in 0 … 1.

    A pin without a vector is half like every other: neither favoured nor pushed back.
    """
    wide = np.asarray(vectors, np.float32)
    kernel = wide @ wide.T
    kernel *= np.float32(0.5)
    kernel += np.float32(0.5)
    kernel.ravel()[:: len(kernel) + 1] = 1.0
    return kernel


def diverse_order(
    relevance: NDArray[np.float64],
    kernel: Floats,
    owners: Ints,
    domains: Ints,
    *,
    k: int,
    strength: float,
    spacing: float,
    window: int,
) -> NDArray[np.int64]:
    """Indices of ``min(k, n)`` pins, first place first.

    Args:
        relevance: ``(n,)``, about 0 … 1.
        kernel: ``(n, n)`` from :func:`similarity`.
        owners, domains: ``(n,)``; 0 means unknown and is never spaced.
        strength: 0 is relevance alone, towards 1 is diversity alone (``α = (1-strength)/(2·strength)·SCALE``).
        spacing: λ of :mod:`operators.slate.greedy`; 0 switches spacing off.
        window: how many places back spacing looks.

    Raises:
        ValueError: ``strength`` outside 0 … 1.
    """
    k = places(k, len(relevance), strength)
    if k == 0:
        return np.empty(0, np.int64)
    if strength == 0:
        alpha, kernel = _SCALE, np.eye(len(relevance), dtype=np.float32)
    else:
        alpha = (1 - strength) / (2 * strength) * _SCALE
    return _greedy(alpha * np.asarray(relevance, np.float64), kernel, owners, domains, k, spacing, window)


#: Relevance spans 0 … 1 while log-volumes span several units; at strength ½ both then weigh about the same.
_SCALE = 8.0


@njit(cache=True)
def _greedy(gain, kernel, owners, domains, k, spacing, window):  # type: ignore[no-untyped-def]
    n = gain.shape[0]
    rest = np.ones(n)  # d_i² of S, whose diagonal is 1; relevance enters as 2·gain in log space: nothing overflows
    cholesky = np.zeros((k, n))  # a row for each place, so that the loops over pins are over neighbours in memory
    values = 2 * gain
    taken = np.zeros(n, np.bool_)
    order = np.empty(k, np.int64)
    for step in range(k):
        best, best_value, spent = -1, -np.inf, True
        for i in range(n):
            if taken[i]:
                continue
            fresh = rest[i] > _SPENT
            if spent and fresh:
                best_value, spent = -np.inf, False
            if not spent and not fresh:
                continue
            value = values[i] if fresh else 2 * gain[i]
            if value <= best_value:
                continue  # spacing only takes away
            if spacing > 0:
                value = spaced(value, i, step, order, owners, domains, spacing, window)
            if value > best_value:
                best, best_value = i, value
        order[step] = best
        taken[best] = True
        if spent or step == k - 1:
            continue
        root = np.sqrt(rest[best])
        row = cholesky[step]
        for i in range(n):
            row[i] = kernel[best, i]
        for above in range(step):
            part = cholesky[above, best]
            for i in range(n):
                row[i] -= part * cholesky[above, i]
        for i in range(n):
            row[i] /= root
            rest[i] -= row[i] * row[i]
            if not taken[i] and rest[i] > _SPENT:
                values[i] = 2 * gain[i] + np.log(rest[i])
    return order

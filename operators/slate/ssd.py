"""Diversity by sliding spectrum decomposition: the volume that the last few pins span, and how much another adds.

The greedy choice of Huang, Wang, Peng and Wang, "Sliding Spectrum Decomposition for Diversified Recommendation" (KDD
2021): the pin with the largest ``r_i + γ·vol·|v_i⊥|``, where ``v_i⊥`` is what is left of its vector beside those
within the window and ``vol`` the product of what was left of each of them. Kept by Gram-Schmidt in O(N·M·w), from
cosines alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import Floats
from operators.slate.greedy import places, spaced

#: Below this share of its own norm nothing new is left in a pin.
_SPENT = 1e-6


def ssd_order(
    relevance: NDArray[np.float64],
    kernel: Floats,
    owners: Ints,
    domains: Ints,
    *,
    k: int,
    strength: float,
    spacing: float,
    window: int,
    sliding: int,
) -> NDArray[np.int64]:
    """Indices of ``min(k, n)`` pins, first place first; arguments as of
    :func:`operators.slate.diversity.diverse_order`.

    Args:
        strength: 0 is relevance alone, 1 diversity alone: ``γ = strength / (1 - strength)``.
        sliding: places of the window within which pins should differ, with the one that is filled; at least 1.

    Raises:
        ValueError: ``strength`` outside 0 … 1, or ``sliding`` below 1.
    """
    k = places(k, len(relevance), strength)
    if sliding < 1:
        raise ValueError(f"a sliding window of {sliding} places: it needs one at least")
    if k == 0:
        return np.empty(0, np.int64)
    # Scaled by 1 - strength, so that 1 needs no infinite γ; what spacing takes off is scaled alike.
    cosines = np.ascontiguousarray(2 * kernel - 1)
    np.fill_diagonal(cosines, 1.0)
    good = (1 - strength) * np.asarray(relevance, np.float64)
    return _greedy(good, cosines, owners, domains, k, strength, (1 - strength) * spacing, window, sliding)


@njit(cache=True)
def _greedy(good, cosines, owners, domains, k, gamma, spacing, window, sliding):  # type: ignore[no-untyped-def]
    n = len(good)
    left = np.ones(n)  # |v_i⊥|²
    parts = np.zeros((n, sliding))  # of each vector along the directions of the window
    norms = np.ones(sliding)
    taken = np.zeros(n, np.bool_)
    order = np.empty(k, np.int64)
    for step in range(k):
        slot = step % sliding
        if step >= sliding:
            # The oldest leaves the window: what lay along it is new again.
            for i in range(n):
                left[i] += parts[i, slot] * parts[i, slot]
                parts[i, slot] = 0.0
            norms[slot] = 1.0
        volume = 1.0
        for each in norms:
            volume *= each
        best, best_value = -1, -np.inf
        for i in range(n):
            if taken[i]:
                continue
            value = good[i] + gamma * volume * np.sqrt(max(left[i], 0.0))
            value = spaced(value, i, step, order, owners, domains, spacing, window)
            if value > best_value:
                best, best_value = i, value
        order[step] = best
        taken[best] = True
        if left[best] <= _SPENT:
            continue  # it lies in the window's span: there is no new direction
        norm = np.sqrt(left[best])
        norms[slot] = norm
        for i in range(n):
            if taken[i]:
                continue
            dot = cosines[best, i]
            for other in range(sliding):
                dot -= parts[best, other] * parts[i, other]
            parts[i, slot] = dot / norm
            left[i] -= parts[i, slot] * parts[i, slot]
    return order

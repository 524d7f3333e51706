"""Chance for compiled code: numbers that follow from a seed alone, without a generator to be made.

To make one of numpy's generators costs 20 µs, several times what a slate draws from it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
#: One unit of the 53 bits that a double holds.
_FRACTION = 1.0 / (1 << 53)


@njit(cache=True, nogil=True, inline="always")
def bits_of(seed, number):  # type: ignore[no-untyped-def]
    """The ``number``-th output of SplitMix64 (Steele et al., 2014): 64 bits."""
    x = np.uint64(seed) + np.uint64(number + 1) * _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit(cache=True, nogil=True, inline="always")
def chance(seed, number):  # type: ignore[no-untyped-def]
    """The ``number``-th draw from [0, 1)."""
    return np.float64(bits_of(seed, number) >> np.uint64(11)) * _FRACTION


@njit(cache=True, nogil=True)
def stream(seed, which):  # type: ignore[no-untyped-def]
    """A seed for one of several independent streams of draws."""
    return bits_of(bits_of(seed, 0), which)


@njit(cache=True, nogil=True)
def draws(seed, which, count):  # type: ignore[no-untyped-def]
    """``(count,)`` draws from [0, 1), of one stream of a seed."""
    own, out = stream(seed, which), np.empty(count)
    for number in range(count):
        out[number] = chance(own, number)
    return out


@njit(cache=True, nogil=True)
def best_first(values, seed, k):  # type: ignore[no-untyped-def]
    """``(min(k, n),)`` indices of the greatest of ``values`` ``(n,)``; equal ones in an order that the seed gives."""
    n = len(values)
    shuffled = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = np.int64(bits_of(seed, i) % np.uint64(i + 1))
        shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
    return shuffled[np.argsort(-values[shuffled], kind="mergesort")[:k]]

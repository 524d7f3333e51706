"""Phrases: every run of one to six words between two breaks, named by a number."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Ints

Mask = NDArray[np.bool_]

#: The most words of a phrase, after Pinterest's annotations (1–6 words).
LONGEST = 6
#: An odd multiplier (2**64 divided by the golden ratio): the order of words counts.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_POSITIVE = np.uint64(2**63 - 1)


@njit(cache=True)
def name_phrases(words, out):  # type: ignore[no-untyped-def]
    """:func:`phrases` for compiled code; ``out`` is ``(n, LONGEST)`` zeros."""
    for start in range(len(words)):
        name = np.uint64(0)
        for length in range(out.shape[1]):
            at = start + length
            if at >= len(words) or words[at] == 0:
                break
            name = (name ^ np.uint64(words[at])) * _STEP
            name ^= name >> np.uint64(29)
            out[start, length] = max(np.int64(1), np.int64(name & _POSITIVE))


def phrases(words: Ints) -> Ints:
    """The phrases of words ``(n,)``, in which 0 is a break: ``(n, LONGEST)`` by first word and length less one.

    0 where there is none.
    """
    ids = np.zeros((len(words), LONGEST), np.int64)
    name_phrases(np.ascontiguousarray(words, np.int64), ids)
    return ids

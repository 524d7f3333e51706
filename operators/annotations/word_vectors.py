"""Texts as vectors without a vocabulary: every word has fixed places and signs, which follow from its number alone.

Random indexing (Kanerva, Kristofersson, Holst, "Random indexing of text samples for latent semantic analysis", 2000)
and feature hashing (Weinberger et al., ICML 2009): cosines are about those of the bags of words, a new word needs no
training, and nothing has to be shipped.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.annotations.pin_words import PinWords
from operators.annotations.words import Field

#: Length of a vector, and places that a word has in it.
WIDTH, PLACES = 256, 8
#: What a word weighs by the field that it stands in: titles are about the pin, descriptions are sentences.
FIELD_WEIGHTS = np.zeros(len(Field), np.float32)
FIELD_WEIGHTS[[Field.TITLE, Field.DESCRIPTION, Field.LINK, Field.BOARD, Field.SEEN]] = (1.0, 0.3, 0.3, 0.5, 0.5)

Vectors = NDArray[np.float32]


@njit(cache=True, nogil=True)
def _sum(words, fields, ends, weights, out):  # type: ignore[no-untyped-def]
    begin = 0
    for row in range(len(ends)):
        for at in range(begin, ends[row]):
            if words[at] == 0:
                continue
            x = np.uint64(words[at])
            for _ in range(PLACES):
                # SplitMix64 (Steele et al., 2014).
                x += np.uint64(0x9E3779B97F4A7C15)
                y = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                y = (y ^ (y >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                y ^= y >> np.uint64(31)
                sign = 1.0 if y >> np.uint64(63) else -1.0
                out[row, np.int64(y & np.uint64(WIDTH - 1))] += sign * weights[fields[at]]
        begin = ends[row]


def word_vectors(some: PinWords, weights: Vectors = FIELD_WEIGHTS) -> Vectors:
    """``(n, WIDTH)``, L2-normalised; zero for a pin without words."""
    out = np.zeros((len(some.pins), WIDTH), np.float32)
    _sum(
        np.ascontiguousarray(some.words, np.int64), np.ascontiguousarray(some.fields, np.uint8),
        np.ascontiguousarray(some.ends, np.int64), weights, out,
    )  # fmt: skip
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)

"""Embeddings as bits: one a dimension, whether it is above its mean, so 256 floats (1 kB) become 32 bytes.

Hamming distance between them orders pictures nearly as the cosine does; what is lost comes back when a short list is
ordered again by the floats. Source: Zhai et al., "Learning a unified embedding for visual search at Pinterest",
KDD 2019, section 4.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Bits = NDArray[np.uint8]

_WORD = 8  # bytes that are compared at once


def binarise(vectors: Vectors, means: Vectors) -> Bits:
    """``(n, d)`` against ``(d,)`` → ``(n, d / 8)``, the first dimension in the highest bit of the first byte.

    Raises:
        ValueError: the lengths differ, or are no multiple of 8.
    """
    if vectors.shape[1:] != means.shape or means.size % 8:
        raise ValueError(f"vectors {vectors.shape} and means {means.shape}: one mean a dimension, a multiple of 8")
    return np.packbits(vectors > means, axis=1)


def signs(vectors: Vectors, means: Vectors) -> Vectors:
    """The same bits as ±1 ``(n, d)``: their inner product is d less twice the Hamming distance, so ranks are equal."""
    unpacked = np.unpackbits(binarise(vectors, means), axis=1)
    return unpacked.astype(np.float32) * 2 - 1


def hamming(queries: Bits, rows: Bits) -> NDArray[np.int64]:
    """``(q, b)`` and ``(n, b)`` → ``(q, n)``: in how many bits each differs from each."""
    theirs = _words(rows)
    distances = np.empty((len(queries), len(rows)), np.int64)
    for row, ours in enumerate(_words(queries)):
        np.bitwise_count(ours ^ theirs).sum(1, dtype=np.int64, out=distances[row])
    return distances


def nearest(distances: NDArray[np.int64], k: int) -> NDArray[np.intp]:
    """``(q, n)`` → ``(q, k)``: the rows of the smallest distances, nearest first, of equal ones the earlier first."""
    return np.argsort(distances, axis=1, kind="stable")[:, :k]


def _words(bits: Bits) -> NDArray[np.uint64]:
    padded = np.zeros((len(bits), -(-bits.shape[1] // _WORD) * _WORD), np.uint8)
    padded[:, : bits.shape[1]] = bits
    return padded.view(np.uint64)

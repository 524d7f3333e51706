"""Ids that are text, compiled: :func:`operators.identity.stable_id` for places in a buffer.

BLAKE2b (RFC 7693) of one block, without a key, to eight bytes: enough for text of 1 to 128 bytes.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from operators.batch import Ints

_IV = (
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
)  # fmt: skip
#: The first word of the parameter block: eight bytes out, no key, no tree.
_PARAMETERS = 0x01010008


@njit(cache=True, nogil=True)
def hash_places(buffer: NDArray[np.uint8], ids: Ints) -> None:
    """Put its id in the place of every text of ``ids``: a negative entry, ``-(start << 8 | length)`` in ``buffer``."""
    message = np.zeros(16, np.uint64)
    for i in range(len(ids)):
        if ids[i] < 0:
            place = -ids[i]
            start, length = place >> 8, place & 0xFF
            message[:] = 0
            for j in range(length):
                message[j >> 3] |= uint64(buffer[start + j]) << uint64(8 * (j & 7))
            ids[i] = np.int64(_first_eight_bytes(message, length) & uint64(2**63 - 1)) or 1


@njit(cache=True)
def _first_eight_bytes(m, length):  # type: ignore[no-untyped-def]
    """The digest of one last block, read as a big-endian integer."""
    h = uint64(_IV[0] ^ _PARAMETERS)
    # The matrix of 4 × 4 words; variables and not an array, so that they stay in registers.
    v = (
        h, uint64(_IV[1]), uint64(_IV[2]), uint64(_IV[3]),
        uint64(_IV[4]), uint64(_IV[5]), uint64(_IV[6]), uint64(_IV[7]),
        uint64(_IV[0]), uint64(_IV[1]), uint64(_IV[2]), uint64(_IV[3]),
        uint64(_IV[4]) ^ uint64(length), uint64(_IV[5]), ~uint64(_IV[6]), uint64(_IV[7]),
    )  # fmt: skip
    # Written out, as places in the message that are known beforehand make it a quarter faster.
    v = _round(v, m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    v = _round(v, m, 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
    v = _round(v, m, 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4)
    v = _round(v, m, 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8)
    v = _round(v, m, 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13)
    v = _round(v, m, 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9)
    v = _round(v, m, 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11)
    v = _round(v, m, 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10)
    v = _round(v, m, 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5)
    v = _round(v, m, 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0)
    v = _round(v, m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    v = _round(v, m, 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3)
    digest, big_endian = h ^ v[0] ^ v[8], uint64(0)
    for i in range(8):
        big_endian = big_endian << uint64(8) | (digest >> uint64(8 * i)) & uint64(0xFF)
    return big_endian


@njit(cache=True, forceinline=True)
def _round(v, m, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15):  # type: ignore[no-untyped-def]
    """Columns and diagonals, with the words of the message in this order."""
    v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15 = v
    v0, v4, v8, v12 = _mixed(v0, v4, v8, v12, m[s0], m[s1])
    v1, v5, v9, v13 = _mixed(v1, v5, v9, v13, m[s2], m[s3])
    v2, v6, v10, v14 = _mixed(v2, v6, v10, v14, m[s4], m[s5])
    v3, v7, v11, v15 = _mixed(v3, v7, v11, v15, m[s6], m[s7])
    v0, v5, v10, v15 = _mixed(v0, v5, v10, v15, m[s8], m[s9])
    v1, v6, v11, v12 = _mixed(v1, v6, v11, v12, m[s10], m[s11])
    v2, v7, v8, v13 = _mixed(v2, v7, v8, v13, m[s12], m[s13])
    v3, v4, v9, v14 = _mixed(v3, v4, v9, v14, m[s14], m[s15])
    return v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12, v13, v14, v15


@njit(cache=True, forceinline=True)
def _mixed(a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    a += b + x
    d = _turned(d ^ a, 32)
    c += d
    b = _turned(b ^ c, 24)
    a += b + y
    d = _turned(d ^ a, 16)
    c += d
    b = _turned(b ^ c, 63)
    return a, b, c, d


@njit(cache=True, forceinline=True)
def _turned(x, right):  # type: ignore[no-untyped-def]
    return (x >> uint64(right)) | (x << uint64(64 - right))

"""Ids that are text, compiled: :func:`operators.identity.stable_id` for places in a buffer.

BLAKE2b (RFC 7693) of one block, without a key, to eight bytes: enough for text of 1 to 128 bytes.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from operators.batch import Ints

_IV = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    np.int64,
)
#: The first word of the parameter block: eight bytes out, no key, no tree.
_PARAMETERS = 0x01010008


@njit(cache=True, nogil=True)
def hash_places(buffer: NDArray[np.uint8], ids: Ints) -> None:
    """Replace every negative entry of ``ids``, ``-(start << 8 | length)`` of a place in ``buffer``, by the id of that text."""  # noqa: E501
    message, v = np.zeros(16, np.uint64), np.zeros(16, np.uint64)
    for i in range(len(ids)):
        if ids[i] < 0:
            place = -ids[i]
            ids[i] = _hash(buffer, place >> 8, place & 0xFF, message, v)


@njit(cache=True)
def _hash(buffer, start, length, message, v):  # type: ignore[no-untyped-def]
    message[:] = 0
    for i in range(length):
        message[i >> 3] |= uint64(buffer[start + i]) << uint64(8 * (i & 7))
    h = _IV[0] ^ uint64(_PARAMETERS)
    v[:8], v[8:] = _IV, _IV
    v[0] = h
    v[12] ^= uint64(length)
    v[14] = ~v[14]  # the last block
    for i in range(12):
        order = _SIGMA[i % 10]
        _mix(v, 0, 4, 8, 12, message[order[0]], message[order[1]])
        _mix(v, 1, 5, 9, 13, message[order[2]], message[order[3]])
        _mix(v, 2, 6, 10, 14, message[order[4]], message[order[5]])
        _mix(v, 3, 7, 11, 15, message[order[6]], message[order[7]])
        _mix(v, 0, 5, 10, 15, message[order[8]], message[order[9]])
        _mix(v, 1, 6, 11, 12, message[order[10]], message[order[11]])
        _mix(v, 2, 7, 8, 13, message[order[12]], message[order[13]])
        _mix(v, 3, 4, 9, 14, message[order[14]], message[order[15]])
    digest = h ^ v[0] ^ v[8]
    big_endian = uint64(0)
    for i in range(8):
        big_endian = big_endian << uint64(8) | (digest >> uint64(8 * i)) & uint64(0xFF)
    return np.int64(big_endian & uint64(2**63 - 1)) or 1


@njit(cache=True)
def _mix(v, a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    v[a] += v[b] + x
    v[d] = _turned(v[d] ^ v[a], 32)
    v[c] += v[d]
    v[b] = _turned(v[b] ^ v[c], 24)
    v[a] += v[b] + y
    v[d] = _turned(v[d] ^ v[a], 16)
    v[c] += v[d]
    v[b] = _turned(v[b] ^ v[c], 63)


@njit(cache=True)
def _turned(x, right):  # type: ignore[no-untyped-def]
    return (x >> uint64(right)) | (x << uint64(64 - right))

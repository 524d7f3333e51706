"""Names of events that came without one: XXH64 of what they say, compiled.

XXH64 (Collet, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md) with seed 0, of seven little-endian
64-bit integers. The ids are stored, so neither the columns nor their order ever change.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from operators.batch import Ints

_1, _2, _3 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_4 = np.uint64(0x85EBCA77C2B2AE63)
_BYTES = np.uint64(7 * 8)
_63_BITS = np.uint64(2**63 - 1)


def content_ids(columns: Ints) -> Ints:
    """Ids in ``1 … 2**63 - 1`` of rows by what they hold, ``(7, n) -> (n,)``: XXH64, top bit cleared, 0 replaced by 1.

    The columns: kind, pinner, pin, board, time, slate, position.

    Raises:
        ValueError: there are not seven columns.
    """
    if len(columns) != 7:
        raise ValueError(f"events are named by seven columns, not {len(columns)}")
    ids = np.empty(columns.shape[1], np.int64)
    _hash(np.ascontiguousarray(columns), ids)
    return ids


@njit(cache=True, nogil=True)
def _hash(columns, ids):  # type: ignore[no-untyped-def]
    for i in range(columns.shape[1]):
        # The first 32 bytes go through four lanes, which are then folded into one.
        a = _round(_1 + _2, columns[0, i])
        b = _round(_2, columns[1, i])
        c = _round(uint64(0), columns[2, i])
        d = _round(uint64(0) - _1, columns[3, i])
        mixed = _turned(a, 1) + _turned(b, 7) + _turned(c, 12) + _turned(d, 18)
        mixed = _folded(_folded(_folded(_folded(mixed, a), b), c), d) + _BYTES
        # The rest goes eight bytes at a time.
        for j in range(4, 7):
            mixed = _turned(mixed ^ _round(uint64(0), columns[j, i]), 27) * _1 + _4
        mixed = (mixed ^ (mixed >> uint64(33))) * _2
        mixed = (mixed ^ (mixed >> uint64(29))) * _3
        mixed = (mixed ^ (mixed >> uint64(32))) & _63_BITS
        ids[i] = mixed if mixed else uint64(1)


@njit(cache=True)
def _round(lane, value):  # type: ignore[no-untyped-def]
    return _turned(lane + uint64(value) * _2, 31) * _1


@njit(cache=True)
def _folded(mixed, lane):  # type: ignore[no-untyped-def]
    return (mixed ^ _round(uint64(0), lane)) * _1 + _4


@njit(cache=True)
def _turned(x, bits):  # type: ignore[no-untyped-def]
    return (x << uint64(bits)) | (x >> uint64(64 - bits))

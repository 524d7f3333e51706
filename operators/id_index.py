"""Id index: 64-bit ids to a dense range, so that every other fold keeps plain arrays."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Dense = NDArray[np.int32]


@njit(cache=True, inline="always")
def first_slot(key, mask):  # type: ignore[no-untyped-def]
    """Where a key starts to look for its slot: the finaliser of SplitMix64 (Steele et al., 2014)."""
    x = np.uint64(key)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((x ^ (x >> np.uint64(31))) & np.uint64(mask))


@njit(cache=True)
def _intern(slots, ids, size, wanted, out, start):  # type: ignore[no-untyped-def]
    """Intern ``wanted[start:]`` until the table is half full; returns (size, where it stopped)."""
    mask = len(slots) - 1
    limit = len(slots) // 2
    for i in range(start, len(wanted)):
        key = wanted[i]
        slot = first_slot(key, mask)
        while slots[slot] >= 0 and ids[slots[slot]] != key:
            slot = (slot + 1) & mask
        if slots[slot] < 0:
            if size >= limit:
                return size, i
            slots[slot] = size
            ids[size] = key
            size += 1
        out[i] = slots[slot]
    return size, len(wanted)


@njit(cache=True)
def _lookup(slots, ids, wanted, out):  # type: ignore[no-untyped-def]
    mask = len(slots) - 1
    for i in range(len(wanted)):
        key = wanted[i]
        slot = first_slot(key, mask)
        while slots[slot] >= 0 and ids[slots[slot]] != key:
            slot = (slot + 1) & mask
        out[i] = slots[slot]


@njit(cache=True)
def _find(slots, ids, key):  # type: ignore[no-untyped-def]
    mask = len(slots) - 1
    slot = first_slot(key, mask)
    while slots[slot] >= 0 and ids[slots[slot]] != key:
        slot = (slot + 1) & mask
    return np.int64(slots[slot])


@njit(cache=True)
def _place(slots, ids, size):  # type: ignore[no-untyped-def]
    mask = len(slots) - 1
    for i in range(size):
        slot = first_slot(ids[i], mask)
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = i


class IdIndex:
    """Ids in order of first appearance; open addressing at most half full, 16–32 bytes an id.

    A slot holds the dense number alone: the id itself is looked up by it, which costs no more than an array of keys
    beside the slots, whose every read missed the processor's cache as well.
    """

    def __init__(self, capacity: int = 512) -> None:
        slots = 1 << max(4, (2 * capacity - 1).bit_length())
        self._slots = np.full(slots, -1, np.int32)
        self._ids = np.zeros(slots // 2, np.int64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def ids(self) -> Ints:
        """Dense number → id, ``(len(self),)``; a forgotten id reads as a negative number."""
        return self._ids[: self._size]

    @property
    def nbytes(self) -> int:
        return self._slots.nbytes + self._ids.nbytes

    def intern(self, ids: Ints) -> Dense:
        """Dense numbers of ids (non-negative), new ones in order of appearance. ``(n,) -> (n,)``."""
        wanted = np.ascontiguousarray(ids, np.int64)
        out = np.empty(len(wanted), np.int32)
        done = 0
        while True:
            self._size, done = _intern(self._slots, self._ids, self._size, wanted, out, done)
            if done == len(wanted):
                return out
            self._grow()

    def lookup(self, ids: Ints) -> Dense:
        """Dense numbers of ids, -1 where unknown. ``(n,) -> (n,)``."""
        wanted = np.ascontiguousarray(ids, np.int64)
        out = np.empty(len(wanted), np.int32)
        _lookup(self._slots, self._ids, wanted, out)
        return out

    def find(self, key: int) -> int:
        """Dense number of one id, -1 when unknown."""
        return int(_find(self._slots, self._ids, np.int64(key)))

    def forget(self, key: int) -> int:
        """Make an id unknown again; its dense number is never reused. Returns that number or -1."""
        dense = self.find(key)
        if dense >= 0:
            # A negative stand-in keeps the probe chain whole and can never be asked for.
            self._ids[dense] = -dense - 1
        return dense

    def _grow(self) -> None:
        slots = 2 * len(self._slots)
        self._slots = np.full(slots, -1, np.int32)
        ids = np.zeros(slots // 2, np.int64)
        ids[: self._size] = self._ids[: self._size]
        self._ids = ids
        _place(self._slots, self._ids, self._size)


def grown(array: NDArray, length: int, fill: int = 0) -> NDArray:  # type: ignore[type-arg]
    """The array itself when it has ``length`` rows, else a copy with at least twice the rows, padded with ``fill``."""
    if len(array) >= length:
        return array
    # Zeros are not written: the system gives memory to what is used, and half of what was just doubled is not.
    larger = np.zeros((max(length, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    if fill:
        larger[len(array) :] = fill
    return larger

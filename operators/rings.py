"""Rings: for every row, the latest few (time, pin, kind), in memory that grows with use."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import Ints, grown

_SMALLEST = 4  # entries of a first segment
_CLASSES = 32  # segments hold 2**class entries
_HELD = _CLASSES  # where the table of free segments counts the entries of those in use


class Entries(NamedTuple):
    """Entries of one row, newest first; arrays ``(n,)``."""

    pins: Ints
    times: Ints
    kinds: NDArray[np.uint8]


@njit(cache=True)
def _release(start, capacity, times, free):  # type: ignore[no-untyped-def]
    """Put a segment on the list of free ones of its size; the list runs through ``times``."""
    size_class = 0
    while (1 << size_class) < capacity:
        size_class += 1
    times[start] = free[size_class]
    free[size_class] = start
    free[_HELD] -= capacity


@njit(cache=True)
def _segment(capacity, times, free, used):  # type: ignore[no-untyped-def]
    """(start, used) of a segment of ``capacity`` (a power of two) entries; start is -1 when the arena is full."""
    size_class = 0
    while (1 << size_class) < capacity:
        size_class += 1
    start = free[size_class]
    if start < 0 and used + capacity > len(times):
        return -1, used
    free[_HELD] += capacity
    if start >= 0:
        free[size_class] = times[start]
        return start, used
    return used, used + capacity


@njit(cache=True)
def _push(rows, new_times, new_pins, new_kinds, first, limit, largest, table, times, pins, kinds, free, used):  # type: ignore[no-untyped-def]
    """Insert entries ``first…`` in order of (time, pin, kind); returns (where it stopped, used)."""
    for i in range(first, len(rows)):
        row = rows[i]
        start, capacity, head, count = table[row, 0], table[row, 1], table[row, 2], table[row, 3]
        time, pin, kind = new_times[i], new_pins[i], new_kinds[i]
        if count == limit:
            oldest = start + head
            if (time, pin, kind) <= (times[oldest], pins[oldest], kinds[oldest]):
                continue
            head = (head + 1) & (capacity - 1)
            count -= 1
        elif count == capacity and capacity < largest:
            larger = max(_SMALLEST, 2 * capacity)
            moved, used = _segment(larger, times, free, used)
            if moved < 0:
                return i, used
            for j in range(count):
                old = start + ((head + j) & (capacity - 1))
                times[moved + j], pins[moved + j], kinds[moved + j] = times[old], pins[old], kinds[old]
            if capacity > 0:
                _release(start, capacity, times, free)
            start, capacity, head = moved, larger, 0
        # Events come nearly in order, so the place is at or near the end.
        j = count
        at = start + ((head + j) & (capacity - 1))
        while j > 0:
            before = start + ((head + j - 1) & (capacity - 1))
            if (times[before], pins[before], kinds[before]) <= (time, pin, kind):
                break
            times[at], pins[at], kinds[at] = times[before], pins[before], kinds[before]
            at = before
            j -= 1
        times[at], pins[at], kinds[at] = time, pin, kind
        table[row, 0], table[row, 1], table[row, 2], table[row, 3] = start, capacity, head, count + 1
    return len(rows), used


class Rings:
    """The latest ``limit`` entries of each row by (time, pin, kind), whatever order they come in; 17 bytes each."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._largest = 1 << max(2, (limit - 1).bit_length())
        self._table = np.zeros((0, 4), np.int64)  # start, capacity, head, count
        self._times, self._pins = np.zeros(256, np.int64), np.zeros(256, np.int64)
        self._kinds = np.zeros(256, np.uint8)
        self._free = np.full(_CLASSES + 1, -1, np.int64)
        self._free[_HELD] = 0
        self._used = 0

    @property
    def held(self) -> int:
        """Entries that there is room for in all rows."""
        return int(self._free[_HELD])

    @property
    def nbytes(self) -> int:
        return self._table.nbytes + self._times.nbytes + self._pins.nbytes + self._kinds.nbytes

    @property
    def columns(self) -> tuple[Ints, Ints, Ints]:
        """For compiled code: ``(rows, 4)`` start, capacity, head and count of each row, and all times and pins."""
        return self._table, self._times, self._pins

    def push(self, rows: NDArray[np.int32], times: Ints, pins: Ints, kinds: NDArray[np.uint8]) -> None:
        """Insert entries; all ``(n,)``."""
        if not len(rows):
            return
        self._table = grown(self._table, int(rows.max()) + 1)
        done = 0
        while True:
            done, self._used = _push(
                rows, times, pins, kinds, done, self._limit, self._largest,
                self._table, self._times, self._pins, self._kinds, self._free, self._used,
            )  # fmt: skip
            if done == len(rows):
                return
            size = 2 * len(self._times) + self._largest
            self._times, self._pins = grown(self._times, size), grown(self._pins, size)
            self._kinds = grown(self._kinds, size)

    def of(self, row: int, k: int | None = None) -> Entries:
        """The ``k`` (default: all) latest entries of a row, newest first."""
        if not 0 <= row < len(self._table):
            return Entries(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
        start, capacity, head, count = self._table[row].tolist()
        order = np.arange(count - 1, max(count - k, 0) - 1 if k is not None else -1, -1)
        at = start + ((head + order) & (capacity - 1))
        return Entries(self._pins[at], self._times[at], self._kinds[at])

    def clear(self, row: int) -> None:
        """Drop a row's entries and free their memory."""
        if 0 <= row < len(self._table) and self._table[row, 1]:
            _release(self._table[row, 0], self._table[row, 1], self._times, self._free)
            self._table[row] = 0

    def keep(self, rows: Ints) -> None:
        """Keep only ``rows``, which become rows 0, 1, …; the memory of the others is free again."""
        gone = np.ones(len(self._table), np.bool_)
        gone[rows[rows < len(self._table)]] = False
        for row in np.flatnonzero(gone & (self._table[:, 1] > 0)).tolist():
            self.clear(row)
        self._table = grown(self._table, int(rows.max()) + 1 if len(rows) else 0)[rows]

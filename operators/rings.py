"""Rings: for every row, the latest few (time, pin, kind), in memory that grows with use.

Rows have segments of one arena, of powers of two. A segment that is left behind serves other rows that need one of its
size; where too much lies idle that way, the arena is closed up before it grows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import Ints, grown

_SMALLEST = 4  # entries of a first segment
_CLASSES = 32  # segments hold 2**class entries
_HELD = _CLASSES  # where the table of free segments counts the entries of those in use
_IDLE = 0.2  # share of what is used beyond which the arena is closed up
_KIND_BITS = 3  # of a brief entry's kind; above them stand the upper bits of its time
#: Times of brief entries stay below this (ms: the year 3084), later ones count as the last; kinds are below
#: :data:`KINDS`.
TIMES, KINDS = 1 << 45, 1 << _KIND_BITS


class Entries(NamedTuple):
    """Entries of one row, newest first; arrays ``(n,)``."""

    pins: Ints
    times: Ints
    kinds: NDArray[np.uint8]


@njit(cache=True, inline="always")
def _time_at(times, kinds, at):  # type: ignore[no-untyped-def]
    time = np.int64(times[at])
    return time if times.itemsize == 8 else time | np.int64(kinds[at] >> _KIND_BITS) << 32


@njit(cache=True, inline="always")
def _kind_at(times, kinds, at):  # type: ignore[no-untyped-def]
    return kinds[at] if times.itemsize == 8 else kinds[at] & (KINDS - 1)


@njit(cache=True)
def _release(start, capacity, pins, free):  # type: ignore[no-untyped-def]
    """Put a segment on the list of free ones of its size; the list runs through ``pins``."""
    size_class = 0
    while (1 << size_class) < capacity:
        size_class += 1
    pins[start] = free[size_class]
    free[size_class] = start
    free[_HELD] -= capacity


@njit(cache=True)
def _segment(capacity, pins, free, used, room):  # type: ignore[no-untyped-def]
    """(start, used) of a segment of ``capacity`` (a power of two) entries; start is -1 where there is no room."""
    size_class = 0
    while (1 << size_class) < capacity:
        size_class += 1
    start = free[size_class]
    if start < 0 and used + capacity > room:
        return -1, used
    free[_HELD] += capacity
    if start >= 0:
        free[size_class] = pins[start]
        return start, used
    return used, used + capacity


@njit(cache=True)
def _push(rows, new_times, new_pins, new_kinds, first, limit, largest, table, times, pins, kinds, free, used, room):  # type: ignore[no-untyped-def]
    """Insert entries ``first…`` in order of (time, pin, kind); returns (where it stopped, used)."""
    for i in range(first, len(rows)):
        row = rows[i]
        start, capacity, head, count = table[row, 0], table[row, 1], table[row, 2], table[row, 3]
        time, pin, kind = new_times[i], new_pins[i], new_kinds[i]
        if count == limit:
            oldest = start + head
            if (time, pin, kind) <= (_time_at(times, kinds, oldest), pins[oldest], _kind_at(times, kinds, oldest)):
                continue
            head = (head + 1) & (capacity - 1)
            count -= 1
        elif count == capacity and capacity < largest:
            larger = max(_SMALLEST, 2 * capacity)
            moved, used = _segment(larger, pins, free, used, room)
            if moved < 0:
                return i, used
            for j in range(count):
                old = start + ((head + j) & (capacity - 1))
                times[moved + j], pins[moved + j], kinds[moved + j] = times[old], pins[old], kinds[old]
            if capacity > 0:
                _release(start, capacity, pins, free)
            start, capacity, head = moved, larger, 0
        # Events come nearly in order, so the place is at or near the end.
        j = count
        at = start + ((head + j) & (capacity - 1))
        while j > 0:
            before = start + ((head + j - 1) & (capacity - 1))
            if (_time_at(times, kinds, before), pins[before], _kind_at(times, kinds, before)) <= (time, pin, kind):
                break
            times[at], pins[at], kinds[at] = times[before], pins[before], kinds[before]
            at = before
            j -= 1
        pins[at] = pin
        if times.itemsize == 8:
            times[at], kinds[at] = time, kind
        else:
            times[at], kinds[at] = time & 0xFFFFFFFF, time >> 32 << _KIND_BITS | kind
        table[row, 0], table[row, 1], table[row, 2], table[row, 3] = start, capacity, head, count + 1
    return len(rows), used


@njit(cache=True)
def _close_up(order, table, times, pins, kinds, free):  # type: ignore[no-untyped-def]
    """Put the segments of rows in ``order`` of their places one behind the other; returns the end of what is used."""
    used = 0
    for row in order:
        start, capacity = table[row, 0], table[row, 1]
        if start > used:
            for i in range(capacity):
                times[used + i], pins[used + i], kinds[used + i] = times[start + i], pins[start + i], kinds[start + i]
        table[row, 0] = used
        used += capacity
    free[:_HELD] = -1
    return used


class Rings:
    """The latest ``limit`` entries of each row by (time, pin, kind), whatever order they come in; 17 bytes each.

    Brief ones take 14: their times stay below :data:`TIMES`, and their kinds are below :data:`KINDS`.
    """

    def __init__(self, limit: int, *, brief: bool = False) -> None:
        self._limit, self._brief = limit, brief
        self._largest = 1 << max(2, (limit - 1).bit_length())
        self._table = np.zeros((0, 4), np.int64)  # start, capacity, head, count
        #: Of brief ones the lower half of the time, and the upper one above the kind.
        self._times: NDArray[Any] = np.zeros(256, np.uint32 if brief else np.int64)
        self._kinds: NDArray[Any] = np.zeros(256, np.uint16 if brief else np.uint8)
        self._pins = np.zeros(256, np.int64)
        self._free = np.full(_CLASSES + 1, -1, np.int64)
        self._free[_HELD] = 0
        self._used, self._room = 0, len(self._pins)

    @property
    def held(self) -> int:
        """Entries that there is room for in all rows."""
        return int(self._free[_HELD])

    @property
    def nbytes(self) -> int:
        """Bytes held. Beyond its room nothing of the arena was ever written, so the system has not given it."""
        entry = self._times.itemsize + self._pins.itemsize + self._kinds.itemsize
        return self._table.nbytes + self._room * entry

    @property
    def columns(self) -> tuple[Ints, Ints, Ints]:
        """For compiled code: ``(rows, 4)`` start, capacity, head and count of each row, and all times and pins.

        Not of brief ones, whose times are in two parts.
        """
        return self._table, self._times, self._pins

    def push(self, rows: NDArray[np.int32], times: Ints, pins: Ints, kinds: NDArray[np.uint8]) -> None:
        """Insert entries; all ``(n,)``. Raises ValueError for a kind that brief ones have no bits for."""
        if not len(rows):
            return
        if self._brief:
            if kinds.max() >= KINDS:
                raise ValueError(f"brief entries have kinds up to {KINDS - 1}")
            # From a broker without times an event may say it is of the year 9999.
            times = np.clip(times, 0, TIMES - 1)
        self._table = grown(self._table, int(rows.max()) + 1)
        done = 0
        while True:
            done, self._used = _push(
                rows, times, pins, kinds, done, self._limit, self._largest,
                self._table, self._times, self._pins, self._kinds, self._free, self._used, self._room,
            )  # fmt: skip
            if done == len(rows):
                return
            self._make_room()

    def of(self, row: int, k: int | None = None) -> Entries:
        """The ``k`` (default: all) latest entries of a row, newest first."""
        if not 0 <= row < len(self._table):
            return Entries(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
        start, capacity, head, count = self._table[row].tolist()
        order = np.arange(count - 1, max(count - k, 0) - 1 if k is not None else -1, -1)
        at = start + ((head + order) & (capacity - 1))
        times, kinds = self._times[at].astype(np.int64), self._kinds[at]
        if self._brief:
            times |= (kinds >> _KIND_BITS).astype(np.int64) << 32
            kinds = (kinds & (KINDS - 1)).astype(np.uint8)
        return Entries(self._pins[at], times, kinds)

    def clear(self, row: int) -> None:
        """Drop a row's entries and free their memory."""
        if 0 <= row < len(self._table) and self._table[row, 1]:
            _release(self._table[row, 0], self._table[row, 1], self._pins, self._free)
            self._table[row] = 0

    def keep(self, rows: Ints) -> None:
        """Keep only ``rows``, which become rows 0, 1, …; the memory of the others is free again."""
        gone = np.ones(len(self._table), np.bool_)
        gone[rows[rows < len(self._table)]] = False
        for row in np.flatnonzero(gone & (self._table[:, 1] > 0)).tolist():
            self.clear(row)
        self._table = grown(self._table, int(rows.max()) + 1 if len(rows) else 0)[rows]

    def close_up(self) -> None:
        """Put what rows hold at the beginning of the arena, and what is free behind it; no entry changes."""
        rows = np.flatnonzero(self._table[:, 1])
        order = rows[np.argsort(self._table[rows, 0])]
        self._used = int(_close_up(order, self._table, self._times, self._pins, self._kinds, self._free))

    def _make_room(self) -> None:
        """Have room for another segment: where segments lie idle by closing up, else by a quarter more."""
        if self._used - self.held > _IDLE * self._used:
            self.close_up()
        self._room = max(self._used + self._largest, self._used + self._used // 4)
        if self._room > len(self._pins):
            self._times, self._pins, self._kinds = (
                grown(column, self._room) for column in (self._times, self._pins, self._kinds)
            )

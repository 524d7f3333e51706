"""Counts of the job in open-addressing tables, and the compiled fold of columns into them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bench.peers.answer import MINUTE

#: Columns of the scanner's matrix.
PIN, DOMAIN, TIME, TYPE = range(4)
TYPES_AT_MOST = 8
#: A row of the table of pins: pin, minute and type, count, and one unused, so that a row lies in one cache line.
COUNT = 2
#: Without numba's reference counts, which cost more than the counting; see ``operators.scan``.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
_compiled = njit(**_OPTIONS)
_inlined = njit(forceinline=True, **_OPTIONS)


@_inlined
def _mixed(key):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser."""
    x = np.uint64(key)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_inlined
def _text_hash(buffer, start, end):  # type: ignore[no-untyped-def]
    """Eight bytes at a time: much the same as any multiplying hash, equality is checked on the bytes."""
    mixed, at = np.uint64(end - start), start
    while at < end:
        word, stop = np.uint64(0), min(at + 8, end)
        while at < stop:
            word = word << np.uint64(8) | np.uint64(buffer[at])
            at += 1
        mixed = (mixed ^ word) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed


@_inlined
def _domain(buffer, start, end, slots, ends, texts, size):  # type: ignore[no-untyped-def]
    """The number of a domain's text, a new one where it is new, and how many there are; the caller made room."""
    mask = np.uint64(len(slots) - 1)
    slot = _text_hash(buffer, start, end) & mask
    while slots[slot] >= 0:
        known = slots[slot]
        first = ends[known]
        if ends[known + 1] - first == end - start:
            at = 0
            while at < end - start and texts[first + at] == buffer[start + at]:
                at += 1
            if at == end - start:
                return known, size
        slot = (slot + np.uint64(1)) & mask
    slots[slot] = size
    for at in range(end - start):
        texts[ends[size] + at] = buffer[start + at]
    ends[size + 1] = ends[size] + end - start
    return size, size + 1


@_inlined
def _slot(rows, pin, when):  # type: ignore[no-untyped-def]
    """Where (pin, when) stands, or would."""
    mask = np.uint64(len(rows) - 1)
    slot = _mixed(np.uint64(pin) ^ np.uint64(when) * np.uint64(0x9E3779B97F4A7C15)) & mask
    while rows[slot, COUNT] and (rows[slot, 0] != pin or rows[slot, 1] != when):
        slot = (slot + np.uint64(1)) & mask
    return slot


@_compiled
def fold(buffer, columns, odd, row, rows, size, slots, ends, texts, domains, domain_counts):  # type: ignore[no-untyped-def]
    """Count rows from ``row`` on that are not odd, until all are or a table is half full.

    ``columns`` ``(4, n)`` with a domain as ``-(start << 8 | length)``; ``rows`` ``(slots, 4)``. Returns (row, pins'
    entries, domains).
    """
    while row < len(odd):
        if not odd[row]:
            if 2 * size >= len(rows) or 2 * domains >= len(slots) or ends[domains] + 256 > len(texts):
                break
            pin, kind = columns[PIN, row], columns[TYPE, row]
            when = columns[TIME, row] // MINUTE << 3 | kind
            slot = _slot(rows, pin, when)
            if rows[slot, COUNT] == 0:
                rows[slot, 0], rows[slot, 1] = pin, when
                size += 1
            rows[slot, COUNT] += 1
            place = -columns[DOMAIN, row]
            start = place >> 8
            number, domains = _domain(buffer, start, start + (place & 0xFF), slots, ends, texts, domains)
            domain_counts[number, kind] += 1
        row += 1
    return row, size, domains


@_compiled
def _moved(rows, larger):  # type: ignore[no-untyped-def]
    for old in range(len(rows)):
        if rows[old, COUNT]:
            slot = _slot(larger, rows[old, 0], rows[old, 1])
            larger[slot, 0], larger[slot, 1], larger[slot, COUNT] = rows[old, 0], rows[old, 1], rows[old, COUNT]


@_compiled
def _placed(texts, ends, domains, slots):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(slots) - 1)
    for number in range(domains):
        slot = _text_hash(texts, ends[number], ends[number + 1]) & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = number


class Tables:
    """Both counts; they grow by themselves."""

    def __init__(self, slots: int = 1 << 16) -> None:
        self._rows, self._size = np.zeros((slots, 4), np.int64), 0
        self._domains = 0
        self._slots = np.full(1 << 10, -1, np.int64)
        self._ends = np.zeros(len(self._slots) // 2 + 2, np.int64)
        self._texts = np.zeros(1 << 14, np.uint8)
        self._domain_counts = np.zeros((len(self._slots) // 2 + 1, TYPES_AT_MOST), np.int64)

    def fold(self, buffer: NDArray[np.uint8], columns: NDArray[np.int64], odd: NDArray[np.bool_]) -> None:
        """Count the rows ``(n,)`` that are not odd."""
        row = 0
        while True:
            pins = (self._rows, self._size)
            names = (self._slots, self._ends, self._texts, self._domains, self._domain_counts)
            row, self._size, self._domains = fold(buffer, columns, odd, row, *pins, *names)
            if row == len(odd):
                return
            self._grow()

    def pins(self) -> list[tuple[int, int, int, int]]:
        """(pin, type, minute, count)."""
        used = self._rows[self._rows[:, COUNT] > 0]
        columns = (used[:, 0], used[:, 1] & 7, used[:, 1] >> 3, used[:, COUNT])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def domains(self) -> list[tuple[str, int, int]]:
        """(domain, type, count)."""
        found: list[tuple[str, int, int]] = []
        for number in range(self._domains):
            name = self._texts[self._ends[number] : self._ends[number + 1]].tobytes().decode()
            row: list[Any] = self._domain_counts[number].tolist()
            found += [(name, kind, count) for kind, count in enumerate(row) if count]
        return found

    def _grow(self) -> None:
        """Whatever is half full doubles."""
        if 2 * self._size >= len(self._rows):
            larger = np.zeros((2 * len(self._rows), 4), np.int64)
            _moved(self._rows, larger)
            self._rows = larger
        if self._ends[self._domains] + 256 > len(self._texts):
            self._texts = np.concatenate((self._texts, np.zeros_like(self._texts)))
        if 2 * self._domains >= len(self._slots):
            self._slots = np.full(2 * len(self._slots), -1, np.int64)
            _placed(self._texts, self._ends, self._domains, self._slots)
            self._ends = np.concatenate((self._ends, np.zeros_like(self._ends)))
            self._domain_counts = np.concatenate((self._domain_counts, np.zeros_like(self._domain_counts)))

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
_compiled = njit(cache=True, nogil=True)


@_compiled
def _mixed(key):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser."""
    x = np.uint64(key)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_compiled
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


@_compiled
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


@_compiled
def fold(buffer, columns, odd, row, keys, counts, size, slots, ends, texts, domains, domain_counts):  # type: ignore[no-untyped-def]
    """Count rows from ``row`` on that are not odd, until all are or a table is half full.

    ``columns`` ``(4, n)`` with a domain as ``-(start << 8 | length)``; ``keys`` ``(slots, 2)``. Returns (row, pins'
    entries, domains).
    """
    mask = np.uint64(len(counts) - 1)
    while row < len(odd):
        if not odd[row]:
            if 2 * size >= len(counts) or 2 * domains >= len(slots) or ends[domains] + 256 > len(texts):
                break
            pin, kind = columns[PIN, row], columns[TYPE, row]
            when = columns[TIME, row] // MINUTE << 3 | kind
            slot = _mixed(pin ^ np.int64(_mixed(when))) & mask
            while counts[slot] and (keys[slot, 0] != pin or keys[slot, 1] != when):
                slot = (slot + np.uint64(1)) & mask
            if counts[slot] == 0:
                keys[slot, 0], keys[slot, 1] = pin, when
                size += 1
            counts[slot] += 1
            place = -columns[DOMAIN, row]
            start = place >> 8
            number, domains = _domain(buffer, start, start + (place & 0xFF), slots, ends, texts, domains)
            domain_counts[number, kind] += 1
        row += 1
    return row, size, domains


@_compiled
def _moved(keys, counts, new_keys, new_counts):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(new_counts) - 1)
    for old in range(len(counts)):
        if counts[old]:
            slot = _mixed(keys[old, 0] ^ np.int64(_mixed(keys[old, 1]))) & mask
            while new_counts[slot]:
                slot = (slot + np.uint64(1)) & mask
            new_keys[slot, 0], new_keys[slot, 1], new_counts[slot] = keys[old, 0], keys[old, 1], counts[old]


class Tables:
    """Both counts; they grow by themselves."""

    def __init__(self, slots: int = 1 << 16) -> None:
        self._keys, self._counts, self._size = np.zeros((slots, 2), np.int64), np.zeros(slots, np.int64), 0
        self._domains = 0
        self._slots = np.full(1 << 10, -1, np.int64)
        self._ends = np.zeros(len(self._slots) // 2 + 2, np.int64)
        self._texts = np.zeros(1 << 14, np.uint8)
        self._domain_counts = np.zeros((len(self._slots) // 2 + 1, TYPES_AT_MOST), np.int64)

    def fold(self, buffer: NDArray[np.uint8], columns: NDArray[np.int64], odd: NDArray[np.bool_]) -> None:
        """Count the rows ``(n,)`` that are not odd."""
        row = 0
        while True:
            pins = (self._keys, self._counts, self._size)
            names = (self._slots, self._ends, self._texts, self._domains, self._domain_counts)
            row, self._size, self._domains = fold(buffer, columns, odd, row, *pins, *names)
            if row == len(odd):
                return
            self._grow()

    def add(self, pin: int, kind: int, time: int, domain: bytes) -> None:
        """Count one event that the scanner left to the exact path; ``domain`` has 255 bytes at most."""
        columns = np.array([[pin], [-len(domain)], [time], [kind]], np.int64)
        self.fold(np.frombuffer(domain, np.uint8), columns, np.zeros(1, np.bool_))

    def pins(self) -> list[tuple[int, int, int, int]]:
        """(pin, type, minute, count)."""
        used = self._counts > 0
        keys, counts = self._keys[used], self._counts[used]
        columns = (keys[:, 0], keys[:, 1] & 7, keys[:, 1] >> 3, counts)
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
        if 2 * self._size >= len(self._counts):
            keys, counts = np.zeros((2 * len(self._keys), 2), np.int64), np.zeros(2 * len(self._counts), np.int64)
            _moved(self._keys, self._counts, keys, counts)
            self._keys, self._counts = keys, counts
        if self._ends[self._domains] + 256 > len(self._texts):
            self._texts = np.concatenate((self._texts, np.zeros_like(self._texts)))
        if 2 * self._domains >= len(self._slots):
            self._slots = np.full(2 * len(self._slots), -1, np.int64)
            mask = np.uint64(len(self._slots) - 1)
            for number in range(self._domains):
                slot = _text_hash(self._texts, self._ends[number], self._ends[number + 1]) & mask
                while self._slots[slot] >= 0:
                    slot = (slot + np.uint64(1)) & mask
                self._slots[slot] = number
            self._ends = np.concatenate((self._ends, np.zeros_like(self._ends)))
            self._domain_counts = np.concatenate((self._domain_counts, np.zeros_like(self._domain_counts)))

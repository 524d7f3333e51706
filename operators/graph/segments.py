"""Segments: each node's neighbours in one run of an arena, so that a neighbour is two reads away.

A compacted arena is plain CSR (runs one behind the other, no room between them); what grows moves to the end of the
arena, into a run of twice the size. A node's row says where, so a walk reads an old and a new node alike.

Neighbours are grouped by their own key (a language, a topic), in order of arrival within a group. A node with several
groups has their ends in front of its run: one key is a sub-range, found without a search.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import grown

#: Columns of a node's row: first neighbour, how many, which keys they have (a bit each), entries that the run has.
START, DEGREE, KEYS, ROOM = 0, 1, 2, 3
#: Keys are 0 … 30.
MOST_KEYS = 31
#: Where :attr:`Side.state` has the end of what is used, the end of what must not be written to, and how many entries
#: were left behind by runs that moved.
USED, FROZEN, LEFT = 0, 1, 2
_SMALLEST = 2


@njit(cache=True, nogil=True)
def bits(mask):  # type: ignore[no-untyped-def]
    """How many bits are set in 31."""
    mask = mask - ((mask >> 1) & 0x55555555)
    mask = (mask & 0x33333333) + ((mask >> 2) & 0x33333333)
    return (((mask + (mask >> 4)) & 0x0F0F0F0F) * 0x01010101 & 0xFFFFFFFF) >> 24


@njit(cache=True, nogil=True)
def heading(keys):  # type: ignore[no-untyped-def]
    """Entries in front of a run: none where all neighbours have one key."""
    return bits(keys) if keys & (keys - 1) else 0


@njit(cache=True, nogil=True)
def _move(node, keys, entries, table, arena, marks, state):  # type: ignore[no-untyped-def]
    """Give a node a run at the end of the arena, with room for ``entries`` and the groups of ``keys``."""
    start, degree, old = np.int64(table[node, START]), np.int64(table[node, DEGREE]), np.int64(table[node, KEYS])
    had, has = heading(old), heading(keys)
    room = _SMALLEST
    while room < has + entries:
        room *= 2
    to = state[USED] + has
    state[USED] += room
    state[LEFT] += table[node, ROOM]
    for i in range(degree):
        arena[to + i] = arena[start + i]
    if len(marks):
        for i in range(degree):
            marks[to + i] = marks[start + i]
    if has:
        group, old_group, end = 0, 0, np.int64(0)
        for key in range(MOST_KEYS):
            if old >> key & 1:
                end = np.int64(arena[start - had + old_group]) if had else degree
                old_group += 1
            if keys >> key & 1:
                arena[to - has + group] = end
                group += 1
    table[node, START], table[node, KEYS], table[node, ROOM] = to, keys, room


@njit(cache=True, nogil=True)
def own(node, table, arena, marks, state):  # type: ignore[no-untyped-def]
    """Make a node's run one that may be written to."""
    if table[node, START] - heading(np.int64(table[node, KEYS])) < state[FROZEN]:
        _move(node, np.int64(table[node, KEYS]), table[node, DEGREE], table, arena, marks, state)


@njit(cache=True, nogil=True)
def fits(node, table, arena, state):  # type: ignore[no-untyped-def]
    """Whether one more neighbour can be taken, wherever the run has to go."""
    return state[USED] + 2 * (table[node, DEGREE] + MOST_KEYS + 2) <= len(arena)


@njit(cache=True, nogil=True)
def find(node, neighbour, table, arena):  # type: ignore[no-untyped-def]
    """Place of a neighbour in the arena, -1 where it is none; looks at all."""
    start, degree = np.int64(table[node, START]), np.int64(table[node, DEGREE])
    for i in range(start, start + degree):
        if arena[i] == neighbour:
            return i
    return np.int64(-1)


@njit(cache=True, nogil=True)
def insert(node, neighbour, key, mark, table, arena, marks, state):  # type: ignore[no-untyped-def]
    """Put a neighbour, not there yet, behind those of its key. :func:`fits` must have said so."""
    keys = np.int64(table[node, KEYS]) | (np.int64(1) << key)
    degree, head = np.int64(table[node, DEGREE]), heading(keys)
    begin = table[node, START] - heading(np.int64(table[node, KEYS]))
    if keys != table[node, KEYS] or head + degree + 1 > table[node, ROOM] or begin < state[FROZEN]:
        _move(node, keys, degree + 1, table, arena, marks, state)
    start, at = np.int64(table[node, START]), degree
    if head:
        group = bits(keys & ((np.int64(1) << key) - 1))
        at = np.int64(arena[start - head + group])
        for later in range(group, head):
            arena[start - head + later] += 1
    for i in range(start + degree, start + at, -1):
        arena[i] = arena[i - 1]
    arena[start + at] = neighbour
    if len(marks):
        for i in range(start + degree, start + at, -1):
            marks[i] = marks[i - 1]
        marks[start + at] = mark
    table[node, DEGREE] = degree + 1


@njit(cache=True, nogil=True)
def delete(node, place, table, arena, marks, state):  # type: ignore[no-untyped-def]
    """Take the neighbour at a place out; the others keep their order."""
    at = place - table[node, START]
    own(node, table, arena, marks, state)
    start, last = np.int64(table[node, START]), np.int64(table[node, DEGREE]) - 1
    for i in range(start + at, start + last):
        arena[i] = arena[i + 1]
    if len(marks):
        for i in range(start + at, start + last):
            marks[i] = marks[i + 1]
    head = heading(np.int64(table[node, KEYS]))
    for group in range(start - head, start):
        if arena[group] > at:
            arena[group] -= 1
    table[node, DEGREE] = last


class Side:
    """One direction of the graph: rows ``(n, 4) int32``, the arena ``int32``, and a byte for each entry or none."""

    def __init__(self, marked: bool) -> None:
        self.table = np.zeros((0, 4), np.int32)
        self.keys = np.zeros(0, np.uint8)
        self.arena = np.zeros(0, np.int32)
        self.marks = np.zeros(0, np.uint8)
        self.marked = marked
        self.state = np.zeros(3, np.int64)
        self.room(64)

    @property
    def nbytes(self) -> int:
        """Bytes held, room for more included."""
        return self.table.nbytes + self.keys.nbytes + self.arena.nbytes + self.marks.nbytes

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """What the compiled operators take."""
        return self.table, self.arena, self.marks, self.state, self.keys

    def rows(self, n: int) -> None:
        """Have rows for ``n`` nodes."""
        self.table, self.keys = grown(self.table, n), grown(self.keys, n)

    def room(self, entries: int) -> None:
        """Have room for so many more entries, and a quarter beyond. Raises OverflowError beyond 2³¹ entries."""
        used = int(self.state[USED])
        if used + entries > len(self.arena):
            wanted = max(used + entries, len(self.arena) + len(self.arena) // 4)
            if wanted > np.iinfo(np.int32).max:
                raise OverflowError("a graph has at most 2^31 edges: give it a smaller most_saved")
            self.arena = _extended(self.arena, used, wanted)
            if self.marked:
                self.marks = _extended(self.marks, used, wanted)


def _extended(array: NDArray, used: int, length: int) -> NDArray:  # type: ignore[type-arg]
    # Zeros are not written: the system gives memory to what is used.
    larger = np.zeros(length, array.dtype)
    larger[:used] = array[:used]
    return larger

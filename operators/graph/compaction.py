"""Compaction: a side's runs one behind the other, without room, made while the live side goes on.

What is frozen is never written to: a node that changes meanwhile gets a run behind it. So the work reads what stands
still, may be done by any thread, and :func:`swapped` only has to bring over what changed. Runs are copied as they are:
a walk gives the same before and after, whenever that is.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.graph.segments import DEGREE, FROZEN, KEYS, LEFT, ROOM, START, USED, Side, heading

Table = NDArray[np.int32]


@njit(cache=True, nogil=True)
def _packed(table, arena, marks, new_table, new_arena, new_marks):  # type: ignore[no-untyped-def]
    used = np.int64(0)
    for node in range(len(table)):
        degree, head = np.int64(table[node, DEGREE]), heading(np.int64(table[node, KEYS]))
        if not degree:
            continue
        begin = table[node, START] - head
        for i in range(head + degree):
            new_arena[used + i] = arena[begin + i]
        if len(marks):
            for i in range(head, head + degree):
                new_marks[used + i] = marks[begin + i]
        new_table[node, START], new_table[node, DEGREE] = used + head, degree
        new_table[node, KEYS], new_table[node, ROOM] = table[node, KEYS], head + degree
        used += head + degree


@njit(cache=True, nogil=True)
def _size(table):  # type: ignore[no-untyped-def]
    size = np.int64(0)
    for node in range(len(table)):
        if table[node, DEGREE]:
            size += heading(np.int64(table[node, KEYS])) + table[node, DEGREE]
    return size


@njit(cache=True, nogil=True)
def _brought(live, before, packed, arena, marks, new_arena, new_marks, used):  # type: ignore[no-untyped-def]
    """Rows of the live table as they are in the new arena; runs that changed are copied behind ``used``.

    Returns the end of what is used, and how many entries of it are left behind.
    """
    left = np.int64(0)
    for node in range(len(live)):
        if node < len(before):
            same = True
            for column in range(4):
                same &= live[node, column] == before[node, column]
            if same:
                for column in range(4):
                    live[node, column] = packed[node, column]
                continue
            left += packed[node, ROOM]
        head = heading(np.int64(live[node, KEYS]))
        begin, room = live[node, START] - head, live[node, ROOM]
        if not live[node, DEGREE]:
            live[node, START] = live[node, KEYS] = live[node, ROOM] = 0
            continue
        for i in range(room):
            new_arena[used + i] = arena[begin + i]
        if len(marks):
            for i in range(room):
                new_marks[used + i] = marks[begin + i]
        live[node, START] = used + head
        used += room
    return used, left


class Compaction:
    """One side, frozen as it is now. :meth:`run` may be called in another thread, then :meth:`swap` in the first."""

    def __init__(self, side: Side) -> None:
        side.state[FROZEN] = side.state[USED]
        self._side, self._before = side, side.table.copy()
        self._arena, self._marks = side.arena, side.marks
        self._frozen = int(side.state[USED])
        self._packed = np.zeros_like(side.table)
        self._new_arena, self._new_marks = side.arena[:0], side.marks[:0]
        self._size = 0

    def run(self) -> None:
        """Copy every run to its new place; holds no lock."""
        self._size = int(_size(self._before))
        # Room for what comes until the next time; what is not used of it takes no memory.
        room = self._size + max(64, self._size // 4)
        self._new_arena = np.zeros(room, np.int32)
        self._new_marks = np.zeros(room if self._side.marked else 0, np.uint8)
        _packed(self._before, self._arena, self._marks, self._packed, self._new_arena, self._new_marks)

    def swap(self) -> None:
        """Let the side have the new arena, with all that changed since."""
        side, size = self._side, self._size
        wanted = size + int(side.state[USED]) - self._frozen
        if wanted > len(self._new_arena):
            self._new_arena = np.concatenate([self._new_arena[:size], np.zeros(2 * (wanted - size), np.int32)])
            if side.marked:
                self._new_marks = np.concatenate([self._new_marks[:size], np.zeros(2 * (wanted - size), np.uint8)])
        side.state[USED], side.state[LEFT] = _brought(
            side.table, self._before, self._packed, side.arena, side.marks, self._new_arena, self._new_marks, size
        )
        side.arena, side.marks = self._new_arena, self._new_marks
        self.leave()

    def leave(self) -> None:
        """Let the side be what it is: instead of :meth:`swap`, where :meth:`run` failed."""
        self._side.state[FROZEN] = 0

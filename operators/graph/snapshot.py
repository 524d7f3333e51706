"""A graph as columns, and back; nodes that stand alone are left out, which is also how their memory comes back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.graph.segments import DEGREE, KEYS, ROOM, START, USED, Side, heading
from operators.id_index import IdIndex

Columns = dict[str, NDArray[np.generic]]
_ARRAYS = ("table", "keys", "arena", "marks")


@njit(cache=True, nogil=True)
def _packed(kept, renamed, table, arena, marks, new_table, new_arena, new_marks):  # type: ignore[no-untyped-def]
    """Runs of the ``kept`` nodes one behind the other, their neighbours by new numbers."""
    used = np.int64(0)
    for row in range(len(kept)):
        start, degree = np.int64(table[kept[row], START]), np.int64(table[kept[row], DEGREE])
        keys = np.int64(table[kept[row], KEYS])
        if not degree:
            continue
        head = heading(keys)
        for i in range(head):
            new_arena[used + i] = arena[start - head + i]
        used += head
        for i in range(degree):
            new_arena[used + i] = renamed[arena[start + i]]
        if len(marks):
            for i in range(degree):
                new_marks[used + i] = marks[start + i]
        new_table[row, START], new_table[row, DEGREE] = used, degree
        new_table[row, KEYS], new_table[row, ROOM] = keys, head + degree
        used += degree
    return used


def kept(side: Side, index: IdIndex) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Nodes with a neighbour or a key, and each node's number among them."""
    n = len(index)
    rows = np.flatnonzero((side.table[:n, DEGREE] > 0) | (side.keys[:n] > 0))
    renamed = np.full(n, -1, np.int32)
    renamed[rows] = np.arange(len(rows))
    return rows, renamed


def columns_of(name: str, side: Side, rows: NDArray[np.int64], renamed: NDArray[np.int32]) -> Columns:
    """The side of the nodes ``rows``, whose neighbours have the numbers ``renamed``."""
    table, used = np.zeros((len(rows), 4), np.int32), int(side.state[USED])
    arena, marks = np.zeros(used, np.int32), np.zeros(used if side.marked else 0, np.uint8)
    used = int(_packed(rows, renamed, side.table, side.arena, side.marks, table, arena, marks))
    arrays = (table, side.keys[rows], arena[:used].copy(), marks[:used].copy())
    return {f"{name}_{each}": array for each, array in zip(_ARRAYS, arrays, strict=True)}


def side_of(name: str, columns: Mapping[str, NDArray[np.generic]], marked: bool) -> Side:
    """What :func:`columns_of` wrote. Raises KeyError for a column that is missing."""
    side = Side(marked)
    for each in _ARRAYS:
        setattr(side, each, np.array(columns[f"{name}_{each}"]))
    side.state[USED] = len(side.arena)
    side.room(64)
    return side

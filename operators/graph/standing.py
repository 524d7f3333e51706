"""Where pins stand, in two numbers each, and whether that has changed enough for a new vector."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.graph.live import LiveGraph
from operators.graph.segments import DEGREE, START
from operators.id_index import Ints, first_slot

#: On so few boards each of them counts; on more, a pin's neighbourhood is another when its boards are twice as many or
#: half as many as they were.
FEW, MUCH = 4, 2.0
_MASK = (1 << 62) - 1


class Standing(NamedTuple):
    """Boards of each pin, and a number that is another when they are others, both ``(n,)`` int64; 0 for none."""

    boards: Ints
    sums: Ints


@njit(cache=True)
def _standing(rows, table, arena, ids, boards, sums):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        if rows[i] < 0:
            continue
        start, degree = np.int64(table[rows[i], START]), np.int64(table[rows[i], DEGREE])
        boards[i] = degree
        for at in range(start, start + degree):
            # Added up, so that the order in which boards came is nothing to it.
            sums[i] = (sums[i] + first_slot(ids[arena[at]], _MASK)) & _MASK


def standing(graph: LiveGraph, pins: Ints) -> Standing:
    """Of ``pins`` ``(n,)``, as of this moment."""
    rows, table, arena, ids = graph.boards_of(pins)
    found = Standing(np.zeros(len(pins), np.int64), np.zeros(len(pins), np.int64))
    _standing(rows, table, arena, ids, found.boards, found.sums)
    return found


def changed_enough(then: Standing, now: Standing) -> NDArray[np.bool_]:
    """Which have boards that are others, and few or by :data:`MUCH` more or fewer, ``(n,)``."""
    few = np.minimum(then.boards, now.boards) < FEW
    much = (now.boards >= MUCH * then.boards) | (now.boards * MUCH <= then.boards)
    return (then.sums != now.sums) & (few | much)

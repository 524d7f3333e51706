"""Pins that stand on the same boards: the neighbourhood of two steps, added up within bounds, without chance."""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.graph.segments import DEGREE, START


@njit(cache=True, nogil=True)
def together(seeds, weights, max_boards, max_pins, sides, scratch):  # type: ignore[no-untyped-def]
    """Pins reached and ``Σ_seeds weight Σ_boards 1 / log2(2 + pins) / sqrt(boards of the pin)``, latest first.

    ``scratch`` (a float for each pin) is all 0 before and after.
    """
    p_table, p_arena, b_table, b_arena = sides
    room = 1024
    touched = np.empty(room, np.int32)
    count = 0
    for s in range(len(seeds)):
        start, degree = np.int64(p_table[seeds[s], START]), np.int64(p_table[seeds[s], DEGREE])
        for edge in range(start + degree - 1, start + max(degree - max_boards, 0) - 1, -1):
            board = p_arena[edge]
            first, size = np.int64(b_table[board, START]), np.int64(b_table[board, DEGREE])
            share = weights[s] / np.log2(2.0 + size)
            for at in range(first + size - 1, first + max(size - max_pins, 0) - 1, -1):
                pin = b_arena[at]
                if scratch[pin] == 0.0:
                    if count == room:
                        room *= 2
                        larger = np.empty(room, np.int32)
                        larger[:count] = touched
                        touched = larger
                    touched[count] = pin
                    count += 1
                scratch[pin] += share
    touched = touched[:count]
    scores = np.empty(count)
    for i in range(count):
        pin = touched[i]
        scores[i] = scratch[pin] / np.sqrt(p_table[pin, DEGREE])
        scratch[pin] = 0.0
    return touched, scores

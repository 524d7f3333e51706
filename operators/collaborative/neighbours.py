"""Neighbours: what stands beside a list of pins on the boards that resemble the list, straight from the live graph.

Nothing is learned and nothing is stored: the graph's edges are the state, so a save counts in the very next answer.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.graph.segments import DEGREE, START


@njit(cache=True, nogil=True)
def resembling(seeds, max_boards, table, arena, shares):  # type: ignore[no-untyped-def]
    """Boards that hold seeds, ``(m,)``; ``shares`` (a float for each board, all 0 before) has ``Σ 1 / sqrt(boards)``.

    Of each seed at most ``max_boards``, the latest.
    """
    most = 0
    for seed in seeds:
        most += min(np.int64(table[seed, DEGREE]), max_boards)
    touched = np.empty(most, np.int32)
    count = 0
    for seed in seeds:
        start, degree = np.int64(table[seed, START]), np.int64(table[seed, DEGREE])
        for edge in range(start + max(degree - max_boards, 0), start + degree):
            board = arena[edge]
            if shares[board] == 0.0:
                touched[count] = board
                count += 1
            shares[board] += 1.0 / np.sqrt(np.float64(degree))
    return touched[:count]


@njit(cache=True, nogil=True)
def beside(boards, weights, max_pins, sides, sums):  # type: ignore[no-untyped-def]
    """Pins on ``boards`` ``(m,)``, at most ``max_pins`` of each, and ``Σ weight / sqrt(boards of the pin)``.

    ``sums`` (a float for each pin) is all 0 before and after.
    """
    p_table, _, b_table, b_arena = sides
    most = 0
    for board in boards:
        most += min(np.int64(b_table[board, DEGREE]), max_pins)
    touched = np.empty(most, np.int32)
    count = 0
    for i in range(len(boards)):
        first, size = np.int64(b_table[boards[i], START]), np.int64(b_table[boards[i], DEGREE])
        for at in range(first + max(size - max_pins, 0), first + size):
            pin = b_arena[at]
            if sums[pin] == 0.0:
                touched[count] = pin
                count += 1
            sums[pin] += weights[i]
    touched = touched[:count]
    scores = np.empty(count)
    for i in range(count):
        scores[i] = sums[touched[i]] / np.sqrt(np.float64(p_table[touched[i], DEGREE]))
        sums[touched[i]] = 0.0
    return touched, scores


@njit(cache=True, nogil=True)
def rows_of(boards, most, table, arena):  # type: ignore[no-untyped-def]
    """Pins of ``boards`` ``(b,)``, at most the latest ``most`` of each: ``(starts (b + 1,), pins)``."""
    starts = np.zeros(len(boards) + 1, np.int64)
    for i in range(len(boards)):
        starts[i + 1] = starts[i] + min(np.int64(table[boards[i], DEGREE]), most)
    pins = np.empty(starts[-1], np.int64)
    for i in range(len(boards)):
        end = np.int64(table[boards[i], START]) + np.int64(table[boards[i], DEGREE])
        size = starts[i + 1] - starts[i]
        for at in range(size):
            pins[starts[i] + at] = arena[end - size + at]
    return starts, pins

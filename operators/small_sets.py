"""Small sets of ids for one question: who is in, and the best score of each. Hashed, so that nothing is sorted.

``np.isin`` and ``np.unique`` sort, which costs a slate's few hundred pins more than all else that is done with them.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import Ints, first_slot

Floats = NDArray[np.float32]


@njit(cache=True)
def _empty(n):  # type: ignore[no-untyped-def]
    """Room for ``n`` ids, at most half full: the row that each slot holds, -1 where it is free."""
    slots = 16
    while slots < 2 * n:
        slots *= 2
    return np.full(slots, -1, np.int32)


@njit(cache=True)
def _contains(values, among, out):  # type: ignore[no-untyped-def]
    table = _empty(len(among))
    mask = len(table) - 1
    for row in range(len(among)):
        slot = first_slot(among[row], mask)
        while table[slot] >= 0 and among[table[slot]] != among[row]:
            slot = (slot + 1) & mask
        table[slot] = row
    for i in range(len(values)):
        slot = first_slot(values[i], mask)
        while table[slot] >= 0 and among[table[slot]] != values[i]:
            slot = (slot + 1) & mask
        out[i] = table[slot] >= 0


@njit(cache=True)
def _best(ids, scores, unique, best):  # type: ignore[no-untyped-def]
    table = _empty(len(ids))
    mask = len(table) - 1
    size = 0
    for i in range(len(ids)):
        slot = first_slot(ids[i], mask)
        while table[slot] >= 0 and unique[table[slot]] != ids[i]:
            slot = (slot + 1) & mask
        row = table[slot]
        if row < 0:
            table[slot] = size
            unique[size], best[size] = ids[i], scores[i]
            size += 1
        elif scores[i] > best[row]:
            best[row] = scores[i]
    return size


@njit(cache=True)
def _in_turns(ids, scores, starts, columns, limit, shares, out_ids, out_scores):  # type: ignore[no-untyped-def]
    table = _empty(min(limit, len(ids)))
    mask = len(table) - 1
    size = 0
    at = starts[:-1].copy()
    while size < limit:
        # Stride scheduling: the n-th turn of a group is due at n / share, whoever else has come to an end.
        best, soonest = -1, 0.0
        for group in range(len(columns)):
            if at[group] < starts[group + 1]:
                due = (at[group] - starts[group] + 1) / shares[group]
                if best < 0 or due < soonest:
                    best, soonest = group, due
        if best < 0:
            break
        i = at[best]
        at[best] += 1
        slot = first_slot(ids[i], mask)
        while table[slot] >= 0 and out_ids[table[slot]] != ids[i]:
            slot = (slot + 1) & mask
        row = table[slot]
        if row < 0:
            row = table[slot] = size
            out_ids[row] = ids[i]
            size += 1
        if np.isnan(out_scores[row, columns[best]]):
            out_scores[row, columns[best]] = scores[i]
    # No room for further ids, but those that are there may have further scores.
    for group in range(len(columns)):
        for i in range(at[group], starts[group + 1]):
            slot = first_slot(ids[i], mask)
            while table[slot] >= 0 and out_ids[table[slot]] != ids[i]:
                slot = (slot + 1) & mask
            row = table[slot]
            if row >= 0 and np.isnan(out_scores[row, columns[group]]):
                out_scores[row, columns[group]] = scores[i]
    return size


def contains(values: Ints, among: Ints) -> NDArray[np.bool_]:
    """Which of ``values`` ``(n,)`` are in ``among`` ``(m,)``: ``(n,)``, in O(n + m)."""
    out = np.zeros(len(values), np.bool_)
    if len(values) and len(among):
        _contains(np.ascontiguousarray(values), np.ascontiguousarray(among), out)
    return out


def best_scores(ids: Ints, scores: Floats) -> tuple[Ints, Floats]:
    """Each id once, with its best score; ``(n,), (n,)`` → ``(m,), (m,)`` in order of first appearance."""
    unique, best = np.empty(len(ids), np.int64), np.empty(len(ids), np.float32)
    size = _best(np.ascontiguousarray(ids), np.ascontiguousarray(scores, np.float32), unique, best)
    return unique[:size], best[:size]


def taken_in_turns(
    ids: Ints, scores: Floats, starts: Ints, columns: Ints, width: int, limit: int, shares: Ints | None = None
) -> tuple[Ints, Floats]:
    """Up to ``limit`` ids in turns of the groups, each group in its own order; each id once.

    Args:
        ids, scores: ``(n,)``, group after group; group ``g`` begins at ``starts[g]`` and ends at ``starts[g + 1]``.
        columns: ``(groups,)`` where a group's scores go.
        width: how many columns there are.
        shares: ``(groups,)`` turns of each group, at least 1; without, each group's first, then each one's second, …

    Returns:
        ``(m,)`` ids and ``(m, width)`` scores, NaN where a group does not have the id; the first counts.
    """
    most = min(limit, len(ids))
    out_ids, out_scores = np.empty(most, np.int64), np.full((most, width), np.nan, np.float32)
    turns = np.ones(len(columns), np.int64) if shares is None else np.asarray(shares, np.int64)
    size = _in_turns(
        np.ascontiguousarray(ids), np.ascontiguousarray(scores, np.float32), starts, columns, most, turns,
        out_ids, out_scores,
    )  # fmt: skip
    return out_ids[:size], out_scores[:size]

"""What follows an item: for each class of gaps, a bounded table of followers of every item, and decayed popularity.

A gap is how many actions of the same pinner lie between two. Followers at gap 1 are what comes next, those at gap 33 to
64 what stands in the same history at all; each class has a table of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

#: Actions of a pinner that an action is learned from and predicted from.
WINDOW = 64
#: First gap of each class: 1, 2, 3–4, 5–8, 9–16, 17–32, 33–64.
FIRST_GAPS = (1, 2, 3, 5, 9, 17, 33)
CLASSES = len(FIRST_GAPS)
#: Of the gaps of each class one in so many is learned, in turns: the far ones are many and say much the same.
STRIDES = (1, 1, 1, 1, 2, 4, 8)
#: Seconds after which an action counts half in popularity; the last kind forgets nothing.
HALF_LIVES = (3_600.0, 86_400.0, 2_592_000.0)
POPULARITIES = len(HALF_LIVES) + 1
#: Class of each gap, from 0 (unused) to :data:`WINDOW`.
CLASS_OF = np.searchsorted(np.array(FIRST_GAPS), np.arange(WINDOW + 1), side="right") - 1
#: A sum of forward decay is scaled back before it leaves what float64 can hold.
_LARGEST = 1e12
_LEAST = 1e-3


class Tables(NamedTuple):
    """Plain arrays, ``n`` items and ``c`` followers for each class; what numba sees."""

    followers: NDArray[np.uint16 | np.int32]  # (CLASSES, n, c) rows of items, the first ``used`` of them
    counts: NDArray[np.float32]  # (CLASSES, n, c)
    used: NDArray[np.int32]  # (CLASSES, n) followers that are held
    totals: NDArray[np.float64]  # (CLASSES, n) all that followed, held or not
    popularity: NDArray[np.float64]  # (POPULARITIES, n)
    #: (3, POPULARITIES): sum of popularity, what an action of now weighs, and when that was (seconds).
    scale: NDArray[np.float64]
    chance: NDArray[np.uint64]  # (1,)


def empty(items: int, followers: int) -> Tables:
    """Tables for so many items, with nothing learned. Of what is not used yet the system has not given the memory."""
    scale = np.zeros((3, POPULARITIES))
    scale[1] = 1.0
    return Tables(
        np.zeros((CLASSES, items, followers), np.uint16 if items <= 1 << 16 else np.int32),
        np.zeros((CLASSES, items, followers), np.float32),
        np.zeros((CLASSES, items), np.int32),
        np.zeros((CLASSES, items)),
        np.zeros((POPULARITIES, items)),
        scale,
        np.array([88172645463325252], np.uint64),
    )


def keep(tables: Tables, rows: NDArray[np.int64]) -> None:
    """Let ``rows``, in order, become rows 0, 1, …, and all others be as new; nobody has those among their followers."""
    place = np.full(tables.used.shape[1], -1, np.int32)
    place[rows] = np.arange(len(rows), dtype=np.int32)
    _keep(tables, rows, place)
    for array in (tables.totals, tables.popularity):
        array[:, : len(rows)] = array[:, rows]
        array[:, len(rows) :] = 0
    tables.scale[0] = tables.popularity.sum(axis=1)


@njit(cache=True)
def _keep(tables, rows, place):  # type: ignore[no-untyped-def]
    for gap_class in range(CLASSES):
        for at in range(len(rows)):
            row, size, before = rows[at], 0, tables.used[gap_class, at]
            for slot in range(tables.used[gap_class, row]):
                follower = place[tables.followers[gap_class, row, slot]]
                if follower >= 0:
                    tables.followers[gap_class, at, size] = follower
                    tables.counts[gap_class, at, size] = tables.counts[gap_class, row, slot]
                    size += 1
            tables.used[gap_class, at] = size
            _clear(tables, gap_class, at, size, before)
        for row in range(len(rows), tables.used.shape[1]):
            _clear(tables, gap_class, row, 0, tables.used[gap_class, row])
            tables.used[gap_class, row] = 0


@njit(cache=True)
def _clear(tables, gap_class, row, first, last):  # type: ignore[no-untyped-def]
    for slot in range(first, last):
        tables.followers[gap_class, row, slot] = 0
        tables.counts[gap_class, row, slot] = 0.0


@njit(cache=True)
def chance_of(state):  # type: ignore[no-untyped-def]
    """The next number from [0, 1): xorshift (Marsaglia, 2003)."""
    x = state[0]
    x ^= x << np.uint64(13)
    x ^= x >> np.uint64(7)
    x ^= x << np.uint64(17)
    state[0] = x
    return np.float64(x >> np.uint64(11)) / 9007199254740992.0


@njit(cache=True)
def follow(tables, before, gap_class, item):  # type: ignore[no-untyped-def]
    """Count that ``item`` followed ``before``. A full table admits newcomers by chance, 1 in its smallest count + 1.

    Randomized admission (Ben Basat et al., INFOCOM 2017): frequent followers stay, the sum of counts is kept.
    """
    followers, counts = tables.followers[gap_class, before], tables.counts[gap_class, before]
    tables.totals[gap_class, before] += 1
    held = tables.used[gap_class, before]
    for slot in range(held):
        if followers[slot] == item:
            counts[slot] += 1
            return
    if held < len(followers):
        followers[held], counts[held] = item, 1
        tables.used[gap_class, before] = held + 1
        return
    least = 0
    for slot in range(1, held):
        if counts[slot] < counts[least]:
            least = slot
    if chance_of(tables.chance) < 1.0 / (counts[least] + 1.0):
        followers[least] = item
        counts[least] += 1


@njit(cache=True)
def popular(tables, half_lives, items, item, seconds):  # type: ignore[no-untyped-def]
    """Count an action with ``item`` at a moment; one that comes late counts as of the latest. Forward decay."""
    sums, weights, at = tables.scale[0], tables.scale[1], tables.scale[2]
    for kind in range(len(sums)):
        if kind < len(half_lives):
            if at[kind] > 0 and seconds > at[kind]:
                # Beyond 900 half-lives nothing is left in any case.
                weights[kind] *= 2.0 ** min((seconds - at[kind]) / half_lives[kind], 900.0)
            at[kind] = max(at[kind], seconds)
            if weights[kind] > _LARGEST:
                tables.popularity[kind, :items] /= weights[kind]
                sums[kind] = tables.popularity[kind, :items].sum()
                weights[kind] = 1.0
        tables.popularity[kind, item] += weights[kind]
        sums[kind] += weights[kind]

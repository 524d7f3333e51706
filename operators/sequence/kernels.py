"""Folding actions in and ranking what comes next: loops over plain arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.sequence import mixing
from operators.sequence.tables import CLASS_OF, HALF_LIVES, STRIDES, WINDOW, chance_of, follow, popular

_HALF_LIVES = np.array(HALF_LIVES)
_CLASS_OF = CLASS_OF.astype(np.int64)
_STRIDE_OF = np.array([1, *(STRIDES[each] for each in CLASS_OF[1:])])
#: One action in so many also teaches the weights; all teach the tables.
TAUGHT = 8


class Histories(NamedTuple):
    """The latest items of each pinner."""

    items: NDArray[np.int32]  # (pinners, WINDOW), a ring
    counts: NDArray[np.int64]  # (pinners,) actions ever
    seconds: NDArray[np.float64]  # (pinners,) when the last one was


class Weights(NamedTuple):
    """How the tables are mixed, and Adagrad's memory, both ``(CONTEXTS, SOURCES)``."""

    values: NDArray[np.float64]
    squares: NDArray[np.float64]


class Scratch(NamedTuple):
    """Room for one ranking, all zero between two."""

    sums: NDArray[np.float64]  # (CLASSES, n)
    touched: NDArray[np.int32]  # (n,)
    known: NDArray[np.int64]  # (CLASSES,)


@njit(cache=True)
def latest(histories, pinner):  # type: ignore[no-untyped-def]
    """Items of a pinner's history, newest first, each at its gap."""
    size = min(histories.counts[pinner], WINDOW)
    out = np.empty(size, np.int32)
    for gap in range(1, size + 1):
        out[gap - 1] = histories.items[pinner, (histories.counts[pinner] - gap) % WINDOW]
    return out


@njit(cache=True)
def rename(histories, pinners, place):  # type: ignore[no-untyped-def]
    """Let each item of the histories be ``place`` of it, and leave those that have none (-1)."""
    for pinner in range(pinners):
        before = latest(histories, pinner)
        size = 0
        for gap in range(len(before), 0, -1):
            row = place[before[gap - 1]]
            if row >= 0:
                histories.items[pinner, size] = row
                size += 1
        histories.counts[pinner] = size


@njit(cache=True)
def forget(scratch, size):  # type: ignore[no-untyped-def]
    for at in range(size):
        scratch.sums[:, scratch.touched[at]] = 0.0


@njit(cache=True)
def teach(tables, histories, weights, scratch, items, pinner, item, seconds):  # type: ignore[no-untyped-def]
    """Learn the weights from one outcome: what is in the tables, and a sample that stands for all other items."""
    history = latest(histories, pinner)
    size = mixing.spread(tables, history, _CLASS_OF, scratch.sums, scratch.touched, scratch.known)
    held = min(size, mixing.HELD)
    rows = np.empty(held + mixing.OTHERS + 1, np.int32)
    counted = np.empty(len(rows))
    # What was chosen is there for certain, so the others are drawn without it.
    rows[0], counted[0] = item, 1.0
    m = 1
    apart = size / max(held, 1)
    offset = chance_of(tables.chance)
    for at in range(held):
        other = scratch.touched[min(np.int64((at + offset) * apart), size - 1)]
        if other != item and not (history == other).any():
            rows[m], counted[m] = other, apart
            m += 1
    first = m
    for _ in range(mixing.OTHERS):
        other = np.int64(chance_of(tables.chance) * items)
        if other != item and scratch.sums[:, other].sum() == 0.0 and not (history == other).any():
            rows[m] = other
            m += 1
    if m > first:
        counted[first:m] = max(items - size, 1) / (m - first)
    pause = seconds - histories.seconds[pinner] if len(history) else 0.0
    at = mixing.context(histories.counts[pinner], pause)
    mixing.step(tables, scratch.sums, scratch.known, rows[:m], counted[:m], weights.values[at], weights.squares[at])
    forget(scratch, size)


@njit(cache=True)
def learn(tables, histories, weights, scratch, items, number, pinners, taken, seconds):  # type: ignore[no-untyped-def]
    """Fold actions in, in order, after ``number`` others, with ``items`` known; ``taken`` are their rows."""
    for at in range(len(pinners)):
        pinner, item, now = pinners[at], taken[at], seconds[at]
        items = max(items, np.int64(item) + 1)
        if (number + at) % TAUGHT == 0:
            teach(tables, histories, weights, scratch, items, pinner, item, now)
        count = histories.counts[pinner]
        for gap in range(1, min(count, WINDOW) + 1):
            if (number + at + gap) % _STRIDE_OF[gap]:
                continue
            before = histories.items[pinner, (count - gap) % WINDOW]
            if before != item:
                follow(tables, before, _CLASS_OF[gap], item)
        popular(tables, _HALF_LIVES, items, item, now)
        histories.items[pinner, count % WINDOW] = item
        histories.counts[pinner] = count + 1
        histories.seconds[pinner] = max(histories.seconds[pinner], now)


@njit(cache=True)
def score(tables, weights, scratch, history, actions, pause, rows, everything):  # type: ignore[no-untyped-def]
    """Scores of items after a history: ``(rows, scores)``, of ``rows`` if ``everything``, else of what tables hold.

    ``history`` are rows of items, newest first, -1 where one is not known; ``actions`` is how many there were ever, and
    ``pause`` how many seconds ago the last one was.
    """
    size = mixing.spread(tables, history, _CLASS_OF, scratch.sums, scratch.touched, scratch.known)
    asked = rows if everything else scratch.touched[:size].copy()
    values = weights.values[mixing.context(actions, pause)]
    logs = np.empty(mixing.SOURCES)
    scores = np.empty(len(asked))
    for at in range(len(asked)):
        mixing.logs_of(tables, scratch.sums, scratch.known, asked[at], logs)
        scores[at] = np.dot(logs, values)
    forget(scratch, size)
    return asked, scores

"""One ranking out of many tables: log-linear mixing whose weights are learned from every outcome.

The score of an item is the sum over sources of weight times log probability, as in logistic mixing (Mattern, *Mixing
Strategies in Data Compression*, 2012) and log-linear models of language (Rosenfeld, 1996). Weights of their own serve
pinners with short and long histories, and actions right after the last and long after it. After each outcome they take
a step of Adagrad (Duchi et al., 2011) up the log likelihood of what was really chosen.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from operators.sequence.tables import CLASSES, POPULARITIES

SOURCES = CLASSES + POPULARITIES
#: Actions in a history, and seconds since the last one, from which other weights serve.
HISTORIES = np.array([1, 3, 8, 32, 100])
PAUSES = np.array([1, 60, 3_600])
CONTEXTS = (len(HISTORIES) + 1) * (len(PAUSES) + 1)
#: Step of Adagrad, and where its sums of squares begin.
STEP, FIRST_SQUARES = 0.05, 0.01
#: What stands in for a probability of nothing, and the shift that gives it a logarithm near nothing.
FLOOR, SHIFT = 1e-5, 6.0
#: Actions that a follower's table must have seen to be believed half.
SHRINK = 5.0
#: Items of tables, and beside them of all others, that one step of learning looks at; each stands for its share.
HELD, OTHERS = 256, 64


def first_weights() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """``(CONTEXTS, SOURCES)``, at first: a fifth for each table, half for popularity of all time."""
    weights = np.zeros((CONTEXTS, SOURCES))
    weights[:, :CLASSES] = 0.2
    weights[:, -1] = 0.5
    return weights


@njit(cache=True)
def context(actions, pause):  # type: ignore[no-untyped-def]
    """Which weights serve a pinner with so many actions, so many seconds after the last of them."""
    row = 0
    while row < len(HISTORIES) and actions >= HISTORIES[row]:
        row += 1
    column = 0
    while column < len(PAUSES) and pause >= PAUSES[column]:
        column += 1
    return row * (len(PAUSES) + 1) + column


@njit(cache=True)
def spread(tables, history, classes, sums, touched, known):  # type: ignore[no-untyped-def]
    """Sum into ``sums`` ``(CLASSES, n)`` how often items followed those of ``history`` (newest first), as shares.

    Rows below 0 are items that nothing is known of. Returns how many items were touched; their rows stand first in
    ``touched``. ``known`` gets in how many tables of each class anything was found.
    """
    size = 0
    known[:] = 0
    for gap in range(1, len(history) + 1):
        before, gap_class = history[gap - 1], classes[gap]
        if before < 0:
            continue
        total = tables.totals[gap_class, before]
        if total <= 0:
            continue
        known[gap_class] += 1
        share = 1.0 / (total + SHRINK)
        followers, counts = tables.followers[gap_class, before], tables.counts[gap_class, before]
        for slot in range(tables.used[gap_class, before]):
            item = followers[slot]
            fresh = True
            for each in range(CLASSES):
                if sums[each, item] != 0.0:
                    fresh = False
                    break
            if fresh:
                touched[size] = item
                size += 1
            sums[gap_class, item] += counts[slot] * share
    return size


@njit(cache=True)
def logs_of(tables, sums, known, item, out):  # type: ignore[no-untyped-def]
    """Logarithms of what each source gives an item, into ``out`` ``(SOURCES,)``."""
    for each in range(CLASSES):
        out[each] = np.log(sums[each, item] / max(known[each], 1) + FLOOR) + SHIFT
    for kind in range(POPULARITIES):
        total = tables.scale[0, kind]
        share = tables.popularity[kind, item] / total if total > 0 else 0.0
        out[CLASSES + kind] = np.log(share + FLOOR) + SHIFT


@njit(cache=True)
def step(tables, sums, known, rows, counted, weights, squares):  # type: ignore[no-untyped-def]
    """Learn that the first of ``rows`` ``(m,)`` was chosen, each of which stands for ``counted`` ``(m,)`` items."""
    logs = np.empty((len(rows), SOURCES))
    scores = np.empty(len(rows))
    for at in range(len(rows)):
        logs_of(tables, sums, known, rows[at], logs[at])
        scores[at] = np.dot(logs[at], weights)
    top = scores.max()
    expected = np.zeros(SOURCES)
    total = 0.0
    for at in range(len(rows)):
        share = counted[at] * np.exp(scores[at] - top)
        total += share
        for source in range(SOURCES):
            expected[source] += share * logs[at, source]
    for source in range(SOURCES):
        slope = logs[0, source] - expected[source] / total
        squares[source] += slope * slope
        weights[source] += STEP * slope / np.sqrt(squares[source])

"""Pixie: pins that random walks from several weighted pins visit most.

After Eksombatchai et al., "Pixie: A System for Recommending 3+ Billion Items to 200+ Million Users in Real-Time"
(WWW 2018): weighted queries with steps by degree, the multi-hit booster, early stop, preferred keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.graph.segments import bits
from operators.graph.walk import ANY, walk
from operators.id_index import Ints

Floats = NDArray[np.float64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Walking:
    """How far to walk."""

    #: Steps of all query pins together, the paper's N.
    steps: int = 100_000
    #: The chance that a walk starts again after a step, the paper's α; in parts of 256.
    restart: float = 0.5
    #: A query pin's walk stops when more than ``many`` pins (n_p) were visited ``visits`` times (n_v); 0: never.
    many: int = 0
    visits: int = 0
    #: Prefer neighbours with this key (:meth:`LiveGraph.tell`), wherever there are such.
    key: int = ANY


class Walked(NamedTuple):
    """Pins and scores, best first, equal scores by id; and the steps that were taken from each query pin."""

    pins: Ints
    scores: Floats
    steps: Ints


class Scratch:
    """Memory that walks need, kept between them: one for each thread."""

    def __init__(self) -> None:
        self.cells = np.zeros(0, np.uint64)
        self.found = np.zeros(0, np.uint64)
        self.hits = np.zeros(0, np.uint32)
        self.roots = np.zeros(0)
        self.hit = np.zeros(0, np.uint32)

    def have(self, one: int, together: int) -> None:
        """Room for the visits of one query pin's walk, and of all together."""
        if len(self.cells) < _slots(one):
            self.cells = np.zeros(_slots(one), np.uint64)
        if len(self.found) < one:
            self.found = np.zeros(one, np.uint64)
        if len(self.hits) < _slots(together):
            self.hits, self.roots = np.zeros(_slots(together), np.uint32), np.zeros(_slots(together))
        if len(self.hit) < together:
            self.hit = np.zeros(together, np.uint32)


def allotted(degrees: Ints, weights: Floats, largest: int, steps: int) -> Ints:
    """Steps of each query pin ``(q,)``: ``N_q = w_q s_q / Σ w_r s_r · N``, ``s_q = |E(q)| (C − log |E(q)|)``.

    C is the logarithm of the ``largest`` degree of all pins. The paper divides by Σ s_r, which is the same where all
    weights are 1; so weights below it do not cost steps. A pin with a board has at least one step, one without none.
    """
    walkable = degrees > 0
    scaled = degrees * (log(max(largest, 1)) - np.log(np.maximum(degrees, 1)))
    shares = weights * np.maximum(scaled, 0.0)
    if not shares.sum() > 0:  # all of the largest degree
        shares = np.where(walkable, weights, 0.0)
    if not shares.sum() > 0:
        return walkable.astype(np.int64)
    return np.where(walkable, np.maximum(1, np.floor(shares / shares.sum() * steps)), 0).astype(np.int64)


@njit(cache=True, nogil=True)
def _root_sums(cells, found, size, hits, roots, hit, hit_size):  # type: ignore[no-untyped-def]
    """Add √visits of one walk to the sums of all, and empty its cells; returns how many pins have a sum."""
    mask, shift = np.uint64(len(hits) - 1), np.uint64(64 - bits(len(hits) - 1))
    for i in range(size):
        name, visits = cells[found[i]] >> np.uint64(32), cells[found[i]] & np.uint64(0xFFFFFFFF)
        cells[found[i]] = 0
        at = name * _GOLDEN >> shift
        while hits[at] != name and hits[at]:
            at = (at + np.uint64(1)) & mask
        if not hits[at]:
            hits[at] = name
            hit[hit_size] = at
            hit_size += 1
        roots[at] += np.sqrt(np.float64(visits))
    return hit_size


@njit(cache=True, nogil=True)
def _walks(queries, steps, how, sides, scratch):  # type: ignore[no-untyped-def]
    """All walks of a query; returns steps taken, pins reached but for the query's own, and their boosted scores."""
    restart, key, seed, many, visits = how
    p_table, p_arena, b_table, b_arena = sides
    cells, found, hits, roots, hit = scratch
    taken = np.zeros(len(queries), np.int64)
    size = 0
    for q in range(len(queries)):
        if steps[q] > 0:
            own = seed ^ np.uint64(q + 1) * np.uint64(0xD1342543DE82EF95)
            taken[q], count = walk(
                queries[q], steps[q], restart, key, own, many, visits, p_table, p_arena, b_table, b_arena, cells, found
            )
            size = _root_sums(cells, found, count, hits, roots, hit, size)
    pins, scores, kept = np.empty(size, np.int64), np.empty(size), 0
    for i in range(size):
        pin, root = np.int64(hits[hit[i]]) - 1, roots[hit[i]]
        hits[hit[i]], roots[hit[i]] = 0, 0.0
        asked = False
        for q in range(len(queries)):
            asked |= queries[q] == pin
        if not asked:
            pins[kept], scores[kept] = pin, root * root
            kept += 1
    return taken, pins[:kept], scores[:kept]


def walks(
    queries: Ints, steps: Ints, how: Walking, seed: int, sides: tuple[NDArray[np.int32], ...], scratch: Scratch
) -> tuple[Ints, Ints, Floats]:
    """Walk ``steps`` ``(q,)`` from dense pins ``queries`` ``(q,)``: steps taken, dense pins, ``(Σ √V)²``.

    ``sides``: the pins' table and arena, and the boards'.
    """
    one = int(steps.max(initial=0))
    together = min(int(steps.sum()), len(sides[0]))
    scratch.have(one, together)
    return _walks(
        queries,
        steps,
        (round(how.restart * 256), how.key, np.uint64(seed & 0xFFFFFFFFFFFFFFFF), how.many, how.visits),
        (sides[0].view(np.uint32), sides[1].view(np.uint32), sides[2].view(np.uint32), sides[3].view(np.uint32)),
        (
            scratch.cells[: _slots(one)],
            scratch.found,
            scratch.hits[: _slots(together)],
            scratch.roots,
            scratch.hit,
        ),
    )


def _slots(pins: int) -> int:
    """Cells of a table for so many: a power of two, at most four fifths full."""
    return 1 << max(6, (pins + pins // 4).bit_length())

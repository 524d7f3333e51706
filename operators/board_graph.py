"""Board graph: pins that stand on the same boards are related.

After Eksombatchai et al., "Pixie" (WWW 2018), without the random walk: the two-step neighbourhood of
the seeds is small enough to be added up, within bounds, so that the answer is the same every time.
"""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import IdIndex, Ints, grown
from operators.small_sets import contains

Floats = NDArray[np.float64]
#: Beyond so many saves (edges that are not a pin's home), those that came first are forgotten.
MOST_SAVED = 2_000_000


class Origin(IntFlag):
    """Why a pin stands on a board; an edge lives while one reason does."""

    SAVED = 1
    HOME = 2


class Related(NamedTuple):
    """Pins and scores, best first; equal scores by id."""

    pins: Ints
    scores: Floats


@njit(cache=True)
def _link(edges, first, links, board_head, pin_head):  # type: ignore[no-untyped-def]
    """Thread new edges into the lists of their board and of their pin, newest first."""
    for e in range(first, len(edges)):
        board, pin = edges[e] >> 32, edges[e] & 0xFFFFFFFF
        links[e, 0], board_head[board] = board_head[board], e
        links[e, 1], pin_head[pin] = pin_head[pin], e


@njit(cache=True)
def _mark(edge, origin, add, keys, alive, sizes, degrees):  # type: ignore[no-untyped-def]
    for e in edge:
        before = alive[e]
        after = before | origin if add else before & ~origin
        alive[e] = after
        change = (1 if after else 0) - (1 if before else 0)
        sizes[keys[e] >> 32] += change
        degrees[keys[e] & 0xFFFFFFFF] += change


@njit(cache=True)
def _edges_of(head, links):  # type: ignore[no-untyped-def]
    found = []
    while head >= 0:
        found.append(head)
        head = links[head, 1]
    return np.array(found, np.int32) if len(found) else np.zeros(0, np.int32)


@njit(cache=True)
def _related(seeds, weights, max_boards, max_pins, keys, alive, links, board_head, pin_head, sizes, degrees, scratch):  # type: ignore[no-untyped-def]
    """Add up scores into ``scratch`` (all 0 before and after); returns the pins reached and their scores."""
    room = 1024
    touched = np.empty(room, np.int32)
    count = 0
    for s in range(len(seeds)):
        edge, boards = pin_head[seeds[s]], 0
        # Dead edges count against twice the bound, so that they bound the time as well.
        hops = 2 * max_boards
        while edge >= 0 and boards < max_boards and hops > 0:
            hops -= 1
            if alive[edge]:
                boards += 1
                board = keys[edge] >> 32
                share = weights[s] / np.log2(2.0 + sizes[board])
                at, pins, steps = board_head[board], 0, 2 * max_pins
                while at >= 0 and pins < max_pins and steps > 0:
                    steps -= 1
                    if alive[at]:
                        pins += 1
                        pin = keys[at] & 0xFFFFFFFF
                        if scratch[pin] == 0.0:
                            if count == room:
                                room *= 2
                                larger = np.empty(room, np.int32)
                                larger[:count] = touched
                                touched = larger
                            touched[count] = pin
                            count += 1
                        scratch[pin] += share
                    at = links[at, 0]
            edge = links[edge, 1]
    touched = touched[:count]
    scores = np.empty(count)
    for i in range(count):
        pin = touched[i]
        scores[i] = scratch[pin] / np.sqrt(degrees[pin])
        scratch[pin] = 0.0
    return touched, scores


class BoardGraph:
    """Edges between boards and pins: 30–50 bytes an edge, and as much again for every pin and board.

    Edges merge in any order. Lists run newest arrival first, which matters only where a bound of
    :meth:`related` cuts a board or a pin short, and where ``most_saved`` edges are held and the first to come go.
    """

    def __init__(self, most_saved: int = MOST_SAVED) -> None:
        self._most_saved = most_saved
        self._clear()

    def _clear(self) -> None:
        #: With so many edges, dead ones counted, it is time to look whether some must go.
        self._full = self._most_saved + self._most_saved // 4
        self._boards = IdIndex()
        self._pins = IdIndex()
        self._edges = IdIndex()  # board << 32 | pin, both dense
        self._alive = np.zeros(0, np.uint8)
        self._links = np.full((0, 2), -1, np.int32)  # next edge of the board, of the pin
        self._board_head = np.full(0, -1, np.int32)
        self._pin_head = np.full(0, -1, np.int32)
        self._sizes = np.zeros(0, np.int32)
        self._degrees = np.zeros(0, np.int32)
        self._scratch = np.zeros(0)

    def __len__(self) -> int:
        """Living edges."""
        return int(self._sizes.sum())

    @property
    def nbytes(self) -> int:
        indexes = self._boards.nbytes + self._pins.nbytes + self._edges.nbytes
        by_pin = self._pin_head.nbytes + self._degrees.nbytes + self._scratch.nbytes
        return indexes + by_pin + self._alive.nbytes + self._links.nbytes + self._board_head.nbytes + self._sizes.nbytes

    def add(self, pins: Ints, boards: Ints, origin: Origin = Origin.SAVED) -> None:
        """Put pins on boards, each edge once; both ``(n,)``. Rows with board 0 are ignored."""
        pins, boards = pins[boards != 0], boards[boards != 0]
        if not len(pins):
            return
        self._put(pins, boards, np.full(len(pins), origin, np.uint8))
        if len(self._edges) >= self._full:
            self._forget_first()

    def drop(self, pins: Ints, boards: Ints, origin: Origin) -> None:
        """Take away one reason for pins to stand on boards; both ``(n,)``."""
        pin, board = self._pins.lookup(pins), self._boards.lookup(boards)
        known = (pin >= 0) & (board >= 0)
        edge = self._edges.lookup(_keys(board[known], pin[known]))
        self._unmark(edge[edge >= 0], origin)

    def remove(self, pins: Ints) -> None:
        """Take deleted pins off all boards."""
        for dense in self._pins.lookup(pins).tolist():
            if dense >= 0:
                edges = _edges_of(self._pin_head[dense], self._links)
                self._unmark(edges, Origin.SAVED | Origin.HOME)

    def related(
        self, seeds: Ints, weights: Floats, k: int, max_boards: int = 20, max_pins_per_board: int = 200
    ) -> Related:
        """The ``k`` pins that share most boards with the seeds.

        ``score(pin) = Σ_seeds weight · Σ_shared boards 1 / log2(2 + pins on the board) / sqrt(boards of the pin)``.
        Looks at most at ``max_boards`` of a seed and ``max_pins_per_board`` of a board, the latest to
        arrive. Seeds are not in the answer; weights are positive.
        """
        dense = self._pins.lookup(seeds)
        known = dense >= 0
        found, scores = _related(
            dense[known], np.asarray(weights, np.float64)[known], max_boards, max_pins_per_board,
            self._edges.ids, self._alive, self._links, self._board_head, self._pin_head,
            self._sizes, self._degrees, self._scratch,
        )  # fmt: skip
        others = ~contains(self._pins.ids[found], seeds)
        found, scores = found[others], scores[others]
        if len(found) > k > 0:
            keep = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
            found, scores = found[keep], scores[keep]
        ids = self._pins.ids[found]
        order = np.lexsort((ids, -scores))[:k]
        return Related(ids[order], scores[order])

    def _put(self, pins: Ints, boards: Ints, origins: NDArray[np.uint8]) -> None:
        first = len(self._edges)
        edge = self._edges.intern(_keys(self._boards.intern(boards), self._pins.intern(pins)))
        self._grow()
        _link(self._edges.ids, first, self._links, self._board_head, self._pin_head)
        for origin in (Origin.SAVED, Origin.HOME):
            because = edge[origins & origin != 0]
            _mark(because, np.uint8(origin), True, self._edges.ids, self._alive, self._sizes, self._degrees)

    def _forget_first(self) -> None:
        """Keep every home and the latest saves: a pass over all edges, once in a quarter as many new ones."""
        keys, origins = self._edges.ids, self._alive[: len(self._edges)]
        saved = np.flatnonzero(origins == Origin.SAVED)[-self._most_saved :]
        kept = np.union1d(np.flatnonzero(origins & Origin.HOME), saved)
        pins, boards = self._pins.ids[keys[kept] & 0xFFFFFFFF], self._boards.ids[keys[kept] >> 32]
        origins = origins[kept]
        self._clear()
        self._put(pins, boards, origins)
        self._full = len(self._edges) + self._most_saved // 4

    def _grow(self) -> None:
        edges, pins, boards = len(self._edges), len(self._pins), len(self._boards)
        self._alive = grown(self._alive, edges)
        self._links = grown(self._links, edges, -1)
        self._board_head, self._sizes = grown(self._board_head, boards, -1), grown(self._sizes, boards)
        self._pin_head, self._degrees = grown(self._pin_head, pins, -1), grown(self._degrees, pins)
        self._scratch = grown(self._scratch, pins)

    def _unmark(self, edges: NDArray[np.int32], origin: Origin) -> None:
        _mark(edges, np.uint8(origin), False, self._edges.ids, self._alive, self._sizes, self._degrees)


def _keys(boards: NDArray[np.int32], pins: NDArray[np.int32]) -> Ints:
    return (boards.astype(np.int64) << 32) | pins.astype(np.int64)

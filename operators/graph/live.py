"""The live graph: pins and the boards that they stand on, in memory. A save changes the next answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.graph.adjacency import MOST_SAVED, Adjacency
from operators.graph.pixie import Scratch, Walked, Walking, allotted, walks
from operators.graph.segments import DEGREE
from operators.graph.together import together
from operators.id_index import IdIndex, Ints, grown
from operators.small_sets import contains

Floats = NDArray[np.float64]


class Related(NamedTuple):
    """Pins and scores, best first; equal scores by id."""

    pins: Ints
    scores: Floats


class LiveGraph(Adjacency):
    """The graph and what it is asked."""

    def __init__(self, most_saved: int = MOST_SAVED) -> None:
        super().__init__(most_saved)
        self._scratch, self._sums = Scratch(), np.zeros(0)

    def related(
        self, seeds: Ints, weights: Floats, k: int, max_boards: int = 100, max_pins_per_board: int = 200
    ) -> Related:
        """The ``k`` pins that share most boards with the seeds.

        ``score(pin) = Σ_seeds weight · Σ_shared boards 1 / log2(2 + pins on the board) / sqrt(boards of the pin)``.
        Looks at most at ``max_boards`` of a seed and ``max_pins_per_board`` of a board, the latest to
        arrive. Seeds are not in the answer; weights are positive.
        """
        dense = self._pins.lookup(seeds)
        known = dense >= 0
        self._sums = grown(self._sums, len(self._pins))
        found, scores = together(
            dense[known], np.asarray(weights, np.float64)[known], max_boards, max_pins_per_board,
            self.sides, self._sums,
        )  # fmt: skip
        others = ~contains(self._pins.ids[found], seeds)
        return Related(*self._best(found[others].astype(np.int64), scores[others], k))

    def walk(
        self,
        seeds: Ints,
        weights: Floats,
        k: int,
        seed: int,
        how: Walking | None = None,
        scratch: Scratch | None = None,
    ) -> Walked:
        """The ``k`` pins that walks from ``seeds`` ``(q,)`` visit most, by ``(Σ_q √visits)²``; none of the seeds.

        The same graph, query and ``seed`` give the same answer, bit for bit. Takes at most ``how.steps`` steps, and
        one more for each seed; unknown seeds and those without a board have none. ``scratch``: one for each thread.
        """
        how = how or Walking()
        dense = self._pins.lookup(seeds)
        degrees = np.where(dense >= 0, self._by_pin.table[dense, DEGREE] if len(self._pins) else 0, 0).astype(np.int64)
        steps = allotted(degrees, np.asarray(weights, np.float64), self.largest, how.steps)
        taken, found, scores = walks(dense.astype(np.int64), steps, how, seed, self.sides, scratch or self._scratch)
        return Walked(*self._best(found, scores, k), taken)

    def boards_of(self, pins: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], Ints]:
        """Rows of pins (-1 for one that is not here), the pins' table and arena, and the ids of boards."""
        return self._pins.lookup(pins), self._by_pin.table, self._by_pin.arena, self._boards.ids

    @property
    def pins(self) -> IdIndex:
        """Pins and their dense numbers, which change where the graph is renumbered."""
        return self._pins

    @property
    def boards(self) -> IdIndex:
        """Boards and their dense numbers."""
        return self._boards

    @property
    def sides(self) -> tuple[NDArray[np.int32], ...]:
        """Rows and neighbours of pins, and of boards: for kernels, which only read, and only at once."""
        return self._by_pin.table, self._by_pin.arena, self._by_board.table, self._by_board.arena

    def _best(self, found: Ints, scores: Floats, k: int) -> tuple[Ints, Floats]:
        if len(found) > k > 0:
            keep = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
            found, scores = found[keep], scores[keep]
        ids = self._pins.ids[found]
        order = np.lexsort((ids, -scores))[:k]
        return ids[order], scores[order]

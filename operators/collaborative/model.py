"""A model of saves: neighbours on the live graph, and three members that learn from it step by step, blended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

import numpy as np
from numpy.typing import NDArray

from operators.collaborative.factors import Around, Factors, Fitting
from operators.collaborative.neighbours import beside, resembling, rows_of
from operators.collaborative.rows import Floats, Rows
from operators.collaborative.spectrum import Spectrum
from operators.collaborative.taste import Learning, Taste
from operators.graph.live import LiveGraph, Related
from operators.graph.segments import DEGREE
from operators.id_index import IdIndex, Ints, grown
from operators.small_sets import contains

Columns = dict[str, NDArray[np.generic]]
Member = Callable[[Rows, Ints], Floats]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one answer or one step may look at: a busy pin, pinner or robot costs no more than these.

    Attributes:
        boards_of_pin: latest boards of each pin of a list.
        boards: most resembling boards of a list.
        pins_of_board: latest pins of a board.
        lists: boards that one step of taste learns from.
        wide: boards that one step of the spectrum learns from, ``lists`` or more: they cost it less.
        renewed: pins whose factors one step renews.
        boards_of_renewed: latest boards of each of them, which stand for all.
        saves: a step of learning is due for so many saves.
        steps: at most so many are due at once: what a start, which reads all saves, owes.
        learnt_pins: with more pins nothing is learnt of them, and neighbours answer alone. Bounds memory, and the time
            of an answer, which scores every pin that is learnt.
    """

    boards_of_pin: int = 1_000
    boards: int = 5_000
    pins_of_board: int = 200
    lists: int = 128
    wide: int = 128
    renewed: int = 32
    boards_of_renewed: int = 256
    saves: int = 300
    steps: int = 3_000
    learnt_pins: int = 100_000


@dataclass(frozen=True, slots=True)
class Blend:
    """Weights of the members' standardised scores, and how the neighbours weigh a board.

    A board counts ``resemblance ** sharpness / pins on it``.
    """

    neighbours: float = 1.0
    taste: float = 1.0
    spectrum: float = 0.5
    factors: float = 1.0
    sharpness: float = 1.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step learns from, out of the graph at one moment: dense numbers, ``boards`` of each pin, ``(n,)``.

    ``rows`` stand for all ``count`` boards; ``around`` has the pins whose factors are renewed.
    """

    rows: Rows
    around: Around | None
    boards: Ints
    count: int
    ends_pass: bool
    ends_round: bool


class SavesModel:
    """Learns from the edges of a graph. The graph may be shared with who else walks on it; it is the only truth.

    ``score`` answers for any list of pins, so a pinner is nothing but their latest saves, and a new one needs no
    learning. There are factors where ``fitting`` says how they are learnt.
    """

    def __init__(
        self,
        graph: LiveGraph | None = None,
        blend: Blend | None = None,
        bounds: Bounds | None = None,
        learning: Learning | None = None,
        directions: int = 512,
        fitting: Fitting | None = None,
        seed: int = 0,
    ) -> None:
        self.graph = LiveGraph() if graph is None else graph
        self.blend, self.bounds, self.seed = blend or Blend(), bounds or Bounds(), seed
        self.taste, self.spectrum = Taste(learning, seed), Spectrum(directions, seed)
        self.factors = None if fitting is None else Factors(fitting, seed)
        self._known = IdIndex()
        self._passes, self._at, self._of, self._learnt, self._busy = 0, 0, 0, 0, False
        self._round_at, self._round_of = 0, 0
        self._shares, self._sums = np.zeros(0), np.zeros(0)

    @property
    def nbytes(self) -> int:
        """Bytes held beside the graph."""
        return self._known.nbytes + sum(member.nbytes for member in self._learning)

    def add(self, pinners: Ints, pins: Ints) -> None:
        """Take saves, ``(n,)`` each; a pin that a pinner has already changes nothing. Ids are positive."""
        self.graph.add(pins, pinners)

    def drop(self, pins: Ints) -> None:
        """Take pins out: none is in an answer, or counts, from now on."""
        self.graph.remove(pins)

    @property
    def due(self) -> bool:
        """Whether enough was saved for another step."""
        return self.learns and not self._busy and len(self.graph) - self._learnt >= self.bounds.saves

    @property
    def learns(self) -> bool:
        """Whether there are few enough pins to learn of each."""
        return len(self.graph.pins) <= self.bounds.learnt_pins

    def draw(self) -> Batch:
        """What to learn from next: a pass takes every board that there was at its beginning, once; a round every pin.

        Each is for one :meth:`learn`, and the next one after it.
        """
        self._follow()
        self._busy = True
        p_table, _, b_table, b_arena = self.graph.sides
        if self._at == 0:
            self._of = len(self.graph.boards)
        boards = _strided(self._at, min(self._at + self.bounds.wide, self._of), self._of, self.seed + self._passes)
        boards = boards[boards < len(self.graph.boards)]
        boards = boards[b_table[boards, DEGREE] > 1]
        self._at += self.bounds.wide
        self._learnt += min(self.bounds.saves, len(self.graph) - self._learnt)
        self._learnt = max(self._learnt, len(self.graph) - self.bounds.steps * self.bounds.saves)
        ends = self._at >= self._of
        if ends:
            self._at, self._passes = 0, self._passes + 1
        rows = Rows(*rows_of(boards, self.bounds.pins_of_board, b_table, b_arena))
        around, ends_round = (None, False) if self.factors is None else self._around(self.factors)
        of_each, count = p_table[: len(self._known), DEGREE].astype(np.int64), len(self.graph.boards)
        return Batch(rows, around, of_each, count, ends, ends_round)

    def learn(self, batch: Batch) -> None:
        """One step; may run in another thread while this one changes the graph and asks."""
        try:
            if len(batch.rows.pins) and self.learns:
                some = batch.rows.head(self.bounds.lists)
                self.taste.learn(some, _popularity(batch.boards))
                self.spectrum.learn(batch.rows, batch.boards)
                if self.factors is not None and batch.around is not None:
                    self.factors.learn(some, batch.around, batch.boards, batch.count)
            if batch.ends_pass:
                self.spectrum.turn()
            if self.factors is not None and batch.ends_round:
                self.factors.turn(batch.boards)
        finally:
            self._busy = False

    def score(self, lists: Sequence[Ints]) -> tuple[Ints, Floats]:
        """Ids of all pins ``(n,)`` and their scores for each list, ``(len(lists), n)``; -inf for pins of the list.

        Unknown pins of a list are passed over, and of long lists the first ``pins_of_board`` count.
        """
        members = self._members()
        rows = self._rows(lists)
        pins = len(self.graph.pins)
        boards = self.graph.sides[0][:pins, DEGREE].astype(np.int64)
        live = boards > 0
        near = np.zeros((len(lists), pins), np.float32)
        for row, (begin, end) in enumerate(pairwise(rows.starts.tolist())):
            found, scores = self._beside(rows.pins[begin:end])
            near[row, found] = scores
        blended = self.blend.neighbours * _standard(near, live)
        # Pins that came since the last step count as neither wanted nor unwanted by the members.
        known = rows.take(rows.pins < len(self._known))
        boards, learnt = boards[: len(self._known)], live[: len(self._known)]
        for weight, score in members:
            blended[:, : len(learnt)] += weight * _standard(score(known, boards), learnt)
        blended[rows.owners, rows.pins] = -np.inf
        return self.graph.pins.ids[live], blended[:, live]

    def recommend(self, pins: Ints, k: int) -> Related:
        """The ``k`` pins that go best with ``pins``, best first, equal ones by id; none of them, none that is gone."""
        return self.recommend_each([pins], k)[0]

    def recommend_each(self, lists: Sequence[Ints], k: int) -> list[Related]:
        """:meth:`recommend` of several lists, whose pins are scored at once."""
        if self._members():
            ids, every = self.score(lists)
            return [_best(ids, scores, np.isfinite(scores), k) for scores in every]
        found: list[Related] = []
        for pins in lists:
            dense, scores = self._beside(self._rows([pins]).pins)
            ids = self.graph.pins.ids[dense]
            found.append(_best(ids, scores, ~contains(ids, pins), k))
        return found

    def snapshot(self) -> Columns:
        """The graph and all that was learned as arrays, for ``numpy.savez``."""
        return self._own() | self.graph.snapshot() | self._of_members()

    def restore(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Become what :meth:`snapshot` saw; every later answer is the same. Raises KeyError for a missing column."""
        self.graph.restore(columns)
        for member in self._learning:
            member.restore(columns)
        self._known = _indexed(columns["known"].astype(np.int64))
        self._become(columns)

    @property
    def busy(self) -> bool:
        """Whether a step is under way, or somebody copies what was learnt."""
        return self._busy

    def keepsake(self) -> Callable[[], Columns]:
        """What gives, in any thread, what was learnt, without the graph; no step until it has. Not while :attr:`busy`.

        It must be called, once: until then pins keep their numbers.
        """
        self._busy = True
        own = self._own()

        def copied() -> Columns:
            try:
                return own | self._of_members()
            finally:
                self._busy = False

        return copied

    def take_up(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Know what :meth:`keepsake` gave of the pins of this graph, whose numbers may be others.

        Others of it begin at chance, and the pass under way goes on with other boards. Raises KeyError for a missing
        column.
        """
        if not self.learns:
            return
        before, ids = _indexed(columns["known"].astype(np.int64)), self.graph.pins.ids
        rows = np.where(ids > 0, before.lookup(ids), -1).astype(np.int64)
        new = rows < 0
        together = len(before) + int(new.sum())
        rows[new] = np.arange(len(before), together)
        for member in self._learning:
            member.restore(columns)
            member.grow(together)
            member.keep(rows)
        self._known = _indexed(ids)
        self._become(columns)
        # Pins may have gone since, with their saves.
        self._learnt = min(self._learnt, len(self.graph))

    def _members(self) -> list[tuple[float, Member]]:
        """What has learnt, and its weight; nothing where pins are numbered anew while a step is under way."""
        if not self._busy:
            self._follow()
        if not self.learns or not self._follows():
            return []
        members: list[tuple[float, Member]] = []
        if self.taste.steps:
            members.append((self.blend.taste, lambda rows, boards: self.taste.scores(rows, _popularity(boards))))
        if self.spectrum.passes:
            members.append((self.blend.spectrum, self.spectrum.scores))
        if self.factors is not None and self.factors.rounds:
            members.append((self.blend.factors, self.factors.scores))
        return members

    @property
    def _learning(self) -> tuple[Taste | Spectrum | Factors, ...]:
        both = self.taste, self.spectrum
        return both if self.factors is None else (*both, self.factors)

    def _own(self) -> Columns:
        own = [self._passes, self._at, self._of, self._learnt, self._round_at, self._round_of]
        return {"known": self._known.ids.copy(), "model": np.array(own if self.factors is not None else own[:4])}

    def _of_members(self) -> Columns:
        return {name: column for member in self._learning for name, column in member.snapshot().items()}

    def _become(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        # Four numbers where there are no factors.
        own = [*columns["model"].astype(np.int64).tolist(), 0, 0][:6]
        self._passes, self._at, self._of, self._learnt, self._round_at, self._round_of = own

    def _around(self, factors: Factors) -> tuple[Around, bool]:
        """Pins to renew next and what is around them, and whether a round ends with them."""
        p_table, p_arena, b_table, b_arena = self.graph.sides
        if self._round_at == 0:
            self._round_of = len(self._known)
        end = min(self._round_at + self.bounds.renewed, self._round_of)
        pins = _strided(self._round_at, end, self._round_of, self.seed + factors.rounds)
        pins = pins[pins < len(self._known)]
        self._round_at = 0 if end == self._round_of else end
        starts, found = rows_of(pins, self.bounds.boards_of_renewed, p_table, p_arena)
        boards, places = np.unique(found, return_inverse=True)
        of = Rows(*rows_of(boards, self.bounds.pins_of_board, b_table, b_arena))
        return Around(pins, Rows(starts, places.astype(np.int64)), of), self._round_at == 0 < self._round_of

    def _follows(self) -> bool:
        """Whether the pins that are known are the first ones of the graph, in order."""
        known = self._known.ids
        return len(known) <= len(self.graph.pins) and np.array_equal(self.graph.pins.ids[: len(known)], known)

    def _follow(self) -> None:
        """Number pins as the graph does."""
        if not self.learns:
            return
        ids = self.graph.pins.ids
        if not self._follows():
            before = self._known.lookup(ids).astype(np.int64)
            stays = before[: int(np.argmin(np.append(before, -1) >= 0))]
            for member in self._learning:
                member.keep(stays)
            self._known = _indexed(ids[: len(stays)])
        self._known.intern(ids[len(self._known) :])
        for member in self._learning:
            member.grow(len(ids))

    def _rows(self, lists: Sequence[Ints]) -> Rows:
        dense = [self.graph.pins.lookup(np.unique(pins[: self.bounds.pins_of_board])) for pins in lists]
        known = [pins[pins >= 0].astype(np.int64) for pins in dense]
        starts = np.cumsum([0, *map(len, known)])
        return Rows(starts, np.concatenate([np.zeros(0, np.int64), *known]))

    def _beside(self, pins: Ints) -> tuple[Ints, NDArray[np.float64]]:
        p_table, p_arena, b_table, _ = sides = self.graph.sides
        self._shares = grown(self._shares, len(self.graph.boards))
        self._sums = grown(self._sums, len(self.graph.pins))
        boards = resembling(pins, self.bounds.boards_of_pin, p_table, p_arena, self._shares)
        shares = self._shares[boards]
        self._shares[boards] = 0
        if len(boards) > self.bounds.boards:
            most = np.argpartition(-shares, self.bounds.boards)[: self.bounds.boards]
            boards, shares = boards[most], shares[most]
        weights = shares**self.blend.sharpness / b_table[boards, DEGREE]
        found, scores = beside(boards, weights, self.bounds.pins_of_board, sides, self._sums)
        return found.astype(np.int64), scores


def _strided(begin: int, end: int, count: int, seed: int) -> Ints:
    """Places ``begin`` … ``end`` - 1 of an order of 0 … ``count`` - 1 in which each comes once."""
    stride = max(1, int(count * 0.6180339887))
    while gcd(stride, count) > 1:
        stride += 1
    start = np.random.default_rng(seed).integers(0, max(1, count))
    return (start + np.arange(begin, end) * stride) % max(1, count)


def _popularity(boards: Ints) -> Floats:
    return np.log1p(boards).astype(np.float32)


def _standard(scores: Floats, live: NDArray[np.bool_]) -> Floats:
    """Each row with mean 0 and deviation 1 over the living pins."""
    if not live.any():
        return scores
    of = scores[:, live]
    mean, deviation = of.mean(axis=1, keepdims=True), of.std(axis=1, keepdims=True)
    return (scores - mean) / np.maximum(deviation, 1e-9)


def _best(ids: Ints, scores: NDArray[np.floating], allowed: NDArray[np.bool_], k: int) -> Related:
    real, scores = np.flatnonzero(allowed), scores.astype(np.float64)
    if len(real) > k > 0:
        real = real[scores[real] >= np.partition(scores[real], len(real) - k)[len(real) - k]]
    order = real[np.lexsort((ids[real], -scores[real]))][:k]
    return Related(ids[order], scores[order])


def _indexed(ids: Ints) -> IdIndex:
    index = IdIndex(max(1, len(ids)))
    index.intern(np.ascontiguousarray(ids))
    return index

"""Text index: the words of living pins, so that pins are found by phrases while they come and go.

BM25 over weighted fields (Robertson, Zaragoza, Taylor, "Simple BM25 extension to multiple weighted fields", CIKM 2004),
and more for words that stand side by side as they do in the phrase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.annotations import postings
from operators.annotations.pin_words import PinWords
from operators.batch import Ints
from operators.id_index import IdIndex, grown

#: Documents that were replaced are swept out when they are as many as the living, and at least so many.
_LEAST_DEAD = 4096
#: Pins that are looked at for words side by side, for one in the answer.
_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Bm25:
    """Chosen on the validation half of ``bench/quality/annotations.py``."""

    #: How soon a word that is repeated says no more; how much long texts lose, 0 … 1.
    slope: float = 1.2
    short: float = 0.5
    #: What words side by side are worth, beside what they are worth alone.
    phrase: float = 0.5


BM25 = Bm25()


class Hits(NamedTuple):
    """Pins and scores, both ``(n,)``, best first; equal scores by id."""

    pins: Ints
    scores: NDArray[np.float64]


class TextIndex:
    """Words of pins; about 20 bytes a word and 120 a pin. Any order of the same texts gives the same answers.

    Only a word on more than :data:`operators.annotations.postings.MOST_DOCUMENTS` pins is looked for on the newest.
    """

    def __init__(self) -> None:
        self._pins, self._words = IdIndex(), IdIndex()
        self._current = np.full(0, -1, np.int32)  # document of each pin
        self._clear()

    def _clear(self) -> None:
        self._facts = np.zeros((0, 4), np.int64)
        self._arena, self._fields = np.zeros(0, np.int32), np.zeros(0, np.uint8)
        self._links, self._lists = np.zeros((0, 3), np.int32), np.zeros((0, 2), np.int32)
        self._scratch = np.zeros(0, np.float64)
        self._size = self._used = self._posted = self._living = self._length = 0

    def __len__(self) -> int:
        """Pins that have words."""
        return self._living

    @property
    def nbytes(self) -> int:
        arrays = (self._current, self._facts, self._arena, self._fields, self._links, self._lists)
        own = sum(array.nbytes for array in (*arrays, self._scratch))
        return own + self._pins.nbytes + self._words.nbytes

    def put(self, some: PinWords) -> None:
        """Give pins their words in place of what they had; a pin without words is forgotten."""
        pins, ends, words, fields = some
        if not len(pins):
            return
        dense = np.full(len(words), -1, np.int32)
        dense[words > 0] = self._words.intern(words[words > 0])
        rows = self._pins.intern(pins)
        self._grow(len(pins), len(words))
        different = np.unique(rows)
        self._count(different, -1)
        self._used, self._posted = postings.put(
            rows, np.ascontiguousarray(ends), dense, np.ascontiguousarray(fields, np.uint8),
            self._current, self._facts, self._size, self._arena, self._fields, self._used,
            self._links, self._posted, self._lists,
        )  # fmt: skip
        self._size += len(pins)
        self._count(different, 1)
        if self._size - self._living > max(_LEAST_DEAD, self._living):
            self._sweep()

    def words_of(self, pins: Ints) -> PinWords:
        """The words of pins ``(n,)``; a pin that is not here has none."""
        rows = self._pins.lookup(pins)
        known = rows >= 0
        documents = np.full(len(rows), -1, np.int32)
        documents[known] = self._current[rows[known]]
        return self._told(pins, documents)

    def search(self, phrases: Sequence[tuple[Ints, float]], k: int, bm25: Bm25 = BM25) -> Hits:
        """The ``k`` pins that match best: ``phrases`` are words ``(m,)`` and what the phrase weighs."""
        known = [(self._words.lookup(words[words > 0]), weight) for words, weight in phrases if weight > 0]
        known = [(words, weight) for words, weight in known if len(words)]
        if not known or not self._living:
            return Hits(np.zeros(0, np.int64), np.zeros(0))
        words = np.concatenate([words for words, _ in known])
        shares = np.concatenate([np.full(len(words), weight) for words, weight in known])
        found = words >= 0
        rarity = np.zeros(len(words))
        rarity[found] = self._rarity(words[found])
        touched = postings.collect(
            words[found], (shares * rarity)[found], self._current, self._facts, self._links,
            self._lists, bm25.slope, bm25.short, max(1.0, self._length / self._living), self._scratch,
        )  # fmt: skip
        scores = self._scratch[touched].copy()
        self._scratch[touched] = 0.0
        touched, scores = _best(touched, scores, _DEPTH * k)
        lengths = np.array([len(words) for words, _ in known])
        firsts = np.cumsum(lengths) - lengths
        # Words that no pin has stand beside nothing, and a phrase of one word has none beside it.
        whole = (lengths > 1) & np.logical_and.reduceat(found, firsts)
        bonuses = bm25.phrase * np.add.reduceat(shares * rarity, firsts)
        bonuses[~whole] = 0.0
        postings.together(touched, words, np.cumsum(lengths), bonuses, self._facts, self._arena, self._fields, scores)
        pins = self._pins.ids[self._facts[touched, 0]]
        # Rounded, so that the order of adding up cannot break a tie.
        scores = np.round(scores, 9)
        order = np.lexsort((pins, -scores))[:k]
        return Hits(pins[order], scores[order])

    def _rarity(self, words: NDArray[np.int32]) -> NDArray[np.float64]:
        documents = self._lists[words, 1]
        return np.log1p((self._living - documents + 0.5) / (documents + 0.5))

    def _named(self, dense: NDArray[np.int32]) -> Ints:
        named = np.zeros(len(dense), np.int64)
        named[dense >= 0] = self._words.ids[dense[dense >= 0]]
        return named

    def _told(self, pins: Ints, documents: NDArray[np.int32]) -> PinWords:
        """What documents of pins say, -1 for none; both ``(n,)``."""
        there = documents >= 0
        starts, counts = np.zeros((2, len(pins)), np.int64)
        starts[there], counts[there] = self._facts[documents[there], 1:3].T
        ends = np.cumsum(counts)
        at = np.arange(counts.sum()) + np.repeat(starts - ends + counts, counts)
        return PinWords(pins, ends, self._named(self._arena[at]), self._fields[at])

    def _grow(self, documents: int, words: int) -> None:
        self._current = grown(self._current, len(self._pins), -1)
        self._facts = grown(self._facts, self._size + documents)
        self._scratch = grown(self._scratch, self._size + documents)
        self._arena, self._fields = grown(self._arena, self._used + words), grown(self._fields, self._used + words)
        self._links = grown(self._links, self._posted + words)
        known = len(self._lists)
        self._lists = grown(self._lists, len(self._words))
        self._lists[known:, 0] = -1

    def _count(self, rows: NDArray[np.int32], sign: int) -> None:
        documents = self._current[rows]
        documents = documents[documents >= 0]
        self._living += sign * len(documents)
        self._length += sign * int(self._facts[documents, 3].sum())

    def _sweep(self) -> None:
        """Write down anew what is alive, in the same order."""
        rows = np.flatnonzero(self._current[: len(self._pins)] >= 0)
        rows = rows[np.argsort(self._current[rows])]
        alive = self._told(self._pins.ids[rows], self._current[rows])
        self._pins, self._words = IdIndex(), IdIndex()
        self._current = np.full(0, -1, np.int32)
        self._clear()
        self.put(alive)


def _best(
    found: NDArray[np.int32], scores: NDArray[np.float64], k: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The ``k`` best, and what is as good as the last of them."""
    if len(found) <= k:
        return found, scores
    keep = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
    return found[keep], scores[keep]

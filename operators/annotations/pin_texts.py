"""Texts of pins: the index they are found by, and the dictionary that their phrases make. Both are sums over pins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operators.annotations.dictionary import Dictionary
from operators.annotations.phrases import phrases
from operators.annotations.text_index import FieldNumbers, TextIndex
from operators.annotations.words import Field
from operators.batch import Ints


class PinTexts:
    """What living pins say of themselves (``own``), and what was seen in them beside it."""

    def __init__(self) -> None:
        self.index = TextIndex()
        self.dictionary = Dictionary()

    @property
    def nbytes(self) -> int:
        return self.index.nbytes + self.dictionary.nbytes

    def put_own(self, pins: Ints, ends: Ints, words: Ints, fields: FieldNumbers) -> None:
        """Give pins ``(n,)`` their own words, ragged as in :meth:`TextIndex.put`. Other words end what was seen."""
        for pin, own, of in _each(pins, ends, words, fields):
            before, where = self.index.words_of(pin)
            mine = where != Field.SEEN
            if np.array_equal(before[mine], own) and np.array_equal(where[mine], of):
                continue
            self._count(before[mine], -1)
            self._count(own, 1)
            self.index.put(np.array([pin]), np.array([len(own)]), own, of)

    def put_seen(self, pins: Ints, ends: Ints, words: Ints) -> None:
        """Give pins words beside their own, ragged as in :meth:`TextIndex.put`, in place of those they had."""
        for pin, seen, of in _each(pins, ends, words, np.full(len(words), Field.SEEN, np.uint8)):
            before, where = self.index.words_of(pin)
            mine = where != Field.SEEN
            if np.array_equal(before[~mine], seen):
                continue
            joined = np.concatenate([before[mine], seen])
            self.index.put(np.array([pin]), np.array([len(joined)]), joined, np.concatenate([where[mine], of]))

    def load(self, pins: Ints, ends: Ints, words: Ints, fields: FieldNumbers) -> None:
        """Both for many pins that have no words yet, each once: of each its own words, then what was seen."""
        self.index.put(pins, ends, words, fields)
        own = fields != Field.SEEN
        self.dictionary.add_many(words[own], np.concatenate([[0], np.cumsum(own)])[ends])

    def drop(self, pins: Ints) -> None:
        """Forget pins, e.g. deleted ones. ``(n,)``."""
        for pin in pins.tolist():
            words, where = self.index.words_of(pin)
            self._count(words[where != Field.SEEN], -1)
        nothing = np.zeros(0, np.int64)
        self.index.put(pins, np.zeros(len(pins), np.int64), nothing, nothing.astype(np.uint8))

    def _count(self, words: Ints, sign: int) -> None:
        if len(words):
            (self.dictionary.add if sign > 0 else self.dictionary.remove)(phrases(words))


def _each(pins: Ints, ends: Ints, words: Ints, fields: FieldNumbers) -> Iterator[tuple[int, Ints, FieldNumbers]]:
    begin = 0
    for pin, end in zip(pins.tolist(), ends.tolist(), strict=True):
        yield pin, words[begin:end], fields[begin:end]
        begin = end

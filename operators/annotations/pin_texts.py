"""Texts of pins: the index they are found by, and the dictionary that their phrases make. Both are sums over pins."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operators.annotations.dictionary import Dictionary
from operators.annotations.pin_words import PinWords
from operators.annotations.text_index import TextIndex
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

    def put_own(self, some: PinWords) -> None:
        """Give pins their own words. Other words than before end what was seen; a pin that comes again is changed."""
        for new in _apart(some):
            own, _ = self._held(new.pins)
            changed = own.differs(new)
            if changed.any():
                mine = new.rows(changed)
                self._count(own.rows(changed), mine)
                self.index.put(mine)

    def put_seen(self, some: PinWords) -> None:
        """Give pins words beside their own, in place of those they had. All are of :attr:`Field.SEEN`."""
        for new in _apart(some):
            own, seen = self._held(new.pins)
            changed = seen.differs(new)
            if changed.any():
                self.index.put(own.rows(changed).before(new.rows(changed)))

    def load(self, both: PinWords) -> None:
        """For pins that have no words yet, each once: of each its own words, then what was seen."""
        self.index.put(both)
        own = both.within(both.fields != Field.SEEN)
        self.dictionary.add(own.words, own.ends)

    def drop(self, pins: Ints) -> None:
        """Forget pins, e.g. deleted ones. ``(n,)``, each once."""
        if len(pins):
            nothing = PinWords(pins, np.zeros(len(pins), np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint8))
            self._count(self._held(pins)[0], nothing)
            self.index.put(nothing)

    def _held(self, pins: Ints) -> tuple[PinWords, PinWords]:
        both = self.index.words_of(pins)
        seen = both.fields == Field.SEEN
        return both.within(~seen), both.within(seen)

    def _count(self, before: PinWords, after: PinWords) -> None:
        self.dictionary.remove(before.words, before.ends)
        self.dictionary.add(after.words, after.ends)


def _apart(some: PinWords) -> Iterator[PinWords]:
    """All at once, or one by one where a pin comes twice: what it gets depends on what it has."""
    if len(np.unique(some.pins)) == len(some.pins):
        yield some
    else:
        yield from (some.rows(np.arange(len(some.pins)) == row) for row in range(len(some.pins)))

"""Words of many pins as columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.annotations.phrases import Mask
from operators.batch import Ints

FieldNumbers = NDArray[np.uint8]


class PinWords(NamedTuple):
    """The words of ``pins[i]`` are ``words[ends[i - 1] : ends[i]]``, 0 for a break, each with its field.

    ``pins`` and ``ends`` are ``(n,)``, ``words`` and ``fields`` ``(ends[-1],)``.
    """

    pins: Ints
    ends: Ints
    words: Ints
    fields: FieldNumbers

    @property
    def lengths(self) -> Ints:
        """Words of each pin, breaks included, ``(n,)``."""
        return np.diff(self.ends, prepend=0)

    def rows(self, chosen: Mask) -> PinWords:
        """Those of some pins. ``(n,)``."""
        lengths = self.lengths
        inside = np.repeat(chosen, lengths)
        return PinWords(self.pins[chosen], np.cumsum(lengths[chosen]), self.words[inside], self.fields[inside])

    def within(self, chosen: Mask) -> PinWords:
        """The same pins with some of their words. ``(ends[-1],)``."""
        ends = np.concatenate([[0], np.cumsum(chosen)])[self.ends]
        return PinWords(self.pins, ends, self.words[chosen], self.fields[chosen])

    def differs(self, other: PinWords) -> Mask:
        """Which of the same pins have other words there. ``(n,)``."""
        differs = self.lengths != other.lengths
        mine, others = self.rows(~differs), other.rows(~differs)
        unequal = (mine.words != others.words) | (mine.fields != others.fields)
        differs[~differs] = mine.within(unequal).lengths > 0
        return differs

    def before(self, other: PinWords) -> PinWords:
        """The same pins with the words of both, those of ``other`` last."""
        row = np.arange(len(self.pins))
        order = np.argsort(np.concatenate([np.repeat(row, self.lengths), np.repeat(row, other.lengths)]), kind="stable")
        words, fields = np.concatenate([self.words, other.words]), np.concatenate([self.fields, other.fields])
        return PinWords(self.pins, self.ends + other.ends, words[order], fields[order])

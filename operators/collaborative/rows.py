"""Rows: a batch of lists of pins, as a sparse matrix over the model's pins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from operators.id_index import Ints

Floats = NDArray[np.float32]


class Rows(NamedTuple):
    """List i is ``pins[starts[i] : starts[i + 1]]``: dense numbers, each once in a list."""

    starts: Ints
    pins: Ints

    @property
    def lengths(self) -> Ints:
        """``(n,)``."""
        return np.diff(self.starts)

    @property
    def owners(self) -> Ints:
        """``(len(pins),)``: the list that each entry belongs to."""
        return np.repeat(np.arange(len(self.starts) - 1), self.lengths)

    def take(self, entries: NDArray[np.bool_]) -> Rows:
        """The lists with only the entries that are marked; ``(len(pins),)``."""
        return Rows(np.concatenate([[0], np.cumsum(entries)])[self.starts], self.pins[entries])

    def head(self, lists: int) -> Rows:
        """The first lists alone."""
        starts = self.starts[: lists + 1]
        return Rows(starts, self.pins[: starts[-1]])

    def of_at_least(self, pins: int) -> Rows:
        """The lists that are so long."""
        stays = self.lengths >= pins
        return Rows(np.concatenate([[0], np.cumsum(self.lengths[stays])]), self.pins[stays[self.owners]])

    def matrix(self, values: Floats, width: int) -> csr_matrix:
        """``(n, width)`` sparse with one of ``values`` ``(len(pins),)`` for each entry."""
        return csr_matrix((values, self.pins, self.starts), shape=(len(self.starts) - 1, width))

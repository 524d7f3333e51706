"""Canonical pins of many pins at once: two dense arrays, so that a slate's candidates cost one look-up."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from operators.id_index import IdIndex, Ints, grown


class RolledUp:
    """Pin → slot of its picture → canonical pin. Who is canonical, :mod:`operators.vision.canonical` decides."""

    def __init__(self) -> None:
        self._index = IdIndex()
        self._slots: NDArray[np.int32] = np.zeros(0, np.int32)
        self._leads: Ints = np.zeros(0, np.int64)

    def put(self, pins: Ints, slots: Ints) -> None:
        """These pins show the pictures in these slots, -1 for none; ``(n,)`` each."""
        dense = self._index.intern(pins)
        self._slots = grown(self._slots, len(self._index), -1)
        self._slots[dense] = slots

    def lead(self, slots: Collection[int], pin: int) -> None:
        """``pin`` is the canonical one of all that show the pictures in these slots."""
        self._leads = grown(self._leads, max(slots) + 1)
        self._leads[list(slots)] = pin

    def of(self, pins: Ints) -> Ints:
        """The canonical pin of each, itself where nothing is known of it. ``(n,) -> (n,)``."""
        if not len(self._slots):
            return pins
        dense = self._index.lookup(pins)
        slots = np.where(dense >= 0, self._slots[dense], -1)
        return np.where(slots >= 0, self._leads[slots], pins)


def first_of_each(groups: Ints, without: Ints | None = None) -> NDArray[np.intp]:
    """Rows in order at which a group appears first, ``(n,) -> (m,)``; groups in ``without`` are left out."""
    names, rows = np.unique(groups, return_index=True)
    if without is not None:
        rows = rows[~np.isin(names, without)]
    return np.sort(rows)

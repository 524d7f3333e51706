"""The same event twice counts once: a bounded memory of the event ids seen last."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Ints


class RecentIds:
    """Remembers at least the last ``horizon`` distinct ids, and at most twice as many.

    Two generations of an open-addressing table: ids go into the younger; when that holds ``horizon`` of
    them it becomes the older, and the older is forgotten. 32 bytes an id of the horizon: 64 MiB by default.
    """

    def __init__(self, horizon: int = 2**21) -> None:
        if horizon < 1:
            raise ValueError(f"horizon {horizon} is not at least 1")
        self.horizon = horizon
        slots = 1 << (2 * horizon - 1).bit_length()  # at most half full, so that probing stays short
        self._younger: Ints = np.zeros(slots, np.int64)
        self._older: Ints = np.zeros(slots, np.int64)
        self._held = 0  # ids in the younger generation

    def admit(self, ids: Ints) -> NDArray[np.bool_]:
        """Which of ``ids`` ``(n,)`` were not seen before (the first of equal ones); all are remembered.

        Raises:
            ValueError: an id is 0, which marks an empty place.
        """
        return self._take(ids)

    def load(self, ids: Ints) -> None:
        """Remember ids ``(n,)``, oldest first: of a batch that was stored, or those that ClickHouse holds.

        Raises:
            ValueError: an id is 0, which marks an empty place.
        """
        self._take(ids)

    def _take(self, ids: Ints) -> NDArray[np.bool_]:
        if not np.all(ids):
            raise ValueError("an event id may not be 0")
        new = np.zeros(len(ids), np.bool_)
        done = 0
        while done < len(ids):
            done, self._held = _insert(self._younger, self._older, self._held, self.horizon, ids, done, new)
            if self._held == self.horizon:
                self._younger, self._older = self._older, self._younger
                self._younger.fill(0)
                self._held = 0
        return new


@njit(cache=True, nogil=True)
def _insert(
    younger: Ints, older: Ints, held: int, horizon: int, ids: Ints, first: int, new: NDArray[np.bool_]
) -> tuple[int, int]:
    """Insert ``ids[first:]`` until the younger generation is full: where it stopped, how many it holds."""
    for i in range(first, len(ids)):
        if held == horizon:
            return i, held
        if older[_place(older, ids[i])] == 0:
            place = _place(younger, ids[i])
            if younger[place] == 0:
                younger[place] = ids[i]
                held += 1
                new[i] = True
    return len(ids), held


@njit(cache=True)
def _place(table: Ints, key: int) -> int:
    """Where ``key`` is, or the empty place where it belongs. Linear probing over MurmurHash3's finaliser."""
    mixed = np.uint64(key)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    mask = np.uint64(len(table) - 1)
    at = mixed & mask
    while table[at] != 0 and table[at] != key:
        at = (at + np.uint64(1)) & mask
    return np.int64(at)  # pyright: ignore[reportReturnType]

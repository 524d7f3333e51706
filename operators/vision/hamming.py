"""Finding fingerprints that differ in few bits: a look at every one of them.

With 96 bytes each that is quicker than it sounds: most are ruled out by their first 128 bits. Multi-index hashing
(Norouzi, Punjani and Fleet, CVPR 2012) was tried, too: ``docs/near-duplicates.md`` has both.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from operators.batch import Ints
from operators.vision.fingerprint import VIEWS, WORDS, Fingerprints

_1, _2, _4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM = np.uint64(0x0101010101010101)


class HammingIndex:
    """Fingerprints by slot, a small integer that the index chooses; a freed slot is used again."""

    def __init__(self) -> None:
        self._views: Fingerprints = np.zeros((64, len(VIEWS), WORDS), np.uint64)
        self._held: NDArray[np.bool_] = np.zeros(64, np.bool_)
        self._free: list[int] = []
        self._used = 0

    def add(self, views: Fingerprints) -> int:
        """Keep a fingerprint ``(views, WORDS)``; returns its slot."""
        slot = self._free.pop() if self._free else self._used
        self._used = max(self._used, slot + 1)
        if slot == len(self._views):
            self._views = np.concatenate([self._views, np.zeros_like(self._views)])
            self._held = np.concatenate([self._held, np.zeros_like(self._held)])
        self._views[slot], self._held[slot] = views, True
        return slot

    def remove(self, slot: int) -> None:
        """Forget the fingerprint in a slot."""
        self._held[slot] = False
        self._free.append(slot)

    def views(self, slot: int) -> Fingerprints:
        """The fingerprint in a slot, ``(views, WORDS)``."""
        return self._views[slot]

    def within(self, views: Fingerprints, distance: int) -> dict[int, int]:
        """Slot → distance (``operators.vision.fingerprint.distances``) of all at most so many bits away."""
        apart = np.full(self._used, distance + 1, np.int64)
        _scan(np.ascontiguousarray(views), self._views[: self._used], self._held, apart)
        near = np.flatnonzero(apart <= distance)
        return dict(zip(near.tolist(), apart[near].tolist(), strict=True))


@njit(cache=True, nogil=True)
def _scan(ours: Fingerprints, held: Fingerprints, alive: NDArray[np.bool_], apart: Ints) -> None:  # pragma: no cover
    """Lower each of ``apart`` ``(n,)`` to the distance of the fingerprint ``held`` there, where that is less."""
    for slot in range(len(held)):
        if not alive[slot]:
            continue
        theirs = held[slot]
        for view in range(len(ours)):
            apart[slot] = _least(ours[0], theirs[view], apart[slot])
            if view:
                apart[slot] = _least(ours[view], theirs[0], apart[slot])


@njit(cache=True)
def _least(one, other, most):  # type: ignore[no-untyped-def]
    differing = np.int64(0)
    for word in range(WORDS):
        bits = one[word] ^ other[word]
        bits -= (bits >> uint64(1)) & _1
        bits = (bits & _2) + ((bits >> uint64(2)) & _2)
        bits = (bits + (bits >> uint64(4))) & _4
        differing += np.int64((bits * _SUM) >> uint64(56))
        if differing >= most:
            return most
    return differing

"""Follows: who follows whom, the newest word winning."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import IdIndex, Ints, grown

Mask = NDArray[np.bool_]


@njit(cache=True)
def _fold(pair, version, follows, versions, present):  # type: ignore[no-untyped-def]
    for i in range(len(pair)):
        p = pair[i]
        # At the same time unfollowing wins, as deletion does for pins.
        if version[i] > versions[p] or (version[i] == versions[p] and not follows[i]):
            versions[p] = version[i]
            present[p] = follows[i]


class Follows:
    """Pairs (follower, followed). About 90 bytes a pair; answers cost a hash look-up, not a pass."""

    def __init__(self) -> None:
        self._pinners = IdIndex()
        self._pairs = IdIndex()  # follower << 32 | followed, both dense
        self._version = np.full(0, -1, np.int64)
        self._present = np.zeros(0, np.bool_)
        # Pairs of one follower are a linked list through `_next`, starting at `_head`.
        self._next = np.full(0, -1, np.int32)
        self._head = np.full(0, -1, np.int32)

    def __len__(self) -> int:
        """How many pairs hold now."""
        return int(self._present.sum())

    def accept(self, followers: Ints, followed: Ints, versions: Ints, follows: Mask) -> None:
        """Take (un)follows in any order; the newest ``versions`` (ms) of a pair wins. All ``(n,)``."""
        keys = self._keys(self._pinners.intern(followers), self._pinners.intern(followed))
        known = len(self._pairs)
        pair = self._pairs.intern(keys)
        size = len(self._pairs)
        self._version = grown(self._version, size, -1)
        self._present = grown(self._present, size)
        self._next = grown(self._next, size, -1)
        self._head = grown(self._head, len(self._pinners), -1)
        for new in range(known, size):
            follower = self._pairs.ids[new] >> 32
            self._next[new], self._head[follower] = self._head[follower], new
        _fold(pair, versions, np.asarray(follows, np.bool_), self._version, self._present)

    def follows(self, followers: Ints, followed: Ints) -> Mask:
        """Does each follower follow the other? ``(n,), (n,) -> (n,)``."""
        if not len(self._pairs):
            return np.zeros(len(followers), np.bool_)
        first, second = self._pinners.lookup(followers), self._pinners.lookup(followed)
        pair = self._pairs.lookup(self._keys(first, second))
        return (first >= 0) & (second >= 0) & (pair >= 0) & self._present[pair]

    def followed_by(self, pinner: int) -> Ints:
        """Ids of the pinners that ``pinner`` follows, ascending."""
        dense = self._pinners.find(pinner)
        pair = int(self._head[dense]) if dense >= 0 else -1
        found: list[int] = []
        while pair >= 0:
            if self._present[pair]:
                found.append(int(self._pinners.ids[self._pairs.ids[pair] & 0xFFFFFFFF]))
            pair = int(self._next[pair])
        return np.array(sorted(found), np.int64)

    def erase(self, pinner: int) -> None:
        """Forget a pinner, both as follower and as followed. One pass over all pairs."""
        dense = self._pinners.forget(pinner)
        if dense < 0:
            return
        keys = self._pairs.ids
        self._present[: len(keys)][(keys >> 32 == dense) | (keys & 0xFFFFFFFF == dense)] = False

    @staticmethod
    def _keys(followers: NDArray[np.int32], followed: NDArray[np.int32]) -> Ints:
        return (followers.astype(np.int64) << 32) | (followed.astype(np.int64) & 0xFFFFFFFF)

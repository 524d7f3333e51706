"""Catalogue: what is known of pins. The newest version of a pin wins, and a deleted one stays deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Engagement
from operators.follows import Follows
from operators.id_index import IdIndex, Ints, grown

Mask = NDArray[np.bool_]
_FAR = np.iinfo(np.int64).max
#: The newest pins that are kept at hand, so that asking for fresh pins is no pass over all.
_POOL = 4096


@njit(cache=True)
def _accept(dense, version, deleted, offset, owner, board, domain, created, owner_dense, rows, live, links, heads):  # type: ignore[no-untyped-def]
    """Fold rows into ``rows`` (version, offset, owner, board, domain, created); True where one is the newest so far."""
    mask = np.zeros(len(dense), np.bool_)
    for i in range(len(dense)):
        p = dense[i]
        rows[p, 5] = min(rows[p, 5], created[i])
        known = rows[p, 0]
        if version[i] < known:
            continue
        if version[i] == known:
            if live[p] == 2 and not deleted[i]:
                continue
            if (live[p] == 2) == deleted[i] and offset[i] < rows[p, 1]:
                continue
        mask[i] = True
        rows[p, 0], rows[p, 1], rows[p, 2] = version[i], offset[i], owner[i]
        rows[p, 3], rows[p, 4] = board[i], domain[i]
        live[p] = 2 if deleted[i] else 1
        before = links[p, 2]
        if before != owner_dense[i]:
            # Pins of one owner are a doubly linked list: next, previous, owner.
            if before >= 0:
                after, ahead = links[p, 0], links[p, 1]
                if ahead >= 0:
                    links[ahead, 0] = after
                else:
                    heads[before] = after
                if after >= 0:
                    links[after, 1] = ahead
            head = heads[owner_dense[i]]
            links[p, 0], links[p, 1], links[p, 2] = head, -1, owner_dense[i]
            if head >= 0:
                links[head, 1] = p
            heads[owner_dense[i]] = p
    return mask


@njit(cache=True)
def _walk(head, links, size):  # type: ignore[no-untyped-def]
    found = np.empty(size, np.int32)
    count = 0
    while head >= 0 and count < size:
        found[count] = head
        count += 1
        head = links[head, 0]
    return found[:count]


@njit(cache=True)
def _gather(dense, rows, owner, domain):  # type: ignore[no-untyped-def]
    for i in range(len(dense)):
        p = dense[i]
        if p >= 0 and rows[p, 0] >= 0:
            owner[i] = rows[p, 2]
            domain[i] = rows[p, 4]


@njit(cache=True)
def _facts(dense, rows, live, columns, state):  # type: ignore[no-untyped-def]
    for i in range(len(dense)):
        p = dense[i]
        if p >= 0 and live[p] > 0:
            columns[0, i], columns[1, i], columns[2, i] = rows[p, 2], rows[p, 4], rows[p, 5]
            state[i] = live[p]


class Facts(NamedTuple):
    """What is known of ``n`` pins, ``(n,)`` each; numbers are 0 for a pin never heard of."""

    owners: Ints
    domains: Ints
    #: When each was first heard of, ms.
    created: Ints
    known: Mask
    deleted: Mask

    def take(self, rows: slice | Mask) -> Facts:
        """The pins at ``rows``."""
        return Facts(*cast("tuple[Any, ...]", tuple(column[rows] for column in self)))

    @staticmethod
    def joined(parts: Sequence[Facts]) -> Facts:
        """One table for several, in order."""
        return Facts(*cast("tuple[Any, ...]", tuple(map(np.concatenate, zip(*parts, strict=True)))))


class Catalogue:
    """State of every pin ever named, about 125 bytes each. Any order of the same events gives the same state."""

    def __init__(self) -> None:
        self._index = IdIndex()
        self._owners = IdIndex()
        # Columns: version, offset, owner, board, domain, created. One row a pin is one cache line to enrich.
        self._rows = np.zeros((0, 6), np.int64)
        self._live = np.zeros(0, np.uint8)  # 0 unknown, 1 live, 2 deleted
        self._links = np.full((0, 3), -1, np.int32)
        self._heads = np.full(0, -1, np.int32)
        # Every live pin whose (created, id) is above `_floor` is in the pool.
        self._pool = np.zeros(0, np.int32)
        self._floor = (-1, 0)

    def __len__(self) -> int:
        """Live pins."""
        return int((self._live == 1).sum())

    @property
    def nbytes(self) -> int:
        arrays = (self._rows, self._live, self._links, self._heads, self._pool)
        return self._index.nbytes + self._owners.nbytes + sum(array.nbytes for array in arrays)

    def accept(
        self,
        pins: Ints,
        versions: Ints,
        deleted: Mask,
        offsets: Ints,
        *,
        owners: Ints,
        boards: Ints,
        domains: Ints,
        created: Ints | None = None,
    ) -> Mask:
        """Take pin events in any order and keep the newest of each pin; returns which were that. All ``(n,)``.

        The newest ``versions`` (ms) wins; at the same time a deletion wins, then the larger offset.
        The same row again is accepted again, so that a repeated batch does its work again.
        ``created`` (ms; the version when left out) keeps its smallest value.
        """
        if not len(pins):
            return np.zeros(0, np.bool_)
        dense = self._index.intern(pins)
        owner_dense = self._owners.intern(owners)
        before, size = len(self._rows), len(self._index)
        self._rows = grown(self._rows, size)
        self._rows[before:, 0], self._rows[before:, 5] = -1, _FAR
        self._live = grown(self._live, size)
        self._links = grown(self._links, size, -1)
        self._heads = grown(self._heads, len(self._owners), -1)
        versions = np.ascontiguousarray(versions, np.int64)
        deleted = np.asarray(deleted, np.bool_)
        mask: Mask = _accept(
            dense, versions, deleted, offsets, owners, boards, domains,
            versions if created is None else created,
            owner_dense, self._rows, self._live, self._links, self._heads,
        )  # fmt: skip
        self._pool = np.union1d(self._pool, dense[self._above_floor(dense)]).astype(np.int32)
        if len(self._pool) > 4 * _POOL:
            self._trim()
        return mask

    def enrich(self, engagement: Engagement, follows: Follows) -> Engagement:
        """The same events with ``owner``, ``domain`` and ``is_follower`` filled in where the pin is known."""
        owner, domain = np.zeros((2, len(engagement)), np.int64)
        _gather(self._index.lookup(engagement.pin), self._rows, owner, domain)
        is_follower = follows.follows(engagement.pinner, owner) & (owner != 0)
        return replace(engagement, owner=owner, domain=domain, is_follower=is_follower.astype(np.uint8))

    def facts(self, pins: Ints) -> Facts:
        """All that a slate asks of pins, looked up once. ``(n,) -> (n,)`` each."""
        dense = self._index.lookup(pins)
        columns, live = np.zeros((3, len(dense)), np.int64), np.zeros(len(dense), np.uint8)
        _facts(dense, self._rows, self._live, columns, live)
        return Facts(columns[0], columns[1], columns[2], live > 0, live == 2)

    def known(self, pins: Ints) -> Mask:
        """Has the catalogue heard of these pins, live or deleted? ``(n,) -> (n,)``."""
        return self._state(pins) > 0

    def is_deleted(self, pins: Ints) -> Mask:
        """Are these pins deleted? An unknown pin is not. ``(n,) -> (n,)``."""
        return self._state(pins) == 2

    def boards(self, pins: Ints) -> Ints:
        """Home board of each pin, 0 where unknown. ``(n,) -> (n,)``."""
        return self._column(pins, 3)

    def created(self, pins: Ints) -> Ints:
        """When each pin was first heard of (ms), 0 where unknown. ``(n,) -> (n,)``."""
        return self._column(pins, 5)

    def versions(self, pins: Ints) -> Ints:
        """Version (ms) that won, 0 where unknown. ``(n,) -> (n,)``."""
        return self._column(pins, 0)

    def newest(self, k: int) -> Ints:
        """Ids of the ``k`` newest live pins by time of creation, newest first."""
        pool = self._pool[(self._live[self._pool] == 1) & self._above_floor(self._pool)]
        if len(pool) < k and self._floor[0] >= 0:
            # Deletions emptied the pool, or more was asked for than it holds: fill it again.
            self._floor = (-1, 0)
            self._pool = pool = np.flatnonzero(self._live[: len(self._index)] == 1).astype(np.int32)
            self._trim(max(_POOL, k))
        return self._newest_of(pool, k)

    def pins_of(self, owner: int, k: int) -> Ints:
        """Ids of the ``k`` newest live pins of a pinner, newest first."""
        pins = self._all_of(owner)
        return self._newest_of(pins[self._live[pins] == 1], k)

    def all_pins_of(self, owner: int) -> Ints:
        """Ids of all live pins of a pinner, newest first."""
        return self.pins_of(owner, len(self._index))

    def erase(self, owner: int) -> None:
        """Delete a pinner's pins and forget whose they were."""
        pins = self._all_of(owner)
        self._live[pins] = 2
        self._rows[pins, 2] = 0
        self._owners.forget(owner)

    def _all_of(self, owner: int) -> NDArray[np.int32]:
        dense = self._owners.find(owner) if owner else -1
        if dense < 0:
            return np.zeros(0, np.int32)
        return _walk(self._heads[dense], self._links, len(self._index))

    def _newest_of(self, dense: NDArray[np.int32], k: int) -> Ints:
        ids, created = self._index.ids[dense], self._rows[dense, 5]
        if len(ids) > 4 * k:
            # Everything as new as the k-th, so that equal times are still settled by id.
            keep = created >= np.partition(created, len(created) - k)[len(created) - k] if k else []
            ids, created = ids[keep], created[keep]
        return ids[np.lexsort((-ids, -created))][:k]

    def _above_floor(self, dense: NDArray[np.int32]) -> Mask:
        time, pin = self._floor
        created = self._rows[dense, 5]
        return (created > time) | ((created == time) & (self._index.ids[dense] > pin))

    def _trim(self, size: int = _POOL) -> None:
        """Keep the newest of the pool and remember below what (created, id) it is no longer complete."""
        self._pool = self._pool[self._live[self._pool] == 1]
        best = self._newest_of(self._pool, size + 1)
        if len(best) > size:
            first_out = int(best[-1])
            self._floor = max(self._floor, (int(self.created(best[-1:])[0]), first_out))
            self._pool = self._pool[self._above_floor(self._pool)]

    def _state(self, pins: Ints) -> NDArray[np.uint8]:
        dense = self._index.lookup(pins)
        if not len(self._live):
            return np.zeros(len(dense), np.uint8)
        return np.where(dense >= 0, self._live[dense], np.uint8(0))

    def _column(self, pins: Ints, column: int) -> Ints:
        dense = self._index.lookup(pins)
        if not len(self._rows):
            return np.zeros(len(dense), np.int64)
        known = (dense >= 0) & (self._live[dense] > 0)
        return np.where(known, self._rows[dense, column], 0)

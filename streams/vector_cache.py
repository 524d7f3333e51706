"""Pin vectors in memory: what relevance and diversity look at, a bounded copy of Milvus's collection ``pins``."""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.cosines import cosines
from operators.id_index import IdIndex, grown
from streams.interest_cache import InterestCache
from streams.neighbour_cache import NeighbourCache
from streams.stores.protocols import VectorStore

Vectors = NDArray[np.float32]

#: Seconds for which a pin that Milvus does not have is not asked for again; :meth:`VectorCache.put` ends it at once.
_ABSENT_SECONDS = 5.0
#: A full cache makes room for this share at a time, so that finding the oldest is cheap.
_EVICTED_SHARE = 8


class VectorCache:
    """The ``capacity`` most lately used vectors: float32, as turning halves into floats costs more than the products.

    1 kB each at 256 dimensions, so at most 34 MB by default; memory is taken as it fills.
    """

    def __init__(self, store: VectorStore, capacity: int = 32_768, collection: str = "pins") -> None:
        self.store, self.capacity, self._collection = store, capacity, collection
        self.neighbours = NeighbourCache(store, collection=collection)
        self.interests = InterestCache()
        #: Pins ever held, and the row of each, -1 for one that is not held now.
        self._pins, self._row = IdIndex(), np.empty(0, np.int64)
        self._held = 0
        self._free: list[int] = []
        self._vectors: Vectors = np.empty((0, 0), np.float32)
        self._used: Ints = np.empty(0, np.int64)  # 0 where the row is free
        self._tick = 0
        self._absent: dict[int, float] = {}
        self._asked: set[int] = set()

    def __len__(self) -> int:
        return self._held

    @property
    def dimension(self) -> int:
        """Length of a vector; 0 before the first."""
        return self._vectors.shape[1]

    def put(self, vectors: Mapping[int, NDArray[np.float32]]) -> None:
        """Remember new or changed vectors, pin → ``(d,)``. Raises ValueError when a length differs from the others'."""
        self._tick += 1
        for pin, vector in vectors.items():
            if self.dimension == 0:
                self._vectors = np.empty((0, len(vector)), np.float32)
            if len(vector) != self.dimension:
                raise ValueError(f"vector of pin {pin} has {len(vector)} dimensions, the cache has {self.dimension}")
            number = self._number(pin)
            row = int(self._row[number])
            if row < 0:
                # Making room may forget other pins, and number them anew.
                row = self._take_row()
                number = self._number(pin)
                self._row[number] = row
                self._held += 1
            self._vectors[row] = vector
            self._used[row] = self._tick
            self._absent.pop(pin, None)

    def drop(self, pins: Ints) -> None:
        """Forget pins, e.g. deleted ones."""
        for number in self._pins.lookup(pins).tolist():
            if number >= 0 and (row := int(self._row[number])) >= 0:
                self._row[number] = -1
                self._held -= 1
                self._used[row] = 0
                self._free.append(row)

    def held(self, pins: Ints) -> tuple[Vectors, NDArray[np.bool_]]:
        """``(n, d)`` vectors of those in memory, zero rows for the others, and a mask of those found."""
        rows = self._rows(pins)
        found = rows >= 0
        if not len(self._vectors):
            return np.zeros((len(pins), self.dimension), np.float32), found
        out = np.take(self._vectors, rows, axis=0, mode="clip")
        out[~found] = 0
        return out, found

    def cosines(self, pins: Ints, others: Vectors) -> Vectors:
        """``(n, m)``: inner products of pins with ``others`` ``(m, d)``; a row of NaN for a pin not in memory."""
        return cosines(self._vectors, self._rows(pins), others)

    async def load(self, pins: Ints) -> None:
        """Fetch those of ``pins`` that are not in memory or under way. Raises StoreUnavailable when Milvus is gone."""
        now = monotonic()
        wanted = [
            pin
            for pin in dict.fromkeys(pins[self._found(pins) < 0].tolist())
            if pin not in self._asked and self._absent.get(pin, 0) <= now
        ]
        if not wanted:
            return
        self._asked.update(wanted)
        try:
            fetched = await self.store.fetch(self._collection, np.asarray(wanted, np.int64))
        finally:
            self._asked.difference_update(wanted)
        # What vision put meanwhile is newer than what was asked for before.
        new = self._found(np.fromiter(fetched, np.int64, len(fetched))) < 0
        self.put({pin: vector for (pin, vector), absent in zip(fetched.items(), new.tolist(), strict=True) if absent})
        if len(self._absent) > self.capacity:
            self._absent.clear()
        self._absent.update((pin, now + _ABSENT_SECONDS) for pin in wanted if pin not in fetched)

    def _rows(self, pins: Ints) -> Ints:
        """Where the vectors of pins lie, -1 where they do not; they are the most lately used now."""
        self._tick += 1
        rows = self._found(pins)
        self._used[rows[rows >= 0]] = self._tick
        return rows

    def _found(self, pins: Ints) -> Ints:
        numbers = self._pins.lookup(pins)
        if not len(self._row):
            return np.full(len(pins), -1, np.int64)
        return np.where(numbers >= 0, self._row[numbers], -1)

    def _number(self, pin: int) -> int:
        number = int(self._pins.intern(np.array([pin], np.int64))[0])
        self._row = grown(self._row, number + 1, -1)
        return number

    def _take_row(self) -> int:
        if self._free:
            return self._free.pop()
        held = len(self._used)
        if held < self.capacity:
            grown = min(self.capacity, max(1024, 2 * held))
            vectors = np.empty((grown, self.dimension), np.float32)
            vectors[:held] = self._vectors
            self._vectors = vectors
            self._used = np.concatenate([self._used, np.zeros(grown - held, np.int64)])
            self._free = list(range(grown - 1, held - 1, -1))
        else:
            out = np.argsort(self._used, kind="stable")[: max(1, self.capacity // _EVICTED_SHARE)]
            self._used[out] = 0
            rows = self._row[: len(self._pins)]
            kept = np.flatnonzero((rows >= 0) & (self._used[rows] > 0))
            # Numbered anew, so that pins of the past take no room.
            ids, rows = self._pins.ids[kept], rows[kept]
            self._pins, self._row, self._held = IdIndex(len(ids)), rows.copy(), len(ids)
            self._pins.intern(ids)
            self._free = out.tolist()
        return self._free.pop()

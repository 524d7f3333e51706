"""Neighbours of pins in memory for a few seconds: who acts again starts mostly from the same saves as before."""

from __future__ import annotations

from time import monotonic

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from streams.stores.protocols import Neighbours, VectorStore

Vectors = NDArray[np.float32]
#: Seconds after which neighbours are searched again, so that new pins are soon among them.
FRESH_SECONDS = 10.0


class NeighbourCache:
    """What Milvus found for each pin lately; about 0.7 kB a pin at 60 neighbours."""

    def __init__(
        self,
        store: VectorStore,
        capacity: int = 16_384,
        seconds: float = FRESH_SECONDS,
        collection: str = "pins",
    ) -> None:
        self._store, self._capacity, self._seconds, self._collection = store, capacity, seconds, collection
        #: (pin, k) → when it was searched, ids and scores.
        self._found: dict[tuple[int, int], tuple[float, Ints, Vectors]] = {}

    async def near(self, pins: Ints, vectors: Vectors, k: int) -> Neighbours:
        """The ``k`` nearest of each of the ``n`` pins with these vectors: one search for those not known.

        Raises:
            StoreUnavailable: Milvus is gone and not all are known.
        """
        oldest = monotonic() - self._seconds
        keys = [(pin, k) for pin in pins.tolist()]
        first = {key: row for row, key in reversed(list(enumerate(keys)))}
        wanted = [row for key, row in first.items() if self._found.get(key, (0.0,))[0] < oldest]
        answers = {key: self._found[key] for key in first if key in self._found}
        if wanted:
            near = await self._store.search(self._collection, vectors[wanted], k)
            at = monotonic()
            for row, ids, scores in zip(wanted, near.ids, near.scores, strict=True):
                answers[keys[row]] = self._found[keys[row]] = (at, ids, scores)
            if len(self._found) > self._capacity:
                self._found = dict(sorted(self._found.items(), key=lambda each: -each[1][0])[: self._capacity // 2])
        ids, scores = (np.stack([answers[key][column] for key in keys]) for column in (1, 2))
        return Neighbours(ids, scores)

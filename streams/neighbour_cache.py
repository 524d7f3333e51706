"""Neighbours of pins in memory for some seconds: who acts again starts mostly from the same saves as before.

What is asked for again and again is searched again ahead of its time, many pins at once, while slates have what is
known: they need not wait for Milvus.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from streams.stores.protocols import Neighbours, StoreUnavailable, VectorStore

Vectors = NDArray[np.float32]
Key = tuple[int, int]
log = logging.getLogger(__name__)
#: Seconds after which neighbours are no longer used.
FRESH_SECONDS = 20.0
#: Part of that time after which they are searched again, so that new pins are soon among them …
AGEING = 0.5
#: … and how many seconds that waits for others, so that one search does for many.
GATHER_SECONDS = 0.5


class _Found(NamedTuple):
    at: float
    ids: Ints
    scores: Vectors


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
        #: Of each pin and how many neighbours were wanted.
        self._found: dict[Key, _Found] = {}
        #: What is to be searched again, and its vectors.
        self._ageing: dict[Key, Vectors] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def near(self, pins: Ints, vectors: Vectors, k: int) -> Neighbours:
        """The ``k`` nearest of each of the ``n`` pins with these vectors: one search for those not known.

        Raises:
            StoreUnavailable: Milvus is gone and not all are known.
        """
        now = monotonic()
        keys = [(pin, k) for pin in pins.tolist()]
        answers: dict[Key, _Found] = {}
        wanted: dict[Key, int] = {}
        for row, key in enumerate(keys):
            found = self._found.get(key)
            if found is None or now - found.at >= self._seconds:
                wanted.setdefault(key, row)
            else:
                answers[key] = found
                if now - found.at >= self._seconds * AGEING:
                    self._ageing.setdefault(key, vectors[row])
        if self._ageing and self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        if wanted:
            answers |= await self._search(list(wanted), vectors[list(wanted.values())], k)
        ids, scores = (np.stack([answers[key][column] for key in keys]) for column in (1, 2))
        return Neighbours(ids, scores)

    async def _search(self, keys: list[Key], vectors: Vectors, k: int) -> dict[Key, _Found]:
        near = await self._store.search(self._collection, vectors, k)
        at = monotonic()
        new = {key: _Found(at, ids, scores) for key, ids, scores in zip(keys, near.ids, near.scores, strict=True)}
        self._found |= new
        if len(self._found) > self._capacity:
            self._found = dict(sorted(self._found.items(), key=lambda each: -each[1].at)[: self._capacity // 2])
        return new

    async def _renew(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        ageing, self._ageing = self._ageing, {}
        try:
            for k in {k for _, k in ageing}:
                keys = [key for key in ageing if key[1] == k]
                await self._search(keys, np.stack([ageing[key] for key in keys]), k)
        except StoreUnavailable as gone:
            log.debug("neighbours are used until their time is over: %s", gone)
        finally:
            self._renewing = None

"""PinSage in a worker: which pins wait for a vector of their neighbourhood, and what lies near those that have one.

Ying et al., "Graph Convolutional Neural Networks for Web-Scale Recommender Systems", KDD 2018; ``docs/pinsage.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from operators.batch import Ints
from streams.stores.protocols import Neighbours
from streams.stores.triton import ENCODER
from streams.vector_cache import VectorCache

if TYPE_CHECKING:
    from streams.engine import Engine
    from streams.metrics import Metrics
    from streams.stores.milvus import MilvusVectors

COLLECTION = "pinsage"
#: Pins that may wait in memory; who leads finds in ClickHouse what finds no room.
MOST_WAITING = 20_000
#: Seconds after which vectors are asked for again: other workers make new ones.
CACHE_SECONDS, CACHED = 30.0, 8_192


class PinSage:
    """The queue of one worker and its answers. What it holds in memory may be lost at any moment."""

    def __init__(self, vectors: MilvusVectors, metrics: Metrics) -> None:
        """``vectors``: of the collection ``pinsage`` alone."""
        self.vectors, self._metrics = vectors, metrics
        #: In order of arrival; a dictionary, so that each waits once.
        self._waiting: dict[int, None] = {}
        self._elsewhere = 0
        self._cache, self._since = VectorCache(vectors, CACHED, COLLECTION), monotonic()

    def __len__(self) -> int:
        """Pins that wait."""
        return len(self._waiting)

    def arrived(self, pins: Sequence[int]) -> None:
        """These were understood, changed or deleted a moment ago."""
        for pin in pins:
            if len(self._waiting) < MOST_WAITING:
                self._waiting[pin] = None
        self.tell()

    def take(self, most: int) -> list[int]:
        """The next pins to be seen to; they no longer wait."""
        some = list(islice(self._waiting, most))
        for pin in some:
            del self._waiting[pin]
        return some

    def give_back(self, pins: Sequence[int]) -> None:
        """These could not be seen to."""
        self._waiting = dict.fromkeys(pins) | self._waiting
        self.tell()

    def tell(self, elsewhere: int | None = None) -> None:
        """Tell the metrics how many wait; ``elsewhere``: how many in ClickHouse alone, as who leads has read."""
        self._elsewhere = self._elsewhere if elsewhere is None else elsewhere
        self._metrics.unconvolved(len(self._waiting) + self._elsewhere)

    def changed(self, pins: Ints) -> None:
        """Vectors of these are others now, or gone."""
        self._cache.drop(pins)

    async def near(self, engine: Engine, pins: Ints, k: int) -> Neighbours:
        """The ``k`` nearest of each of ``pins`` ``(n,)``; none of a pin without a vector, nor of another encoder.

        Raises:
            StoreUnavailable: Milvus is gone.
        """
        nothing = Neighbours(np.zeros((len(pins), k), np.int64), np.full((len(pins), k), -np.inf, np.float32))
        if engine.encoder != ENCODER:
            return nothing
        if monotonic() - self._since > CACHE_SECONDS:
            self._cache, self._since = VectorCache(self.vectors, CACHED, COLLECTION), monotonic()
        cache = self._cache
        await cache.load(pins)
        vectors, known = cache.held(pins)
        if known.any():
            found = await cache.neighbours.near(pins[known], vectors[known], k)
            nothing.ids[known], nothing.scores[known] = found.ids, found.scores
        return nothing

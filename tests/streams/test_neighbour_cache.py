import asyncio

import numpy as np
import pytest

from streams.neighbour_cache import NeighbourCache
from streams.stores.protocols import StoreUnavailable
from training.exact_vectors import ExactVectors

PINS = np.arange(1, 41)
VECTORS = np.random.default_rng(1).normal(size=(40, 8)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


class Counted(ExactVectors):
    searched = 0

    async def search(self, collection, vectors, k, where=""):
        self.searched += len(vectors)
        return await super().search(collection, vectors, k, where)


async def test_the_same_answers_with_fewer_searches():
    store = Counted(PINS, VECTORS)
    cache = NeighbourCache(store)
    for asked in ([3, 7, 3], [7, 9], [3, 7, 9, 3]):
        pins = np.array(asked)
        found, exact = (
            await cache.near(pins, VECTORS[pins - 1], 5),
            await ExactVectors.search(store, "pins", VECTORS[pins - 1], 5),
        )
        assert found.ids.tolist() == exact.ids.tolist()
        np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-5)
    assert store.searched == 3, "each of three pins once"
    await cache.near(np.array([3]), VECTORS[2:3], 6)
    assert store.searched == 4, "more neighbours are another question"


async def test_after_its_time_a_pin_is_searched_again_and_memory_is_bounded():
    store = Counted(PINS, VECTORS)
    cache = NeighbourCache(store, capacity=10, seconds=0.0)
    for _ in range(3):
        await cache.near(PINS[:1], VECTORS[:1], 5)
    assert store.searched == 3
    store.searched, cache = 0, NeighbourCache(store, capacity=10)
    for pin in PINS.tolist():
        assert (await cache.near(np.array([pin]), VECTORS[pin - 1 : pin], 5)).ids[0, 0] == pin
    await cache.near(PINS[-4:], VECTORS[-4:], 5)
    assert store.searched == 40, "the latest are still known"
    await cache.near(PINS[:4], VECTORS[:4], 5)
    assert store.searched == 44, "the first made room"


async def test_what_is_asked_for_again_is_searched_again_while_the_old_answer_serves(monkeypatch):
    monkeypatch.setattr("streams.neighbour_cache.GATHER_SECONDS", 0.0)
    store = Counted(PINS, VECTORS)
    cache = NeighbourCache(store, seconds=0.4)
    await cache.near(PINS[:2], VECTORS[:2], 5)
    await asyncio.sleep(0.25)
    ExactVectors.__init__(store, PINS[:1], VECTORS[:1])
    assert (await cache.near(PINS[:1], VECTORS[:1], 5)).ids[0].all(), "the old answer: nobody waits"
    await asyncio.sleep(0.02)
    assert store.searched == 3, "the one that was asked for, not the other"
    assert (await cache.near(PINS[:1], VECTORS[:1], 5)).ids[0].tolist() == [1, 0, 0, 0, 0]


async def test_without_milvus_neighbours_serve_until_their_time_is_over(monkeypatch):
    monkeypatch.setattr("streams.neighbour_cache.GATHER_SECONDS", 0.0)

    class Gone(Counted):
        async def search(self, collection, vectors, k, where=""):
            if self.searched:
                raise StoreUnavailable("milvus", "gone")
            return await super().search(collection, vectors, k, where)

    cache = NeighbourCache(Gone(PINS, VECTORS), seconds=0.4)
    await cache.near(PINS[:1], VECTORS[:1], 5)
    for _ in range(2):
        await asyncio.sleep(0.11)
        await cache.near(PINS[:1], VECTORS[:1], 5)
    await asyncio.sleep(0.2)
    with pytest.raises(StoreUnavailable):
        await cache.near(PINS[:1], VECTORS[:1], 5)

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.vector_cache import VectorCache
from training.exact_vectors import ExactVectors


def vector(pin: int) -> np.ndarray:
    return np.array([pin, 1, 0], np.float32)


class Counted(ExactVectors):
    asked: list[list[int]]

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.asked = []

    async def fetch(self, collection, ids):
        self.asked.append(ids.tolist())
        await asyncio.sleep(0)
        return await super().fetch(collection, ids)


def cache_of(*pins: int, capacity: int = 100) -> VectorCache:
    ids = np.array(pins, np.int64)
    return VectorCache(Counted(ids, np.array([vector(pin) for pin in pins], np.float32).reshape(-1, 3)), capacity)


async def test_what_was_loaded_is_held_and_what_is_missing_is_zero():
    cache = cache_of(1, 2)
    await cache.load(np.array([2, 9, 1]))
    vectors, found = cache.held(np.array([1, 9, 2]))
    assert vectors.tolist() == [[1, 1, 0], [0, 0, 0], [2, 1, 0]] and found.tolist() == [True, False, True]


async def test_nothing_is_asked_for_twice_not_even_what_milvus_lacks():
    cache = cache_of(1)
    await asyncio.gather(cache.load(np.array([1, 9])), cache.load(np.array([9, 1])))
    await cache.load(np.array([1, 9]))
    assert cache.store.asked == [[1, 9]]


async def test_what_vision_puts_is_there_at_once():
    cache = cache_of(1)
    await cache.load(np.array([9]))
    cache.put({9: vector(9)})
    assert cache.held(np.array([9]))[0].tolist() == [[9, 1, 0]]


async def test_a_newer_vector_is_not_overwritten_by_an_older_fetch():
    cache = cache_of(1)
    loading = asyncio.ensure_future(cache.load(np.array([1])))
    await asyncio.sleep(0)
    cache.put({1: vector(5)})
    await loading
    assert cache.held(np.array([1]))[0].tolist() == [[5, 1, 0]]


def test_dropped_pins_are_gone():
    cache = cache_of()
    cache.put({1: vector(1), 2: vector(2)})
    cache.drop(np.array([1, 7]))
    assert cache.held(np.array([1, 2]))[1].tolist() == [False, True]


def test_a_vector_of_another_length_is_refused():
    cache = cache_of()
    cache.put({1: vector(1)})
    with pytest.raises(ValueError, match="2 dimensions"):
        cache.put({2: np.ones(2, np.float32)})


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(1, 60), max_size=12), max_size=30))
def test_never_more_than_its_capacity_always_the_right_vector_and_the_latest_stay(batches):
    cache = cache_of(capacity=16)
    for batch in batches:
        cache.put({pin: vector(pin) for pin in batch})
        vectors, found = cache.held(np.arange(1, 61))
        assert len(cache) == found.sum() <= 16
        assert all(vectors[pin - 1].tolist() == vector(pin).tolist() for pin in np.flatnonzero(found) + 1)
        cache.held(np.array(batch, np.int64))
        assert found[np.array(batch[-2:], int) - 1].all()


async def test_cosines_are_those_of_the_vectors_and_unknown_is_no_number():
    pins = np.arange(1, 201)
    vectors = np.random.default_rng(4).normal(size=(200, 16)).astype(np.float32)
    cache = VectorCache(ExactVectors(pins, vectors), capacity=300)
    assert np.isnan(cache.cosines(pins[:3], vectors[:2])).all(), "nothing is in memory yet"
    await cache.load(pins)
    asked = np.array([5, 999, *pins[::-1].tolist()])
    found = cache.cosines(asked, vectors[:7])
    assert np.isnan(found[1]).all()
    known = asked != 999
    np.testing.assert_allclose(found[known], vectors[asked[known] - 1] @ vectors[:7].T, rtol=1e-4, atol=1e-5)
    assert cache.cosines(asked, vectors[:0]).shape == (202, 0)

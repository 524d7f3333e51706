"""What every vector store promises, held to by the standalone server and by Milvus Lite alike."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pymilvus.client.async_grpc_handler import AsyncGrpcHandler

from streams.settings import Settings
from streams.stores.milvus import MilvusVectors
from streams.stores.milvus_bits import MilvusBits
from streams.stores.protocols import StoreUnavailable

pytestmark = pytest.mark.real
DIMENSION = 32
VISIBLE_SECONDS = 10.0


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def object_fields(pins: list[int]) -> dict[str, list[float] | list[int] | list[str]]:
    edges = {name: [0.25] * len(pins) for name in ("confidence", "left", "top", "right", "bottom")}
    return {"pin": pins, "label": ["chair"] * len(pins), "version": [1] * len(pins)} | edges


async def means() -> np.ndarray:
    """What the encoder would tell of vectors like those of :func:`unit`."""
    return np.full(DIMENSION, 0.01, np.float32)


@pytest.fixture(params=["standalone", "lite", "standalone, bits", "lite, bits"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MilvusVectors]:
    server, _, bits = request.param.partition(", ")
    if server == "standalone":
        settings: Settings = request.getfixturevalue("milvus_apart")("contract")
    else:
        settings = replace(Settings.load({}), milvus="lite", home=tmp_path)
    store = MilvusBits(settings, means) if bits else MilvusVectors(settings)
    await store.prepare(DIMENSION)
    yield store
    for collection in ("pins", "objects"):
        await store.delete(collection, np.arange(1, 400))
    await store.close()


async def nearest(store: MilvusVectors, query: np.ndarray, expected: list[int], where: str = "") -> None:
    """Search until the expected ids come first: a search never waits for a write."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        found = await store.search("pins", query[None], len(expected), where)
        if found.ids[0].tolist() == expected:
            return
        assert time.monotonic() < deadline, f"{found.ids[0].tolist()} instead of {expected}"
        await asyncio.sleep(0.05)


async def test_search_ranks_by_cosine(store: MilvusVectors) -> None:
    vectors = unit(200, seed=1)
    ids = np.arange(1, 201)
    await store.upsert("pins", ids, vectors, {"version": ids})
    order = ids[np.argsort(-(vectors @ vectors[7]))][:5].tolist()
    await nearest(store, vectors[7], order)
    found = await store.search("pins", vectors[7:9], 5)
    assert found.ids.shape == found.scores.shape == (2, 5)
    np.testing.assert_allclose(found.scores[0], np.sort(vectors @ vectors[7])[::-1][:5], atol=1e-4)
    assert found.ids[1, 0] == 9


async def test_upsert_replaces_and_the_last_of_one_id_stays(store: MilvusVectors) -> None:
    old, new = unit(2, seed=2)
    await store.upsert("pins", np.array([1]), old[None], {"version": [1]})
    await store.upsert("pins", np.array([1, 1]), np.stack([old, new]), {"version": [2, 3]})
    await nearest(store, new, [1], where="version == 3")
    assert await store.count("pins") == 1
    np.testing.assert_allclose((await store.fetch("pins", np.array([1])))[1], new, atol=1e-6)


async def test_delete_and_fetch_of_what_is_not_there(store: MilvusVectors) -> None:
    vectors = unit(3, seed=3)
    await store.upsert("pins", np.array([1, 2, 3]), vectors, {"version": [1, 1, 1]})
    assert await store.count("pins") == 3
    await store.delete("pins", np.array([2, 99]))
    assert await store.count("pins") == 2
    assert sorted(await store.fetch("pins", np.array([1, 2, 3, 99]))) == [1, 3]


async def test_objects_of_deleted_pins_go(store: MilvusVectors) -> None:
    await store.upsert("objects", np.arange(1, 5), unit(4, seed=4), object_fields([10, 10, 20, 30]))
    await store.delete_objects_of(np.array([10, 30]))
    assert await store.count("objects") == 1
    assert list(await store.fetch("objects", np.arange(1, 5))) == [3]


async def test_fewer_rows_than_asked_are_padded(store: MilvusVectors) -> None:
    (vector,) = unit(1, seed=5)
    await store.upsert("pins", np.array([5]), vector[None], {"version": [1]})
    await nearest(store, vector, [5, 0, 0])
    found = await store.search("pins", vector[None], 3)
    assert np.isneginf(found.scores[0, 1:]).all()


async def test_a_filter_narrows_the_search(store: MilvusVectors) -> None:
    vectors = unit(3, seed=6)
    await store.upsert("pins", np.array([1, 2, 3]), vectors, {"version": [1, 2, 3]})
    await nearest(store, vectors[0], [3], where="version > 2")


async def test_fields_come_with_each_hit_and_are_padded(store: MilvusVectors) -> None:
    vectors = unit(2, seed=9)
    boxes = {"left": [0.1, 0.2], "top": [0.0, 0.5], "right": [0.9, 1.0], "bottom": [0.25, 0.75]}
    fields = object_fields([10, 20]) | {"label": ["chair", "cat \N{CAT}"], "confidence": [0.5, 0.75]} | boxes
    await store.upsert("objects", np.array([1, 2]), vectors, fields)
    names = ("pin", "label", "confidence", *boxes)
    deadline = time.monotonic() + VISIBLE_SECONDS
    while (found := await store.search("objects", vectors[1:], 3, fields=names)).ids[0].tolist() != [2, 1, 0]:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    assert set(found.fields) == set(names)
    assert found.fields["pin"].tolist() == [[20, 10, 0]]
    assert found.fields["label"].tolist() == [["cat \N{CAT}", "chair", ""]]
    np.testing.assert_allclose(found.fields["confidence"], [[0.75, 0.5, 0.0]])
    for name, (first, second) in boxes.items():
        np.testing.assert_allclose(found.fields[name], [[second, first, 0.0]], atol=1e-6)
    only = await store.search("objects", vectors[1:], 2, 'label == "chair"', ["label"])
    assert only.fields["label"].tolist() == [["chair", ""]]


async def test_nothing_is_asked_for_nothing(store: MilvusVectors) -> None:
    found = await store.search("pins", np.empty((0, DIMENSION), np.float32), 3)
    assert found.ids.shape == (0, 3)
    assert (await store.search("objects", np.empty((0, DIMENSION), np.float32), 3, fields=["pin"])).fields[
        "pin"
    ].size == 0
    assert await store.fetch("pins", np.array([], dtype=np.int64)) == {}
    await store.upsert("pins", np.array([], dtype=np.int64), np.empty((0, DIMENSION), np.float32), {"version": []})


async def test_before_the_first_pin_nothing_is_found(store: MilvusVectors) -> None:
    for collection in ("pins", "objects"):
        await store._client.drop_collection(store.named(collection))  # type: ignore[union-attr]
    assert (await store.search("pins", unit(1, seed=8), 3)).ids.tolist() == [[0, 0, 0]]
    assert await store.fetch("pins", np.array([1])) == {}
    assert await store.count("pins") == 0
    await store.delete_objects_of(np.array([1]))
    # Whoever writes first makes them; a new client, as a client that made them does not look again.
    other = MilvusBits(store._settings, means) if isinstance(store, MilvusBits) else MilvusVectors(store._settings)
    await other.prepare(DIMENSION)
    await other.close()


async def test_another_dimension_is_refused_with_the_fix(store: MilvusVectors) -> None:
    await store.prepare(DIMENSION)
    with pytest.raises(ValueError, match=r"models migrate|tells 32 means"):
        await store.prepare(DIMENSION + 8)


async def test_waiting_for_a_server_that_was_never_there_takes_no_memory() -> None:
    """pymilvus keeps the channel of a first connection that failed: 0.2 MB each time that a worker tries again."""
    store = MilvusVectors(replace(Settings.load({}), milvus="http://127.0.0.1:1"))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="milvus"):
            await store.delete("pins", np.array([1]))
    handlers = [each for each in gc.get_objects() if isinstance(each, AsyncGrpcHandler)]
    assert not [each for each in handlers if each.server_address == "127.0.0.1:1"]
    await store.close()


async def test_a_server_that_is_gone_is_unavailable() -> None:
    store = MilvusVectors(replace(Settings.load({}), milvus="http://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match="milvus"):
        await store.search("pins", unit(1, seed=7), 3)
    await store.close()


async def test_each_encoder_has_collections_of_its_own(store: MilvusVectors) -> None:
    other = store.of("3")
    assert other.named("pins") == "pins_3" and store.named("pins") == "pins"
    vectors = unit(4, 5)
    await other.drop()
    await other.prepare(DIMENSION)
    await other.upsert("pins", np.array([301, 302]), vectors[:2], {"version": [1, 1]})
    await store.upsert("pins", np.array([301]), vectors[2:3], {"version": [2]})
    assert (await other.count("pins"), await store.count("pins")) == (2, 1)
    await nearest(other, vectors[2], sorted([301, 302], key=lambda pin: -float(vectors[2] @ vectors[pin - 301])))
    await other.delete("pins", np.array([302]))
    assert (await other.count("pins"), await store.count("pins")) == (1, 1)
    await other.drop()
    await other.drop()
    assert (await other.count("pins"), await store.count("pins")) == (0, 1)
    with pytest.raises(ValueError, match="letters, digits"):
        store.of("no-name")

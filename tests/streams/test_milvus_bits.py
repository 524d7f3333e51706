"""Objects by their bits on a real Milvus: ranks are those of brute force, and little is lost on real pictures."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from operators.vision.bits import binarise, hamming, nearest, signs
from streams.images.decode import decode_now
from streams.settings import PROJECT, Settings
from streams.stores import milvus, milvus_bits
from streams.stores.milvus import MilvusVectors
from streams.stores.milvus_bits import BITS, MilvusBits, open_vector_store
from streams.stores.protocols import VectorStore
from streams.stores.triton import TritonModels
from streams.traffic.sample import topics_of_pins

pytestmark = pytest.mark.real
DIMENSION, AT = 256, 10
PHOTOS = PROJECT / "examples" / "sample" / "photos"
VISIBLE_SECONDS = 30.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the answers that count here, not how soon they come."""
    monkeypatch.setattr(milvus, "SECONDS_READ", 60.0)
    monkeypatch.setattr(milvus, "SECONDS_WRITE", 60.0)


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def told(means: np.ndarray) -> Callable[[], Any]:
    async def tell() -> np.ndarray:
        return means

    return tell


async def filled(store: VectorStore, vectors: np.ndarray) -> VectorStore:
    """The store with these vectors as objects 1, 2, …, all of them visible."""
    await store.prepare(vectors.shape[1])
    ids = np.arange(1, len(vectors) + 1)
    edges = {name: np.full(len(ids), 0.25) for name in ("confidence", "left", "top", "right", "bottom")}
    fields = {"pin": ids, "label": np.full(len(ids), "chair"), "version": ids} | edges
    await store.upsert("objects", ids, vectors, fields)
    deadline = time.monotonic() + VISIBLE_SECONDS
    while len(await store.fetch("objects", ids)) < len(ids):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    return store


@pytest.mark.parametrize("server", ["standalone", "lite"])
async def test_distances_are_those_of_brute_force(server: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Ties may come in any order, so it is the distances that are compared, place by place; and ids by their own."""
    if server == "standalone":
        settings: Settings = request.getfixturevalue("milvus_apart")("bits")
    else:
        settings = replace(Settings.load({}), milvus="lite", home=tmp_path)
    vectors, means = unit(1_500, 1), unit(1, 2)[0] * 0.1
    store = MilvusBits(settings, told(means))
    await filled(store, vectors)
    queries = unit(20, 3)
    found = await store._short_lists(queries, means, 40, "", [])
    apart = hamming(binarise(queries, means), binarise(vectors, means))
    expected = np.take_along_axis(apart, nearest(apart, 300), 1)
    for query, hits in enumerate(found):
        given = np.array([hit["distance"] for hit in hits])
        distances = (DIMENSION - given) / 2 if server == "lite" else given
        np.testing.assert_array_equal(distances, expected[query])
        ids = np.array([hit.get("id") or hit["object"] for hit in hits])
        np.testing.assert_array_equal(apart[query, ids - 1], expected[query])
        assert len(set(ids.tolist())) == 300
    await store.close()


async def test_the_order_is_that_of_the_floats(milvus_apart: Callable[[str], Settings]) -> None:
    vectors, means = unit(90, 4), np.zeros(DIMENSION, np.float32)
    store = await filled(MilvusBits(milvus_apart("order"), told(means)), vectors)
    found = await store.search("objects", vectors[:5], 30, fields=("pin",))
    cosines = vectors[:5] @ vectors.T  # fewer rows than a short list: every one is ordered by its floats
    order = np.argsort(-cosines, axis=1)[:, :30]
    np.testing.assert_array_equal(found.ids, order + 1)
    np.testing.assert_array_equal(found.fields["pin"], order + 1)
    np.testing.assert_allclose(found.scores, np.take_along_axis(cosines, order, 1), atol=1e-6)
    await store.close()


async def test_an_index_that_is_not_exact_loses_some(milvus_apart: Callable[[str], Settings]) -> None:
    """Printed, for whoever thinks of one: BIN_FLAT looks at all and loses nothing."""
    client: Any = MilvusClient(milvus_apart("bits").milvus_uri, db_name="bits")
    bits, queries = (
        binarise(unit(5_000, 5), np.zeros(DIMENSION, np.float32)),
        binarise(unit(30, 6), np.zeros(DIMENSION, np.float32)),
    )
    apart = hamming(queries, bits)
    expected = np.take_along_axis(apart, nearest(apart, AT), 1)
    lost: dict[str, float] = {}
    for name, kind, build, search in (
        ("BIN_FLAT", "BIN_FLAT", {}, {}),
        ("BIN_IVF_FLAT, 8 of 64 lists", "BIN_IVF_FLAT", {"nlist": 64}, {"nprobe": 8}),
        ("BIN_IVF_FLAT, 32 of 64 lists", "BIN_IVF_FLAT", {"nlist": 64}, {"nprobe": 32}),
    ):
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.BINARY_VECTOR, dim=DIMENSION)
        index = client.prepare_index_params()
        index.add_index("vector", index_type=kind, metric_type="HAMMING", params=build)
        client.create_collection("inexact", schema=schema, index_params=index)
        client.insert("inexact", [{"id": row, "vector": each.tobytes()} for row, each in enumerate(bits)])
        client.flush("inexact")
        deadline = time.monotonic() + 120
        while int(client.describe_index("inexact", "vector")["indexed_rows"]) < len(bits):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        client.release_collection("inexact")  # what was loaded before it had an index is searched without
        client.load_collection("inexact")
        found = client.search(
            "inexact", [each.tobytes() for each in queries], limit=AT, consistency_level="Strong",
            search_params={"metric_type": "HAMMING", "params": search},
        )  # fmt: skip
        # A hit counts when it is no farther than the last of the exact ones.
        kept = [
            sum(hit["distance"] <= last[-1] for hit in hits) / AT for hits, last in zip(found, expected, strict=True)
        ]
        lost[name] = round(1 - float(np.mean(kept)), 4)
        client.drop_collection("inexact")
    client.close()
    print(f"\nof the ten nearest by bits are lost, 5,000 random vectors: {json.dumps(lost)}")
    assert lost["BIN_FLAT"] == 0
    assert lost["BIN_IVF_FLAT, 32 of 64 lists"] <= lost["BIN_IVF_FLAT, 8 of 64 lists"] < 1


async def test_bits_of_another_encoder_are_refused_with_the_fix(milvus_apart: Callable[[str], Settings]) -> None:
    settings = milvus_apart("order")
    other = MilvusBits(settings, told(np.full(DIMENSION, 0.5, np.float32)))
    with pytest.raises(ValueError, match=rf"{BITS}.*drop the collection"):
        await other.prepare(DIMENSION)
    with pytest.raises(ValueError, match="tells 8 means"):
        await MilvusBits(settings, told(np.zeros(8, np.float32))).prepare(DIMENSION)
    await other.close()


def test_the_setting_chooses_the_form() -> None:
    models = TritonModels(Settings.load({}))
    for form, kind in (("float", MilvusVectors), ("binary", MilvusBits)):
        store = open_vector_store(Settings.load({"PINSTREAM_OBJECT_INDEX": form}), models)
        assert type(store) is kind
    with pytest.raises(ValueError, match="PINSTREAM_OBJECT_INDEX='hnsw': use float or binary"):
        open_vector_store(Settings.load({"PINSTREAM_OBJECT_INDEX": "hnsw"}), models)


@pytest.mark.timeout(900)
async def test_real_pictures_lose_at_most_a_point(
    triton: Settings, milvus_apart: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole path: Triton's vectors and means, both stores, the sample's photos; ten of the same kind are wanted.

    The short list is a tenth of the photos, as otherwise nearly all of them would be on it.
    """
    monkeypatch.setattr(milvus_bits, "SHORTEST", 35)
    kinds = topics_of_pins()
    files = sorted(PHOTOS.glob("*.jpg"))
    labels = np.array([kinds[int(file.name.split("-")[0])] for file in files])
    models = TritonModels(triton)
    vectors = await models.encode([decode_now(file.read_bytes()) for file in files])
    settings = milvus_apart("pictures")
    recalls: dict[str, float] = {}
    found: dict[str, np.ndarray] = {}
    for form in ("float", "binary"):
        store = await filled(open_vector_store(replace(settings, object_index=form), models), vectors)
        parts = [await store.search("objects", vectors[at : at + 50], AT + 1) for at in range(0, len(files), 50)]
        ids = np.concatenate([part.ids for part in parts])
        ids = np.array([[each for each in row if each != own][:AT] for own, row in enumerate(ids.tolist(), 1)])
        same = labels[ids - 1] == labels[:, None]
        belong = np.array([(labels == label).sum() - 1 for label in labels])
        recalls[form], found[form] = float((same.sum(1) / np.minimum(belong, AT)).mean()), ids
        await store.close()
    means = await models.means()
    assert means.shape == (DIMENSION,) and np.abs(means).max() < 0.2
    await models.close()
    alone = hamming(binarise(vectors, means), binarise(vectors, means))
    np.testing.assert_array_equal(signs(vectors, means) @ signs(vectors, means).T, DIMENSION - 2 * alone)
    both = zip(found["float"].tolist(), found["binary"].tolist(), strict=True)
    same_ten = float(np.mean([len(set(one) & set(other)) / AT for one, other in both]))
    print(f"\nrecall@10 of {len(files)} photos: {json.dumps(recalls)}; {same_ten:.3f} of the ten are the same")
    assert recalls["binary"] >= recalls["float"] - 0.01

"""Objects as bits: Milvus finds a short list by Hamming distance, the floats of the short list decide.

A row holds its bits and, beside them, its vector as it was given, which comes with each hit and needs no index: on a
server it is mapped from disk. ``docs/decisions/0013-binary-index.md`` says why there.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType

from operators.vision.bits import binarise, signs
from streams.settings import Settings
from streams.stores import milvus
from streams.stores.milvus import (
    DTYPES,
    FIELDS,
    HOT_PATH,
    IDS_AT_ONCE,
    KEYS,
    LONGEST_LABEL,
    MilvusVectors,
)
from streams.stores.protocols import Columns, Models, Neighbours, StoreUnavailable

Vectors = NDArray[np.float32]
Means = Callable[[], Awaitable[Vectors]]

OBJECTS, BITS = "objects", "object_bits"
#: A vector's bytes in base64, as this Milvus has no field for bytes.
ORIGINAL = "original"
#: 12,000 floats.
LONGEST_ORIGINAL = 65_535
#: Hits that are ordered again for each one wanted, and the fewest.
DEEPER, SHORTEST = 3, 300
#: Milvus answers no search for more.
MOST_HITS = 16_384
FORMS = ("float", "binary")


def open_vector_store(settings: Settings, models: Models) -> MilvusVectors:
    """The form that ``settings.object_index`` asks for. Raises ValueError for another."""
    if settings.object_index not in FORMS:
        raise ValueError(f"PINSTREAM_OBJECT_INDEX={settings.object_index!r}: use {' or '.join(FORMS)}")
    return MilvusVectors(settings) if settings.object_index == "float" else MilvusBits(settings, models.means)


class MilvusBits(MilvusVectors):
    """:class:`MilvusVectors` whose objects are found by their bits; pins are as they were.

    The means that vectors are compared with belong to the encoder; a collection keeps those that it was made with, so
    that whoever searches uses the same.
    """

    def __init__(self, settings: Settings, means: Means) -> None:
        """``means``: those of the encoder that makes the vectors, ``(d,)``."""
        super().__init__(settings)
        self.means = means
        self._wanted: Vectors = np.empty(0, np.float32)
        self._kept: dict[str, Vectors] = {}

    def of(self, suffix: str, models: Models | None = None) -> MilvusBits:
        other = super().of(suffix, models)
        assert isinstance(other, MilvusBits)
        if models is not None:
            other.means = models.means
        return other

    def named(self, collection: str) -> str:
        return super().named(BITS if collection == OBJECTS else collection)

    async def prepare(self, dimension: int) -> None:
        """As of :class:`MilvusVectors`.

        Raises:
            ValueError: the collection's bits are of another encoder, or this encoder tells no means.
        """
        if self._prepared == dimension:
            return
        self._wanted = await self.means()
        if self._wanted.shape != (dimension,):
            raise ValueError(f"the encoder makes {dimension}-d vectors but tells {self._wanted.size} means")
        self._kept.pop(self.named(OBJECTS), None)
        await super().prepare(dimension)
        kept = await self._means_kept()
        if kept is None or not np.array_equal(kept, self._wanted):
            self._prepared = 0
            raise ValueError(
                f"Milvus collection {self.named(OBJECTS)!r} holds bits against other means than the encoder's: drop "
                "the collection and replay `pins`, or serve the encoder that filled it"
            )

    async def upsert(self, collection: str, ids: NDArray[np.int64], vectors: Vectors, fields: Columns) -> None:
        if collection != OBJECTS or not len(ids):
            await super().upsert(collection, ids, vectors, fields)
            return
        means = await self._means_kept()
        if means is None:
            raise StoreUnavailable("milvus", f"{self.named(OBJECTS)} is not there: prepare comes first")
        given = np.asarray(vectors, np.float32)
        originals = np.array([b64encode(vector.tobytes()).decode() for vector in given], object)
        packed: Any = self._questions(given, means)
        await super().upsert(collection, ids, packed, {**fields, ORIGINAL: originals})

    async def search(
        self, collection: str, vectors: Vectors, k: int, where: str = "", fields: Sequence[str] = ()
    ) -> Neighbours:
        """The ``k`` likest of the :data:`DEEPER` times as many that are nearest by their bits; scores are exact."""
        if collection != OBJECTS:
            return await super().search(collection, vectors, k, where, fields)
        ids = np.zeros((len(vectors), k), np.int64)
        scores = np.full(ids.shape, -np.inf, np.float32)
        wanted = {name: np.zeros(ids.shape, DTYPES[FIELDS[OBJECTS][name]]) for name in fields}
        with self.circuit.call():
            means = await self._means_kept() if len(vectors) else None
            if means is not None:
                found = await self._short_lists(np.asarray(vectors, np.float32), means, k, where, fields)
                for query, hits in enumerate(found):
                    if not hits:
                        continue
                    likeness = _floats(hit["entity"][ORIGINAL] for hit in hits) @ vectors[query]
                    for place, at in enumerate(np.argsort(-likeness, kind="stable")[:k].tolist()):
                        hit = hits[at]
                        ids[query, place] = hit.get("id") or hit[KEYS[OBJECTS]]
                        scores[query, place] = likeness[at]
                        for name, column in wanted.items():
                            column[query, place] = hit["entity"][name]
            if np.isnan(scores).any():
                raise StoreUnavailable("milvus", "a search gives scores that are no numbers")
        return Neighbours(ids, scores, wanted)

    async def fetch(self, collection: str, ids: NDArray[np.int64]) -> dict[int, Vectors]:
        if collection != OBJECTS:
            return await super().fetch(collection, ids)
        vectors: dict[int, Vectors] = {}
        with self.circuit.call():
            for start in range(0, len(ids), IDS_AT_ONCE):
                rows: Any = []
                async with self._connection(milvus.SECONDS_READ, missing_is_empty=True) as client:
                    rows = await client.query(
                        self.named(OBJECTS),
                        filter=f"{KEYS[OBJECTS]} in {ids[start : start + IDS_AT_ONCE].tolist()}",
                        output_fields=[ORIGINAL],
                        consistency_level=HOT_PATH,
                        timeout=milvus.SECONDS_READ,
                    )
                floats = _floats(row[ORIGINAL] for row in rows)
                vectors.update((int(row[KEYS[OBJECTS]]), floats[at]) for at, row in enumerate(rows))
        return vectors

    async def _short_lists(
        self, vectors: Vectors, means: Vectors, k: int, where: str, fields: Sequence[str]
    ) -> list[list[Any]]:
        """Of each query the hits that are nearest by their bits, their vectors among the fields."""
        found: Any = []
        async with self._connection(milvus.SECONDS_READ, missing_is_empty=True) as client:
            found = await client.search(
                self.named(OBJECTS),
                data=self._questions(vectors, means),
                filter=where,
                limit=min(max(DEEPER * k, SHORTEST), MOST_HITS),
                output_fields=[*fields, ORIGINAL],
                search_params={"metric_type": "IP" if self._lite else "HAMMING", "params": {}},
                consistency_level=HOT_PATH,
                timeout=milvus.SECONDS_READ,
            )
        return [list(hits) for hits in found]

    async def _means_kept(self) -> Vectors | None:
        """The means that the collection was made with; None while there is no collection."""
        name = self.named(OBJECTS)
        if name not in self._kept:
            if self._lite:
                if self._beside().exists():
                    self._kept[name] = np.load(self._beside())
                return self._kept.get(name)
            described: Any = None
            async with self._connection(milvus.SECONDS_READ, missing_is_empty=True) as client:
                described = await client.describe_collection(name)
            if described is None:
                return None
            self._kept[name] = _floats([json.loads(described["description"])["means"]])[0]
        return self._kept[name]

    def _beside(self) -> Path:
        """Where the means are with Lite, which keeps no description of a collection."""
        return Path(f"{self._uri}.{self.named(OBJECTS)}.npy")

    def _questions(self, vectors: Vectors, means: Vectors) -> list[Any]:
        """Vectors as this Milvus compares them: packed bits, or ±1 where it knows no bits."""
        return [*signs(vectors, means)] if self._lite else [row.tobytes() for row in binarise(vectors, means)]

    def _blank(self, collection: str, dimension: int) -> list[float] | bytes:
        if collection == OBJECTS and not self._lite:
            return bytes(dimension // 8)
        return super()._blank(collection, dimension)

    def _create(self, client: Any, collection: str, dimension: int) -> None:
        if collection != OBJECTS:
            super()._create(client, collection, dimension)
            return
        schema = client.create_schema(
            auto_id=False, enable_dynamic_field=False, description=json.dumps({"means": _text(self._wanted)})
        )
        schema.add_field(KEYS[OBJECTS], DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR if self._lite else DataType.BINARY_VECTOR, dim=dimension)
        schema.add_field(ORIGINAL, DataType.VARCHAR, max_length=LONGEST_ORIGINAL)
        for name, kind in FIELDS[OBJECTS].items():
            limit = {"max_length": LONGEST_LABEL} if kind is DataType.VARCHAR else {}
            schema.add_field(name, kind, **limit)
        if self._lite:
            np.save(self._beside(), self._wanted)
        index = client.prepare_index_params()
        kind, metric = ("FLAT", "IP") if self._lite else ("BIN_FLAT", "HAMMING")
        index.add_index("vector", index_type=kind, metric_type=metric)
        # What has no index stays on disk and is read when it is asked for.
        mapped = {} if self._lite else {"properties": {"mmap.enabled": True}}
        client.create_collection(
            self.named(collection), schema=schema, index_params=index, consistency_level=HOT_PATH, **mapped
        )


def _text(vector: Vectors) -> str:
    return b64encode(vector.astype(np.float32).tobytes()).decode()


def _floats(texts: Iterable[str]) -> Vectors:
    """``(n, d)`` of n vectors' texts."""
    raw = [np.frombuffer(b64decode(text), np.float32) for text in texts]
    return np.stack(raw) if raw else np.empty((0, 0), np.float32)

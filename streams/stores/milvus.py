"""Milvus: nearest pins and objects, on a server or as Milvus Lite inside this process, behind one class."""

from __future__ import annotations

import asyncio
import copy
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from numpy.typing import NDArray
from pymilvus import AsyncMilvusClient, DataType, MilvusClient, MilvusException
from pymilvus.exceptions import ParamError

from streams.circuit import Circuit
from streams.settings import Settings
from streams.stores.protocols import Columns, Models, Neighbours, StoreUnavailable

#: Key field of each collection.
KEYS = {"pins": "pin", "objects": "object", "pinsage": "pin"}
#: Those that each encoder has of its own.
OF_AN_ENCODER = ("pins", "objects")
#: The fields beside key and vector.
FIELDS: dict[str, dict[str, DataType]] = {
    "pins": {"version": DataType.INT64},
    "objects": {
        "pin": DataType.INT64,
        "label": DataType.VARCHAR,
        "confidence": DataType.FLOAT,
        "left": DataType.FLOAT,
        "top": DataType.FLOAT,
        "right": DataType.FLOAT,
        "bottom": DataType.FLOAT,
        "version": DataType.INT64,
    },
    "pinsage": {"version": DataType.INT64},
}
LONGEST_LABEL = 128
NAME = re.compile(r"[A-Za-z0-9_]{1,32}")
#: What a field is read into.
DTYPES = {DataType.INT64: np.int64, DataType.FLOAT: np.float32, DataType.VARCHAR: f"<U{LONGEST_LABEL}"}
DEFAULT_PORTS = {"http": 19530, "https": 443}
COLLECTION_NOT_FOUND = 100  # Milvus's own code

# pymilvus logs a stack trace for every failed call; the failures that matter are raised and told by the caller.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

#: Searches see what is applied at that moment and never wait; docs/decisions/0002-milvus.md has what that costs.
HOT_PATH = "Eventually"
#: Reads that decide something (a count, what to delete) wait for every write before them.
EXACT = "Strong"

#: A server that came back is found within a second, not within gRPC's two minutes.
CHANNEL = {"grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 1000}

HNSW = {"M": 16, "efConstruction": 128}
SMALLEST_EF = 64
SECONDS_READ = 2.0
SECONDS_WRITE = 10.0
SECONDS_PREPARE = 60.0
#: A message to Milvus holds at most 64 MB; 1,000 vectors of 256 floats are 1 MB.
ROWS_AT_ONCE = 1000
IDS_AT_ONCE = 1000


class MilvusVectors:
    """:class:`~streams.stores.protocols.VectorStore` over Milvus; inner product of L2-normalised vectors.

    Every method raises StoreUnavailable when Milvus is gone or too slow, and ParamError for a malformed ``where``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._uri = settings.milvus_uri
        self._account = {"token": settings.milvus_token, "db_name": settings.milvus_database}
        self._lite = self._uri.endswith(".db")
        self._client: AsyncMilvusClient | None = None
        self._prepared = 0
        #: What the names of the collections end with: vectors of different encoders never share one.
        self._suffix = ""
        self._collections: Sequence[str] = OF_AN_ENCODER
        #: Asked before collections are made; raises where they should not be.
        self.may_make: Callable[[], Awaitable[None]] | None = None
        self.circuit = Circuit("milvus")

    def of(self, suffix: str, models: Models | None = None) -> MilvusVectors:
        """The same Milvus, with the collections ``pins_<suffix>`` and ``objects_<suffix>``; without it the first ones.

        ``models``: with the encoder that makes their vectors, where what is stored depends on more than those.
        Raises ValueError for a suffix that cannot be part of a collection's name.
        """
        if suffix and not NAME.fullmatch(suffix):
            raise ValueError(f"{suffix!r} cannot be part of a collection's name: letters, digits and _, 32 at most")
        other = copy.copy(self)
        other._suffix, other._prepared = suffix, 0
        return other

    def alone(self, collection: str) -> MilvusVectors:
        """The same Milvus, of which this collection alone is made and dropped, with a circuit of its own."""
        other = MilvusVectors(self._settings)
        other._collections, other.circuit = (collection,), Circuit(collection)
        return other

    def named(self, collection: str) -> str:
        """What Milvus calls the collection."""
        return f"{collection}_{self._suffix}" if self._suffix else collection

    async def drop(self) -> None:
        """Drop the collections with all that is in them; may be repeated."""
        for collection in self._collections:
            async with self._connection(SECONDS_PREPARE) as client:
                if await client.has_collection(self.named(collection)):
                    await client.drop_collection(self.named(collection), timeout=SECONDS_PREPARE)
        self._prepared = 0

    async def prepare(self, dimension: int) -> None:
        """Create the collections and indexes that are missing.

        Raises:
            ValueError: a collection holds vectors of another dimension, from another encoder.
        """
        if self._prepared == dimension:
            return
        if self.may_make is not None:
            await self.may_make()
        async with self._connection(SECONDS_PREPARE):
            await asyncio.to_thread(self._prepare, dimension)
        self._prepared = dimension

    async def upsert(
        self, collection: str, ids: NDArray[np.int64], vectors: NDArray[np.float32], fields: Columns
    ) -> None:
        """Insert or replace rows: ``ids (n,)``, ``vectors (n, d)``, every other field a column of n. The last of
        several rows with one id stays."""
        last = {int(id_): index for index, id_ in enumerate(ids)}
        columns = {name: np.asarray(values).tolist() for name, values in fields.items()}
        rows: list[dict[str, Any]] = [
            {KEYS[collection]: id_, "vector": vectors[index]}
            | {name: column[index] for name, column in columns.items()}
            for id_, index in last.items()
        ]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            async with self._connection(SECONDS_WRITE) as client:
                await client.upsert(self.named(collection), rows[start : start + ROWS_AT_ONCE], timeout=SECONDS_WRITE)

    async def search(
        self, collection: str, vectors: NDArray[np.float32], k: int, where: str = "", fields: Sequence[str] = ()
    ) -> Neighbours:
        """The ``k`` nearest of each query ``(q, d)``; ``where`` is a Milvus filter such as ``version > 3``.

        ``fields`` of :data:`FIELDS` come with each hit.
        """
        key = KEYS[collection]
        ids = np.zeros((len(vectors), k), dtype=np.int64)
        scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
        wanted = {name: np.zeros(ids.shape, DTYPES[FIELDS[collection][name]]) for name in fields}
        if not len(vectors):
            return Neighbours(ids, scores, wanted)
        with self.circuit.call():
            found: Any = []
            async with self._connection(SECONDS_READ, missing_is_empty=True) as client:
                found = await client.search(
                    self.named(collection),
                    data=list(vectors),
                    filter=where,
                    limit=k,
                    output_fields=list(fields),
                    search_params={"metric_type": "IP", "params": {} if self._lite else {"ef": max(SMALLEST_EF, k)}},
                    consistency_level=HOT_PATH,
                    timeout=SECONDS_READ,
                )
            for query, hits in enumerate(found):
                for place, hit in enumerate(hits):
                    ids[query, place] = hit.get("id") or hit[key]  # a server calls the key `id`, Lite by its name
                    scores[query, place] = hit["distance"]
                    for name, column in wanted.items():
                        column[query, place] = hit["entity"][name]
            if np.isnan(scores).any():
                raise StoreUnavailable("milvus", "a search gives scores that are no numbers")
        return Neighbours(ids, scores, wanted)

    async def fetch(self, collection: str, ids: NDArray[np.int64]) -> dict[int, NDArray[np.float32]]:
        """Vectors of the ids that exist."""
        key = KEYS[collection]
        vectors: dict[int, NDArray[np.float32]] = {}
        with self.circuit.call():
            for some in _slices(ids):
                rows: Any = []
                async with self._connection(SECONDS_READ, missing_is_empty=True) as client:
                    rows = await client.query(
                        self.named(collection),
                        filter=f"{key} in {some}",
                        output_fields=["vector"],
                        consistency_level=HOT_PATH,
                        timeout=SECONDS_READ,
                    )
                vectors.update({int(row[key]): np.asarray(row["vector"], dtype=np.float32) for row in rows})
            if not all(np.isfinite(vector).all() for vector in vectors.values()):
                raise StoreUnavailable("milvus", "vectors with entries that are no numbers")
        return vectors

    async def delete(self, collection: str, ids: NDArray[np.int64]) -> None:
        """Delete the rows with these keys; ids that do not exist are nothing to it, nor is a missing collection."""
        for some in _slices(ids):
            async with self._connection(SECONDS_WRITE) as client:
                if await client.has_collection(self.named(collection)):
                    await client.delete(self.named(collection), ids=some, timeout=SECONDS_WRITE)

    async def delete_objects_of(self, pins: NDArray[np.int64]) -> None:
        """Delete every object of these pins, also those written a moment ago."""
        for some in _slices(pins):
            rows: Any = []
            async with self._connection(SECONDS_WRITE, missing_is_empty=True) as client:
                rows = await client.query(
                    self.named("objects"),
                    filter=f"pin in {some}",
                    output_fields=["object"],
                    consistency_level=EXACT,
                    timeout=SECONDS_WRITE,
                )
            await self.delete("objects", np.array([row["object"] for row in rows], dtype=np.int64))

    async def count(self, collection: str) -> int:
        """Rows that are there, all writes before this call included."""
        rows: Any = [{"count(*)": 0}]
        async with self._connection(SECONDS_WRITE, missing_is_empty=True) as client:
            rows = await client.query(
                self.named(collection),
                filter="",
                output_fields=["count(*)"],
                consistency_level=EXACT,
                timeout=SECONDS_WRITE,
            )
        return int(rows[0]["count(*)"])

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    @asynccontextmanager
    async def _connection(self, seconds: float, *, missing_is_empty: bool = False) -> AsyncGenerator[AsyncMilvusClient]:
        """The client, within a time limit; connects at first use, so that a worker starts without Milvus.

        With ``missing_is_empty`` a collection that no pin has made yet ends the block without an error.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._knock()
                yield self._client or self._connect(seconds)
        except ParamError:
            raise
        except (MilvusException, grpc.RpcError, TimeoutError, OSError) as error:
            if missing_is_empty and isinstance(error, MilvusException) and error.code == COLLECTION_NOT_FOUND:
                return
            self._prepared = 0
            raise StoreUnavailable("milvus", str(error) or f"no answer in {seconds:.0f} s") from error

    async def _knock(self) -> None:
        """Raises OSError where nobody listens: pymilvus (3.0.2) keeps what each first connection took that failed."""
        if not (self._lite or self._is_connected()):
            address = urlsplit(self._uri)
            port = address.port or DEFAULT_PORTS.get(address.scheme)
            _, writer = await asyncio.open_connection(address.hostname, port)
            writer.close()

    def _is_connected(self) -> bool:
        try:
            return self._client is not None and bool(self._client.get_server_type())
        except MilvusException:
            return False

    def _connect(self, seconds: float) -> AsyncMilvusClient:
        if self._lite:
            Path(self._uri).parent.mkdir(parents=True, exist_ok=True)
        self._client = AsyncMilvusClient(self._uri, **self._account, timeout=seconds, grpc_options=CHANNEL)
        return self._client

    def _prepare(self, dimension: int) -> None:
        # By the blocking client: the asyncio one waits for an index by a call that Milvus Lite does not have.
        client: Any = MilvusClient(self._uri, **self._account, timeout=SECONDS_PREPARE)
        try:
            for collection in self._collections:
                name = self.named(collection)
                if client.has_collection(name):
                    _require_dimension(client, name, dimension)
                else:
                    self._create(client, collection, dimension)
                client.load_collection(name)
                # The first search waits until the query node serves; it should not cost a slate its time limit.
                client.search(name, data=[self._blank(collection, dimension)], limit=1, consistency_level=HOT_PATH)
        finally:
            client.close()

    def _blank(self, collection: str, dimension: int) -> list[float] | bytes:
        """A question that any vectors answer."""
        return [0.0] * dimension

    def _create(self, client: Any, collection: str, dimension: int) -> None:
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field(KEYS[collection], DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        for name, kind in FIELDS[collection].items():
            limit = {"max_length": LONGEST_LABEL} if kind is DataType.VARCHAR else {}
            schema.add_field(name, kind, **limit)
        index = client.prepare_index_params()
        if self._lite:
            index.add_index("vector", index_type="FLAT", metric_type="IP")
        else:
            index.add_index("vector", index_type="HNSW", metric_type="IP", params=HNSW)
        client.create_collection(self.named(collection), schema=schema, index_params=index, consistency_level=HOT_PATH)


def _require_dimension(client: Any, collection: str, dimension: int) -> None:
    fields = client.describe_collection(collection)["fields"]
    (held,) = [field["params"]["dim"] for field in fields if field["name"] == "vector"]
    if int(held) != dimension:
        raise ValueError(
            f"Milvus collection {collection!r} holds {held}-d vectors but the encoder makes {dimension}-d ones: "
            "deploy it as a model of its own and `pinstream models migrate` to it, or serve the encoder that filled it"
        )


def _slices(ids: NDArray[np.int64]) -> Sequence[list[int]]:
    return [ids[start : start + IDS_AT_ONCE].tolist() for start in range(0, len(ids), IDS_AT_ONCE)]

"""What the engine asks of the outside systems; the adapters beside this file keep these promises.

Every ``write`` may be repeated and counts once; no ``read`` blocks the stream. A part that is gone
raises :class:`StoreUnavailable`; the caller degrades the answer or waits, never drops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from streams.circuit import Circuit


class Repeated(NamedTuple):
    """A column of text in runs: each of ``values`` so many times as ``counts`` says."""

    values: Sequence[str]
    counts: Sequence[int]


Columns = Mapping[str, NDArray[Any] | Sequence[Any] | Repeated]


class StoreUnavailable(Exception):
    """The part cannot be reached or timed out; ``retry_after`` is in seconds."""

    def __init__(self, part: str, detail: str, retry_after: float = 1.0) -> None:
        super().__init__(f"{part}: {detail}")
        self.part, self.retry_after = part, retry_after


#: ``(topic, partition)`` → the claim under which its rows are written.
Claims = Mapping[tuple[str, int], str]


class ClaimLost(Exception):
    """Another worker has claimed a partition: whatever was to be written of it is the other's to write."""


class EventStore(Protocol):
    """ClickHouse."""

    async def claim(self, partitions: Iterable[tuple[str, int]]) -> Claims:
        """Take these partitions: from now on inserts under any earlier claim of them are refused.

        Returns when those that were let in before have ended.
        """
        ...

    def still(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """As far as the store can: no claimed insert begins or is under way inside, for so many seconds at most."""
        ...

    async def insert(self, table: str, columns: Columns, *, token: str = "", claims: Claims | None = None) -> None:
        """Insert rows as one block. With a ``token``, the same insert repeated counts once.

        Raises ClaimLost, and writes nothing, when one of the ``claims`` is not the last of its partition.
        """
        ...

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> dict[str, NDArray[Any]]:
        """Rows as columns, ``{}`` for none. Parameters are written ``{name:Type}`` in the SQL, as ClickHouse does."""
        ...

    async def command(self, sql: str) -> None:
        """Run a statement that returns nothing (DDL, mutation)."""
        ...

    async def close(self) -> None: ...


class Neighbours(NamedTuple):
    """Nearest vectors: all arrays ``(queries, k)``, best first, padded with id 0 and score -inf."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]  # inner product of L2-normalised vectors, so the cosine
    fields: Mapping[str, NDArray[Any]] = MappingProxyType({})  # those asked for, padded with 0 or ""


class VectorStore(Protocol):
    """Milvus, with collections ``pins`` (key ``pin``) and ``objects`` (key ``object``).

    ``search`` and ``fetch`` serve feeds: they go through the circuit, so that a slow part is not waited for each time.
    """

    circuit: Circuit

    async def prepare(self, dimension: int) -> None:
        """Create the collections and indexes that are missing."""
        ...

    async def upsert(
        self, collection: str, ids: NDArray[np.int64], vectors: NDArray[np.float32], fields: Columns
    ) -> None: ...

    async def search(
        self, collection: str, vectors: NDArray[np.float32], k: int, where: str = "", fields: Sequence[str] = ()
    ) -> Neighbours:
        """The nearest of each query, with these further fields of each, such as an object's ``pin``."""
        ...

    async def fetch(self, collection: str, ids: NDArray[np.int64]) -> dict[int, NDArray[np.float32]]:
        """Vectors of the ids that exist."""
        ...

    async def delete(self, collection: str, ids: NDArray[np.int64]) -> None: ...

    async def delete_objects_of(self, pins: NDArray[np.int64]) -> None: ...

    async def count(self, collection: str) -> int: ...

    async def close(self) -> None: ...


class Detection(NamedTuple):
    """One object: ``box`` is (left, top, right, bottom) as fractions of the image's width and height."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]


class Ranked(NamedTuple):
    """Probabilities ``(n, 4)`` of save, closeup, outbound click, hide, and the version of the ranker that gave them."""

    probabilities: NDArray[np.float32]
    version: str


class Models(Protocol):
    """Triton. ``rank`` serves feeds: it goes through the circuit; ``judge`` has one of its own."""

    circuit: Circuit
    judging: Circuit

    async def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """RGB images ``(height, width, 3)`` of any size → objects of each."""
        ...

    async def encode(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """RGB images of any size → ``(n, d)``, L2-normalised."""
        ...

    async def judge(self, images: Sequence[NDArray[np.uint8]]) -> list[float | None]:
        """RGB images of any size → how likely each is not safe for work, 0 … 1; None for one that is refused."""
        ...

    async def means(self) -> NDArray[np.float32]:
        """``(d,)``: the mean of each dimension of the encoder's version; ValueError where it tells none."""
        ...

    async def rank(self, features: NDArray[np.float32]) -> Ranked:
        """``(n, F)`` features in the order of the spec's (``streams/feed.linchpin``)."""
        ...

    async def convolve(
        self, features: NDArray[np.float32], neighbours: NDArray[np.int32], weights: NDArray[np.float32], asked: int
    ) -> NDArray[np.float32]:
        """A subgraph (``operators/graph/subgraph.py``) → PinSage's vectors ``(asked, d)``, L2-normalised."""
        ...

    async def versions(self, at_most_old: float = 0.0) -> dict[str, str]:
        """Model name → version that serves, e.g. ``{"detector": "1"}``; an answer so many seconds old will do."""
        ...

    async def close(self) -> None: ...

"""Pin vectors in memory, searched exactly: stands in for Milvus where a few thousand pins are replayed offline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from streams.circuit import Circuit
from streams.stores.protocols import Columns, Neighbours

Floats = NDArray[np.float32]


class ExactVectors:
    """A ``VectorStore`` of the collection ``pins``; cosines are exact."""

    def __init__(self, ids: Ints, vectors: Floats) -> None:
        """``ids`` ``(n,)``, each once; ``vectors`` ``(n, d)``, L2-normalised."""
        self.circuit = Circuit("milvus")
        self._row = {pin: row for row, pin in enumerate(ids.tolist())}
        self._ids, self._vectors = ids.astype(np.int64), vectors.astype(np.float32)

    def ids(self) -> Ints:
        """``(n,)``: whose vectors are here."""
        return self._ids

    async def prepare(self, dimension: int) -> None:
        """Nothing to prepare."""

    async def upsert(self, collection: str, ids: Ints, vectors: Floats, fields: Columns) -> None:
        """Add or replace vectors."""
        fresh = ~np.isin(self._ids, ids)
        self.__init__(
            np.concatenate([self._ids[fresh], ids]),
            np.concatenate([self._vectors[fresh].reshape(-1, vectors.shape[1]), vectors]),
        )

    async def search(self, collection: str, vectors: Floats, k: int, where: str = "") -> Neighbours:
        """The ``k`` nearest of each query, best first, padded with id 0 and -inf."""
        ids = np.zeros((len(vectors), k), np.int64)
        scores = np.full((len(vectors), k), -np.inf, np.float32)
        if len(self._ids):
            cosines = vectors @ self._vectors.T
            best = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
            ids[:, : best.shape[1]] = self._ids[best]
            scores[:, : best.shape[1]] = np.take_along_axis(cosines, best, axis=1)
        return Neighbours(ids, scores)

    async def fetch(self, collection: str, ids: Ints) -> dict[int, Floats]:
        """Vectors of the ids that exist."""
        return {pin: self._vectors[self._row[pin]] for pin in ids.tolist() if pin in self._row}

    async def delete(self, collection: str, ids: Ints) -> None:
        """Remove vectors."""
        stays = ~np.isin(self._ids, ids)
        self.__init__(self._ids[stays], self._vectors[stays])

    async def delete_objects_of(self, pins: Ints) -> None:
        """There are no objects here."""

    async def count(self, collection: str) -> int:
        """How many vectors."""
        return len(self._ids)

    async def close(self) -> None: ...

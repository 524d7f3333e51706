"""Tables: id → a number or a vector, for ``Lookup`` and ``Embedding``."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.identity import stable_id


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """``ids`` ``(k,)`` int64 ascending and ``values`` ``(k, d)`` float32."""

    ids: NDArray[np.int64]
    values: NDArray[np.float32]

    @classmethod
    def of(cls, ids: Sequence[int | str], values: Sequence[Any]) -> Table:
        """From ids (texts become ids as those of events do) and as many numbers or lists of numbers.

        Raises:
            ValueError: not as many of both, an id twice, or values of several widths.
        """
        keys = np.array([stable_id(each) for each in ids], np.int64)
        try:
            rows = np.array(values, np.float32)
        except (TypeError, ValueError):
            raise ValueError("values are numbers, or lists of numbers that are all as long") from None
        if rows.ndim not in (1, 2) or len(rows) != len(keys) or not len(keys):
            raise ValueError(
                f"{len(keys)} ids and {len(rows) if rows.ndim else 0} values: as many of each, and one at least"
            )
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        if (again := keys[1:][keys[1:] == keys[:-1]]).size:
            raise ValueError(f"the id {again[0]} is there twice")
        return cls(keys, np.ascontiguousarray(rows.reshape(len(keys), -1)[order]))

    @classmethod
    def decode(cls, data: bytes) -> Table:
        """From JSON ``{"ids": […], "values": […]}``, or a file by ``numpy.savez`` with the same two names."""
        try:
            if data[:2] == b"PK":
                with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                    ids, values = stored["ids"].tolist(), stored["values"]
            else:
                found = json.loads(data)
                ids, values = found["ids"], found["values"]
            if not isinstance(ids, list):
                raise ValueError("ids are a list")
            return cls.of(ids, values)
        except Exception as wrong:
            raise ValueError(f'not a table {{"ids": […], "values": […]}}: {wrong!r}') from wrong

    def rows(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """``(n,)`` → values ``(n, d)`` of each, and which are known; those of the others mean nothing."""
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return self.values[at], self.ids[at] == ids


@lru_cache(maxsize=256)
def inline(ids: tuple[int | str, ...], values: tuple[float, ...]) -> Table:
    """A table that stands in the spec itself."""
    return Table.of(ids, values)

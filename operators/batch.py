"""Batches: what happened in one offset range of one partition, as columns.

The batch is the unit of work, of de-duplication, of recovery and of tracing; its name is its range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
T = TypeVar("T")


class Source(NamedTuple):
    """One offset range, both ends included, of one partition: the name of a batch."""

    topic: str
    partition: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """``topic:partition:first-last``: the de-duplication token of everything written for it."""
        return f"{self.topic}:{self.partition}:{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Records:
    """Undecoded records of one partition in offset order: where in ``buffer`` each value lies.

    No Python object stands for a record until somebody asks for it; the columns have equal length ``n``.
    """

    source: Source
    offsets: Ints
    #: Kafka's record timestamps, milliseconds since the epoch.
    logged: Ints
    #: The values, and whatever lies between them.
    buffer: NDArray[np.uint8]
    starts: Ints
    #: Bytes of each value; -1 for a record without one.
    lengths: Ints

    @classmethod
    def of(cls, source: Source, offsets: Ints, logged: Ints, values: Sequence[bytes | None]) -> Records:
        """Records whose values are at hand one by one."""
        lengths = np.fromiter((-1 if value is None else len(value) for value in values), np.int64, len(values))
        ends = np.cumsum(np.maximum(lengths, 0))
        buffer = np.frombuffer(b"".join(value for value in values if value), np.uint8)
        return cls(source, offsets, logged, buffer, ends - np.maximum(lengths, 0), lengths)

    def __len__(self) -> int:
        return len(self.offsets)

    def value(self, row: int) -> bytes | None:
        """The value of one record."""
        start, length = int(self.starts[row]), int(self.lengths[row])
        return None if length < 0 else self.buffer[start : start + length].tobytes()

    @property
    def values(self) -> list[bytes | None]:
        """Every value as an object of its own: for topics of few records, not for the hot path."""
        view = memoryview(self.buffer)  # pyright: ignore[reportArgumentType]
        return [
            None if length < 0 else view[start : start + length].tobytes()
            for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True)
        ]

    def rows(self, rows: NDArray[np.intp]) -> Records:
        """Some of the records, in the order of ``rows``, under the name of all of them."""
        return Records(
            self.source, self.offsets[rows], self.logged[rows], self.buffer, self.starts[rows], self.lengths[rows]
        )

    def after(self, offset: int) -> Records | None:
        """The records above an offset, under a name of their own; None when there are none."""
        row = int(np.searchsorted(self.offsets, offset, side="right"))
        if row == len(self):
            return None
        if row == 0:
            return self
        source = self.source._replace(first=int(self.offsets[row]))
        return Records(
            source, self.offsets[row:], self.logged[row:], self.buffer, self.starts[row:], self.lengths[row:]
        )


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that could not be used, with a reason code from ``operators.rejection``."""

    offset: int
    reason: str
    detail: str
    value: bytes | None
    #: Kafka's timestamp of the record, ms; 0 where unknown.
    logged: int = 0


@dataclass(frozen=True, slots=True)
class Engagement:
    """Columns of engagement events; every array has length ``n``, in offset order.

    ``owner`` (the pinner who posted the pin), ``domain`` and ``is_follower`` (does the acting pinner
    follow the owner) are 0 until the catalogue fills them in; 0 also means unknown.
    """

    source: Source
    offset: Ints
    logged: Ints  # Kafka timestamp, ms
    time: Ints  # event time, ms
    event_id: Ints
    kind: NDArray[np.uint8]  # operators.events.Kind
    pinner: Ints
    pin: Ints
    board: Ints  # 0 where the kind has none
    slate: Ints  # 0 where unknown
    position: NDArray[np.int16]  # from 0; -1 where unknown
    surface: NDArray[np.uint8]  # operators.events.Surface
    owner: Ints
    domain: Ints
    is_follower: NDArray[np.uint8]
    #: The sources that proposed the pin in the pinner's latest slate with it, one bit each in the order of
    #: ``operators.slate.candidates.SOURCES``; 0, as when it is left out, where no slate is known to have shown it.
    sources: NDArray[np.uint32] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.sources is None:  # pyright: ignore[reportUnnecessaryComparison]
            object.__setattr__(self, "sources", np.zeros(len(self.offset), np.uint32))

    def __len__(self) -> int:
        return len(self.offset)


#: The columns of :class:`Engagement` in stored order, ``source`` left out.
ENGAGEMENT_COLUMNS = tuple(name for name in Engagement.__slots__ if name != "source")


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """What decoding made of some records: the good ones, those set aside, and warnings by code."""

    good: T
    rejects: list[Reject] = field(default_factory=list)
    warnings: Mapping[str, int] = field(default_factory=Counter)

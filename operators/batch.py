"""Batches: what happened in one offset range of one partition, as columns.

The batch is the unit of work, of de-duplication, of recovery and of tracing; its name is its range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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


class Records(NamedTuple):
    """Undecoded records of one partition in offset order; the columns have equal length."""

    source: Source
    offsets: Ints
    #: Kafka's record timestamps, milliseconds since the epoch.
    logged: Ints
    values: list[bytes | None]


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

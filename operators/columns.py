"""The matrix of an engagement batch, one row a field of ``operators.fields``: from typed events, and to columns."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.batch import Engagement, Ints, Records
from operators.content_id import content_ids
from operators.events import Event
from operators.fields import (
    BOARD,
    EVENT_ID,
    FIELDS,
    KIND_OF_TOPIC,
    KIND_OF_TYPE,
    NAMED_BY,
    PIN,
    PINNER,
    POSITION,
    SLATE,
    SURFACE,
    SURFACE_OF_NAME,
    TIME,
    TYPE,
)
from operators.identity import stable_id


def columns_of(topic: str, events: Sequence[Event]) -> Ints:
    """Events of one topic as a matrix ``(fields, n)``, just as the scanner makes it."""
    columns = np.zeros((len(FIELDS), len(events)), np.int64)
    columns[TYPE] = KIND_OF_TOPIC.get(topic, 0)
    for row, name in enumerate(FIELDS):
        if not events or not hasattr(events[0], name):
            continue
        column: list[Any] = list(map(attrgetter(name), events))
        if name == "type":
            column = [KIND_OF_TYPE[value] for value in column]
        elif name == "surface":
            column = [SURFACE_OF_NAME[value] for value in column]
        elif name == "position":
            column = [-1 if value is None else value for value in column]
        columns[row] = _integers(column)
    return columns


def engagement_of(records: Records, columns: Ints, good: NDArray[np.bool_]) -> Engagement:
    """The columns of the good records; ``columns`` ``(fields, n)``, ``good`` ``(n,)``. Nameless events get a name."""
    if not good.all():
        columns = columns[:, good]
    n = columns.shape[1]
    event_id = columns[EVENT_ID]
    nameless = np.flatnonzero(event_id == 0)
    if len(nameless):
        event_id[nameless] = content_ids(columns[NAMED_BY, :][:, nameless])
    return Engagement(
        source=records.source,
        offset=records.offsets[good],
        logged=records.logged[good],
        time=columns[TIME],
        event_id=event_id,
        kind=columns[TYPE].astype(np.uint8),
        pinner=columns[PINNER],
        pin=columns[PIN],
        board=columns[BOARD],
        slate=columns[SLATE],
        position=columns[POSITION].astype(np.int16),
        surface=columns[SURFACE].astype(np.uint8),
        owner=np.zeros(n, np.int64),
        domain=np.zeros(n, np.int64),
        is_follower=np.zeros(n, np.uint8),
    )


def _integers(column: list[Any]) -> Ints:
    """Ids as integers, 0 for None. ``array`` takes integers only, where numpy would read ``"12"`` its own way."""
    try:
        return np.frombuffer(array("q", column), np.int64)
    except TypeError:
        mapped = [value if type(value) is int else 0 if value is None else stable_id(value) for value in column]
        return np.array(mapped, np.int64)

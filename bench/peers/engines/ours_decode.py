"""The bench's events on the engine's own scanner: plain records compiled, all others on an exact path."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np

from bench.peers.engines.ours_table import DOMAIN, TYPES_AT_MOST, Tables
from operators.batch import Records
from operators.scan import ID, INTEGER, WORD, packed, scan

TYPES = ("closeup", "save", "outbound", "hide")
assert len(TYPES) <= TYPES_AT_MOST
LONGEST_RECORD, LARGEST, LATEST = 1 << 16, 2**62, 2**53


class Event(msgspec.Struct):
    """What the job needs of an event; other fields may hold anything."""

    type: Literal["closeup", "save", "outbound", "hide"]
    pin: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
    domain: Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
    time: Annotated[int, msgspec.Meta(ge=0, le=LATEST)]


#: A column a field, in the order of ``ours_table``'s columns; see ``operators.scan``. All required, none nullable.
FIELDS = np.array(
    [
        (packed("pin"), INTEGER, 1, LARGEST, 0, 1, 0),
        # As an id a text comes as its place; digits would come as their value and go the exact way.
        (packed("domain"), ID, 1, LARGEST, 0, 1, 0),
        (packed("time"), INTEGER, 0, LATEST, 0, 1, 0),
        (packed("type"), WORD, 0, 0, 0, 1, 0),
    ],
    np.int64,
).T.copy()
WORDS = np.array([(3, packed(name), code) for code, name in enumerate(TYPES)], np.int64)
_exact = msgspec.json.Decoder(Event)


class Counting:
    """Decodes records and counts them; says how many were no events."""

    def __init__(self, tables: Tables | None = None) -> None:
        self.tables = Tables() if tables is None else tables
        self.rejected = 0

    def count(self, records: Records) -> None:
        """Every record is counted once or rejected."""
        n = len(records)
        columns, odd, unknown = np.empty((4, n), np.int64), np.empty(n, np.bool_), np.empty(n, np.bool_)
        buffer = records.buffer
        scan(buffer, records.starts, records.lengths, LONGEST_RECORD, FIELDS, WORDS, columns, odd, unknown)
        odd |= (columns[DOMAIN] >= 0) | (-columns[DOMAIN] & 0xFF > 63)
        self.tables.fold(buffer, columns, odd)
        if odd.any():
            self._exactly([records.value(row) for row in np.flatnonzero(odd).tolist()])

    def _exactly(self, values: list[bytes | None]) -> None:
        """One object each, then into the same tables."""
        events: list[Event] = []
        for value in values:
            try:
                if value is None or len(value) > LONGEST_RECORD:
                    raise ValueError("no event")
                events.append(_exact.decode(value.decode()))  # as text, so that all of it is known to be UTF-8
            except (ValueError, RecursionError):
                self.rejected += 1
        names = [event.domain.encode() for event in events]
        lengths = np.fromiter(map(len, names), np.int64, len(names))
        places = -((np.cumsum(lengths) - lengths) << 8 | lengths)
        pins, times = [event.pin for event in events], [event.time for event in events]
        columns = np.array([pins, places, times, [TYPES.index(event.type) for event in events]], np.int64)
        self.tables.fold(np.frombuffer(b"".join(names), np.uint8), columns, np.zeros(len(events), np.bool_))

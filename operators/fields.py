"""The fields of saves, clicks and impressions as tables for the scanner, made from ``operators.events``."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.events import EARLIEST, ENGAGEMENT_TOPICS, EVENTS, LATEST, MAX_POSITION, MAX_VERSION, Kind, Surface
from operators.identity import MAX_ID
from operators.scan import ID, INTEGER, WORD, packed

#: The rows of the matrix of columns, one a field, ids first. ``type`` is the kind where the topic implies it.
FIELDS = ("event_id", "pinner", "pin", "board", "slate", "time", "position", "v", "type", "surface")
EVENT_ID, PINNER, PIN, BOARD, SLATE, TIME, POSITION, V, TYPE, SURFACE = range(len(FIELDS))
#: How many of them are ids.
IDS = SLATE + 1
#: What an event without ``event_id`` is named by, in order; see ``operators.content_id``. Never changes.
NAMED_BY = (TYPE, PINNER, PIN, BOARD, TIME, SLATE, POSITION)

KIND_OF_TYPE = {"closeup": Kind.CLOSEUP, "outbound": Kind.OUTBOUND_CLICK, "hide": Kind.HIDE}
KIND_OF_TOPIC = {"saves": Kind.SAVE, "impressions": Kind.IMPRESSION}
SURFACE_OF_NAME = {surface.name.lower(): surface for surface in Surface}

_HOLDS = dict.fromkeys(FIELDS[:IDS], (ID, 1, MAX_ID)) | {
    "time": (INTEGER, EARLIEST, LATEST),
    "position": (INTEGER, 0, MAX_POSITION),
    "v": (INTEGER, 1, MAX_VERSION),
    "type": (WORD, 0, 0),
    "surface": (WORD, 0, 0),
}


def _words(field: int, codes: dict[str, Any]) -> list[tuple[int, int, int]]:
    return [(field, packed(word), int(code)) for word, code in codes.items()]


#: The table of words; see ``operators.scan``.
WORDS: Ints = np.array(_words(TYPE, KIND_OF_TYPE) + _words(SURFACE, SURFACE_OF_NAME), np.int64)


def _table(topic: str) -> NDArray[np.int64]:
    known = {field.name: field for field in msgspec.structs.fields(EVENTS[topic])}
    if strange := known.keys() - set(FIELDS):
        raise LookupError(f"the scanner has no column for {', '.join(sorted(strange))} of {topic!r}: add it to FIELDS")
    rows: list[tuple[int, ...]] = []
    for name in FIELDS:
        # Unknown is 0, but position 0 is the top of the slate.
        absent: int = -1 if name == "position" else KIND_OF_TOPIC.get(topic, 0) if name == "type" else 0
        if (field := known.get(name)) is None:
            rows.append((0, *_HOLDS[name], absent, 0, 0))
            continue
        default = SURFACE_OF_NAME[field.default] if name == "surface" else field.default
        if isinstance(default, int):
            absent = default
        rows.append((packed(name), *_HOLDS[name], absent, int(field.required), int(default is None)))
    return np.array(rows, np.int64).T.copy()


#: Topic → its table of fields; see ``operators.scan``.
TABLES = {topic: _table(topic) for topic in ENGAGEMENT_TOPICS}

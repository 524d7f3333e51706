"""Records to what the engine works on: columns of engagement, and pin and pinner events with integer ids."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from operators.batch import Decoded, Engagement, Ints, Records
from operators.domain import domain_of
from operators.events import ENGAGEMENT_TOPICS, Event, Kind, PinEvent, PinnerEvent, Surface
from operators.identity import MAX_ID, stable_id
from operators.parsing import parse

_KIND_OF_TYPE = {"closeup": Kind.CLOSEUP, "outbound": Kind.OUTBOUND_CLICK, "hide": Kind.HIDE}
_KIND_OF_TOPIC = {"saves": Kind.SAVE, "impressions": Kind.IMPRESSION}
_SURFACE_OF_NAME = {surface.name.lower(): surface for surface in Surface}


def decode_engagement(records: Records) -> Decoded[Engagement]:
    """Decode records of ``saves``, ``clicks`` or ``impressions``.

    The good ones are columns in offset order, with ids as integers (:func:`stable_id`). An event without
    ``event_id`` gets one made of what it says (:func:`content_ids`). ``owner``, ``domain`` and ``is_follower`` are 0.

    Raises:
        ValueError: the records are of another topic.
    """
    source = records.source
    if source.topic not in ENGAGEMENT_TOPICS:
        raise ValueError(f"decode_engagement reads {', '.join(ENGAGEMENT_TOPICS)}, not {source.topic!r}")
    parsed = parse(records)
    events = cast(Sequence[Any], parsed.events)  # the fields differ by topic
    n = len(events)
    if source.topic == "clicks":
        kind = np.fromiter([_KIND_OF_TYPE[event.type] for event in events], np.uint8, n)
    else:
        kind = np.full(n, _KIND_OF_TOPIC[source.topic], np.uint8)
    time = _ids([event.time for event in events])
    pinner = _ids([event.pinner for event in events])
    pin = _ids([event.pin for event in events])
    board = _ids([event.board for event in events]) if source.topic == "saves" else np.zeros(n, np.int64)
    slate = _ids([event.slate for event in events])
    position = np.fromiter([-1 if event.position is None else event.position for event in events], np.int16, n)
    event_id = _ids([event.event_id for event in events])
    nameless = np.flatnonzero(event_id == 0)
    if len(nameless):
        named_by = (column[nameless] for column in (kind, pinner, pin, board, time, slate, position))
        event_id[nameless] = content_ids(*named_by)
    engagement = Engagement(
        source=source,
        offset=records.offsets[parsed.kept],
        logged=records.logged[parsed.kept],
        time=time,
        event_id=event_id,
        kind=kind,
        pinner=pinner,
        pin=pin,
        board=board,
        slate=slate,
        position=position,
        surface=np.fromiter([_SURFACE_OF_NAME[event.surface] for event in events], np.uint8, n),
        owner=np.zeros(n, np.int64),
        domain=np.zeros(n, np.int64),
        is_follower=np.zeros(n, np.uint8),
    )
    return Decoded(engagement, parsed.rejects, parsed.warnings)


def decode_events(records: Records) -> Decoded[list[tuple[int, int, Event]]]:
    """Decode records of ``pins`` or ``pinners`` to ``(offset, logged, event)`` in offset order.

    Every id in an event is an integer, ``event_id`` included; a pin's ``domain`` is filled in from its link.

    Raises:
        KeyError: the topic carries no events.
    """
    parsed = parse(records)
    offsets = records.offsets[parsed.kept].tolist()
    logged = records.logged[parsed.kept].tolist()
    events = [_with_integer_ids(event) for event in parsed.events]
    return Decoded(list(zip(offsets, logged, events, strict=True)), parsed.rejects, parsed.warnings)


def content_ids(*columns: NDArray[np.integer[Any]]) -> list[int]:
    """Ids in ``1 … 2**63 - 1`` of rows by what they hold: XXH3-64 of their little-endian 64-bit integers.

    Stored, so the columns and their order never change: kind, pinner, pin, board, time, slate, position.
    """
    rows = np.ascontiguousarray(np.stack([column.astype("<i8") for column in columns], axis=1))
    data, width = rows.tobytes(), rows.shape[1] * 8
    digest = xxhash.xxh3_64_intdigest
    return [(digest(data[at : at + width]) & MAX_ID) or 1 for at in range(0, len(data), width)]


def _ids(column: list[Any]) -> Ints:
    """Ids as integers, 0 for None. ``array`` takes integers only, where numpy would read ``"12"`` its own way."""
    try:
        return np.frombuffer(array("q", column), np.int64)
    except TypeError:
        mapped = [value if type(value) is int else 0 if value is None else stable_id(value) for value in column]
        return np.array(mapped, np.int64)


def _with_integer_ids(event: Event) -> Event:
    public = PinEvent if isinstance(event, PinEvent) else PinnerEvent
    fields: dict[str, Any] = msgspec.structs.asdict(event)
    for name in ("event_id", "pin", "pinner", "board"):
        if fields.get(name) is not None:
            fields[name] = stable_id(fields[name])
    if isinstance(event, PinnerEvent):
        fields["pinners"] = list(dict.fromkeys(map(stable_id, event.pinners)))
    if isinstance(event, PinEvent):
        fields["domain"] = domain_of(event.domain or event.link)
    if event.event_id is None:
        # Defaults are left out of the JSON, so that a field added later changes no id.
        said = public.__name__.encode() + msgspec.json.encode(public(**fields))
        fields["event_id"] = (xxhash.xxh3_64_intdigest(said) & MAX_ID) or 1
    return public(**fields)

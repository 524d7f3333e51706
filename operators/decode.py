"""Records to what the engine works on: columns of engagement, and pin and pinner events with integer ids."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import xxhash
from numpy.typing import NDArray

from operators.batch import Decoded, Engagement, Ints, Records, Reject
from operators.columns import columns_of, engagement_of
from operators.domain import domain_of
from operators.events import ENGAGEMENT_TOPICS, VERSION, CropEvent, Event, PinEvent, PinnerEvent
from operators.fields import FIELDS, IDS, TABLES, TIME, WORDS, V
from operators.identity import MAX_ID, stable_id
from operators.parsing import MAX_BYTES, is_ahead, parse
from operators.rejection import Warned
from operators.scan import scan
from operators.text_id import hash_places


class Scanned(NamedTuple):
    """Columns ``(fields, n)`` in the order of ``operators.fields.FIELDS``, and two masks ``(n,)``."""

    columns: Ints
    #: Not plainly right: the columns hold nothing of use here, the exact path decides.
    odd: NDArray[np.bool_]
    #: Has a field that its topic does not know.
    unknown: NDArray[np.bool_]


def decode_engagement(records: Records) -> Decoded[Engagement]:
    """Decode records of ``saves``, ``clicks`` or ``impressions``.

    The good ones are columns in offset order, with ids as integers (:func:`stable_id`). An event without
    ``event_id`` gets one made of what it says (:func:`content_ids`). ``owner``, ``domain`` and ``is_follower`` are 0.

    What is plainly right is read by a compiled scanner; what is not goes through :func:`decode_exactly`'s path, so
    the outcome is the same for any bytes.

    Raises:
        ValueError: the records are of another topic.
    """
    topic = _engagement_topic(records)
    columns, odd, unknown = scanned(records)
    good = ~odd
    warnings: Counter[str] = Counter()
    warnings[Warned.UNKNOWN_FIELD] = int(np.count_nonzero(unknown & good))
    warnings[Warned.NEWER_VERSION] = int(np.count_nonzero((columns[V] > VERSION) & good))
    rejects: list[Reject] = []
    if odd.any():
        rows = np.flatnonzero(odd)
        exact = parse(records.rows(rows))
        kept = rows[exact.kept]
        columns[:, kept] = columns_of(topic, exact.events)
        good[kept] = True
        rejects, warnings = exact.rejects, warnings + exact.warnings
    return Decoded(engagement_of(records, columns, good), rejects, +warnings)  # only warnings that were given


def decode_exactly(records: Records) -> Decoded[Engagement]:
    """What :func:`decode_engagement` returns, by way of one Python object for each record: its reference.

    Raises:
        ValueError: the records are of another topic.
    """
    topic = _engagement_topic(records)
    parsed = parse(records)
    columns = np.zeros((len(FIELDS), len(records)), np.int64)
    columns[:, parsed.kept] = columns_of(topic, parsed.events)
    good = np.zeros(len(records), np.bool_)
    good[parsed.kept] = True
    return Decoded(engagement_of(records, columns, good), parsed.rejects, parsed.warnings)


def scanned(records: Records) -> Scanned:
    """What the compiled scanner makes of records of an engagement topic, before anybody looks at the odd ones."""
    n, topic = len(records), records.source.topic
    columns = np.empty((len(FIELDS), n), np.int64)
    odd, unknown = np.empty(n, np.bool_), np.empty(n, np.bool_)
    # Read-only, for numba compiles anew for writable arrays, and transports bring both.
    buffer, starts, lengths = map(_read_only, (records.buffer, records.starts, records.lengths))
    scan(buffer, starts, lengths, MAX_BYTES[topic], TABLES[topic], WORDS, columns, odd, unknown)
    hash_places(buffer, columns[:IDS].reshape(-1))
    odd |= is_ahead(columns[TIME], records.logged)
    return Scanned(columns, odd, unknown)


def _engagement_topic(records: Records) -> str:
    topic = records.source.topic
    if topic not in ENGAGEMENT_TOPICS:
        raise ValueError(f"decode_engagement reads {', '.join(ENGAGEMENT_TOPICS)}, not {topic!r}")
    return topic


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def decode_events(records: Records) -> Decoded[list[tuple[int, int, Event]]]:
    """Decode records of ``pins``, ``pinners`` or ``crops`` to ``(offset, logged, event)`` in offset order.

    Every id in an event is an integer, ``event_id`` included; a pin's ``domain`` is filled in from its link.

    Raises:
        KeyError: the topic carries no events.
    """
    parsed = parse(records)
    offsets = records.offsets[parsed.kept].tolist()
    logged = records.logged[parsed.kept].tolist()
    events = [_with_integer_ids(event) for event in parsed.events]
    return Decoded(list(zip(offsets, logged, events, strict=True)), parsed.rejects, parsed.warnings)


def _with_integer_ids(event: Event) -> Event:
    public = next(each for each in (PinEvent, PinnerEvent, CropEvent) if isinstance(event, each))
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
    if isinstance(event, PinEvent) and not event.board_name and isinstance(event.board, str):
        fields["board_name"] = event.board
    return public(**fields)

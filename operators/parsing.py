"""Kafka records to typed events: every record becomes an event or a reject with a reason, never neither.

The whole batch is decoded by one ``map`` over msgspec's decoder, in C; each record is decoded alone, so no
record can reach into its neighbour. (Joining them into lines for one call was not faster: 1.6M against
1.6–1.9M events/s.) Only when a record fails is the batch gone through one at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints, Records, Reject
from operators.events import EVENTS, VERSION, CropEvent, Event, PinnerEvent
from operators.rejection import Reason, Warned

#: How far, in milliseconds, an event's time may be after the broker's time for it.
MAX_AHEAD = 24 * 3_600_000
#: Largest message of each topic, bytes. Pins may carry their image inline.
MAX_BYTES = {
    "pins": 16 << 20,
    "pins.accepted": 16 << 20,
    "pinners": 1 << 20,
    "crops": 64 << 10,
    "saves": 64 << 10,
    "clicks": 64 << 10,
    "impressions": 64 << 10,
}
_DETAIL = 300


def _without_unknown_fields(event: type[Event]) -> type[Event]:
    """The same event, failing on a field that it does not know: how unknown fields are noticed at no cost."""
    return cast(
        type[Event],
        msgspec.defstruct(event.__name__, [], bases=(event,), kw_only=True, gc=False, forbid_unknown_fields=True),
    )


_lenient = {topic: msgspec.json.Decoder(event) for topic, event in EVENTS.items()}
_exact = {topic: msgspec.json.Decoder(_without_unknown_fields(event)) for topic, event in EVENTS.items()}


class Parsed(NamedTuple):
    """Events of one topic in offset order; ``kept[i]`` is the index in the records of ``events[i]``.

    An event may be of a subclass of its public class.
    """

    kept: NDArray[np.intp]
    events: list[Event]
    rejects: list[Reject]
    warnings: Counter[str]


def parse(records: Records) -> Parsed:
    """Decode and check records of one of the topics in ``operators.events.EVENTS``.

    Raises:
        KeyError: the topic carries none of these events.
    """
    topic = records.source.topic
    decode, limit = _exact[topic].decode, MAX_BYTES[topic]
    values = records.values
    warnings: Counter[str] = Counter()
    rejects: list[Reject] = []
    kept = np.arange(len(values))
    events: list[Event]
    try:
        if max(map(len, values), default=0) > limit:  # type: ignore[arg-type]  # None raises TypeError, as meant
            raise ValueError
        events = list(map(decode, values))  # type: ignore[arg-type]
    except (ValueError, TypeError, RecursionError):
        kept, events = _one_by_one(records, rejects, warnings)
    events, kept = _check(topic, records, kept, events, rejects, warnings)
    rejects.sort(key=attrgetter("offset"))
    return Parsed(kept, events, rejects, warnings)


def is_ahead(time: Ints, logged: Ints) -> NDArray[np.bool_]:
    """Which events are too far after the broker's time for them; both ``(n,)``, ms. A broker without times gives -1."""
    return (logged > 0) & (time > logged + MAX_AHEAD)


def _one_by_one(
    records: Records, rejects: list[Reject], warnings: Counter[str]
) -> tuple[NDArray[np.intp], list[Event]]:
    topic = records.source.topic
    exact, lenient, limit = _exact[topic].decode, _lenient[topic].decode, MAX_BYTES[topic]
    kept: list[int] = []
    events: list[Event] = []
    for index, value in enumerate(records.values):
        if value is None or len(value) > limit:
            reason = Reason.EMPTY if value is None else Reason.OVERSIZED
            detail = "" if value is None else f"{len(value)} bytes; {topic} takes {limit}"
            rejects.append(_set_aside(records, index, reason, detail))
            continue
        try:
            try:
                event = exact(value)
            except msgspec.ValidationError as error:
                # Whatever else is wrong with the record shows again here.
                event = lenient(value)
                if "unknown field" in str(error):
                    warnings[Warned.UNKNOWN_FIELD] += 1
        except (ValueError, RecursionError) as error:
            reason = _reason(error, value)
            rejects.append(_set_aside(records, index, reason, str(error)[:_DETAIL]))
            continue
        kept.append(index)
        events.append(event)
    return np.array(kept, dtype=np.intp), events


def _check(
    topic: str,
    records: Records,
    kept: NDArray[np.intp],
    events: list[Event],
    rejects: list[Reject],
    warnings: Counter[str],
) -> tuple[list[Event], NDArray[np.intp]]:
    """What a field's type alone cannot say."""
    n = len(events)
    logged = records.logged[kept]
    time = np.fromiter(map(attrgetter("time"), events), np.int64, n)
    wrong = is_ahead(time, logged)
    for i in np.flatnonzero(wrong).tolist():
        detail = f"{(time[i] - logged[i]) / 3_600_000:.1f} hours after the broker received it"
        rejects.append(_set_aside(records, int(kept[i]), Reason.TIME_IN_FUTURE, detail))
    if topic in ("pinners", "crops"):
        for i, event in enumerate(events):
            if found := _contradiction(event):
                if not wrong[i]:
                    rejects.append(_set_aside(records, int(kept[i]), *found))
                wrong[i] = True
    if wrong.any():
        kept = kept[~wrong]
        events = [event for event, out in zip(events, wrong.tolist(), strict=True) if not out]
    if events and max(map(attrgetter("v"), events)) > VERSION:
        warnings[Warned.NEWER_VERSION] += sum(event.v > VERSION for event in events)
    return events, kept


def _contradiction(event: Event) -> tuple[Reason, str] | None:
    """What is wrong between the fields of one event."""
    if isinstance(event, PinnerEvent) and event.type in ("followed", "unfollowed") and not event.pinners:
        return Reason.MISSING_FIELD, f"`{event.type}` without `pinners`"
    if isinstance(event, CropEvent):
        left, top, right, bottom = event.box
        if not (left < right and top < bottom):
            return Reason.BAD_BOX, f"nothing is between {left:g} and {right:g} across, {top:g} and {bottom:g} down"
    return None


def _set_aside(records: Records, index: int, reason: Reason, detail: str) -> Reject:
    offset, logged = int(records.offsets[index]), int(records.logged[index])
    return Reject(offset, reason, detail, records.value(index), logged)


def _reason(error: Exception, value: bytes) -> Reason:
    """The reason code for an error of msgspec's decoder."""
    if not isinstance(error, msgspec.ValidationError):
        if not value.strip():
            return Reason.EMPTY
        return Reason.BAD_JSON if _is_utf8(value) else Reason.BAD_UTF8
    text = str(error)
    if "missing required field" in text:
        return Reason.MISSING_FIELD
    problem, _, path = text.rpartition(" - at `")
    if not problem:
        return Reason.NOT_AN_OBJECT
    field = path.removeprefix("$.").partition("[")[0].rstrip("`")
    if field == "v":
        return Reason.BAD_VERSION
    if problem.startswith("Invalid enum value"):
        return Reason.UNKNOWN_SURFACE if field == "surface" else Reason.UNKNOWN_TYPE
    if ", got `" in problem or problem.startswith("Number"):
        return Reason.WRONG_TYPE
    return _OUT_OF_RANGE.get(field, _bad_id)(problem)


def _bad_time(problem: str) -> Reason:
    return Reason.TIME_TOO_OLD if ">=" in problem else Reason.TIME_IN_FUTURE


def _bad_position(_: str) -> Reason:
    return Reason.BAD_POSITION


def _bad_box(_: str) -> Reason:
    return Reason.BAD_BOX


def _bad_id(_: str) -> Reason:
    return Reason.BAD_ID


_OUT_OF_RANGE: dict[str, Callable[[str], Reason]] = {"time": _bad_time, "position": _bad_position, "box": _bad_box}


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True

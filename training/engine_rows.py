"""Training rows from a running engine: the slates that it logged, and what came of them.

A row is an impression of a pin at a place of a logged slate, with the features that the ranker saw when the slate was
made: nothing is computed anew, so nothing later can leak in and training sees what serving saw. Labels are the actions
on the same slate and pin within a window after the impression; what was shown too lately for its window to be over is
left for the next time. Read a day at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.events import Kind
from operators.positions import examination
from operators.slate.utility import ACTIONS
from streams.stores.protocols import EventStore

DAY = 86_400_000
#: In the order of ``ACTIONS``.
KINDS = (Kind.SAVE, Kind.CLOSEUP, Kind.OUTBOUND_CLICK, Kind.HIDE)
#: Examined impressions that a pin's own rate is drawn towards the rate of all by.
PRIOR = 10.0
#: Slates of a day with their features and what the ranker expected, one row a place.
PLACES = """
SELECT slate, pinner, pin, seen, expected FROM (
    SELECT slate, pinner, pins, features, probabilities FROM slates FINAL
    WHERE emitted >= {first:Int64} AND emitted < {last:Int64} AND pinner != 0 AND length(features) = length(pins)
          AND JSONExtractString(versions, 'spec') = {spec:String}
) ARRAY JOIN pins AS pin, features AS seen, probabilities AS expected
ORDER BY slate, pin"""
#: When each was first shown and where, and when each action first came.
SHOWN = """
SELECT slate, pin, minIf(time, kind = 1) AS shown, argMinIf(position, time, kind = 1) AS place,
       argMinIf(surface, time, kind = 1) AS surface, countIf(kind = 1) AS impressions,
       arrayMap(k -> toInt64(arrayMin(arrayConcat([9223372036854775807],
           arrayMap(e -> e.2, arrayFilter(e -> e.1 = k, groupArray((kind, time))))))), [4, 2, 3, 5]) AS actions
FROM engagement PREWHERE logged >= {first:Int64} AND logged < {last:Int64} WHERE slate != 0 AND pin != 0
GROUP BY slate, pin HAVING impressions > 0
ORDER BY slate, pin"""
SKIPPED = """
SELECT countIf(length(features) = 0 OR length(features) != length(pins)) AS bare,
       countIf(length(features) > 0 AND JSONExtractString(versions, 'spec') != {spec:String}) AS other
FROM slates FINAL WHERE emitted >= {first:Int64} AND emitted < {last:Int64}"""
#: Events may be of another time than the clock that slates are emitted by: a replay. Kafka's time is of that clock.
LATEST = """
SELECT (SELECT max(time) FROM engagement) AS latest, (SELECT count() FROM engagement) AS events,
       (SELECT max(emitted) FROM slates) AS emitted"""

Rows = dict[str, NDArray[Any]]


class Found(NamedTuple):
    """Rows in time order, and the slates that gave none: without features, and of another spec."""

    rows: Rows
    bare: int
    other: int


async def engine_rows(
    events: EventStore, spec: str, width: int, *, days: int, window: int, say: Callable[[str], None]
) -> Found:
    """Rows of the ``days`` up to the latest slate, of slates made with a spec.

    Columns: features ``(n, width)``, labels ``(n, 4)``, baseline ``(n, 4)`` (the pin's own rate before), served
    ``(n, 4)`` (what the ranker expected), examination, time, slate, pinner and pin ``(n,)``.

    Args:
        spec: the version whose features are meant; another's columns may say something else.
        window: milliseconds after an impression in which an action counts.

    Raises:
        StoreUnavailable: ClickHouse is gone.
        ValueError: there is nothing to learn from, and why.
    """
    found = await events.query(LATEST)
    if not found or not int(found["events"][0]):
        raise ValueError("there are no events in ClickHouse yet: let traffic come in first")
    latest, end = int(found["latest"][0]), int(found["emitted"][0]) + 1
    parts: list[Rows] = []
    bare = other = 0
    for start in range(end - days * DAY, end, DAY):
        some, skipped = await _of_day(events, spec, start, latest, window)
        bare, other = bare + skipped[0], other + skipped[1]
        if some and some["features"].shape[1] != width:
            raise ValueError(f"slates of spec {spec} have {some['features'].shape[1]} features, not {width}")
        if some:
            parts.append(some)
            say(f"{np.datetime64(start, 'ms').astype('datetime64[h]')}: {len(some['time']):,} impressions")
    if not parts:
        raise ValueError(
            f"no impression of the last {days} days names a slate of spec {spec} with features and has its window of "
            f"{window / 3_600_000:g} h behind it ({bare} slates have no features, {other} are of another spec)"
        )
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((rows["slate"], rows["time"]))
    rows = {name: column[order] for name, column in rows.items()}
    rows["baseline"] = prequential(rows)
    return Found(rows, bare, other)


def prequential(rows: Rows) -> NDArray[np.float64]:
    """``(n, 4)``: each pin's rate of each action in the slates before, drawn to that of all pins. In time order."""
    own: dict[int, NDArray[np.float64]] = defaultdict(lambda: np.zeros(1 + len(ACTIONS)))
    everything = np.zeros(1 + len(ACTIONS))
    counted = np.concatenate([rows["examination"][:, None], rows["labels"]], axis=1).astype(np.float64)
    baseline = np.zeros((len(counted), len(ACTIONS)))
    starts = np.flatnonzero(np.diff(rows["slate"], prepend=rows["slate"][:1] - 1))
    for start, end in zip(starts.tolist(), [*starts.tolist()[1:], len(counted)], strict=True):
        mean = (everything[1:] + 0.01) / (everything[0] + 1.0)
        pins = rows["pin"][start:end].tolist()
        for row, pin in enumerate(pins, start):
            baseline[row] = (own[pin][1:] + PRIOR * mean) / (own[pin][0] + PRIOR)
        for row, pin in enumerate(pins, start):
            own[pin] += counted[row]
            everything += counted[row]
    return baseline


async def _of_day(events: EventStore, spec: str, start: int, latest: int, window: int) -> tuple[Rows, tuple[int, int]]:
    within = {"first": start, "last": start + DAY, "spec": spec}
    skipped = await events.query(SKIPPED, within)
    counts = (int(skipped["bare"][0]), int(skipped["other"][0])) if skipped else (0, 0)
    places = await events.query(PLACES, within)
    if not places:
        return {}, counts
    # A slate may be looked at a day after it was made, and acted on for a window after that.
    shown = await events.query(SHOWN, {"first": start - DAY, "last": start + 2 * DAY + window})
    if not shown:
        return {}, counts
    row = _matching(places, shown)
    kept = row >= 0
    over = np.zeros(len(kept), np.bool_)
    over[kept] = shown["shown"][row[kept]] + window <= latest
    row = row[over]
    if not len(row):
        return {}, counts
    actions = np.stack([np.asarray(each, np.int64) for each in shown["actions"][row]])
    since = shown["shown"][row]
    expected = [
        list(each) if len(each) == len(ACTIONS) else [np.nan] * len(ACTIONS) for each in places["expected"][over]
    ]
    # One time a slate: a cut in time never runs through it.
    slate = places["slate"][over]
    _, first = np.unique(slate, return_inverse=True)
    begun = np.full(first.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(begun, first, since)
    return {
        "features": np.stack([np.asarray(each, np.float32) for each in places["seen"][over]]),
        "labels": (actions <= (since + window)[:, None]) & (actions >= since[:, None]),
        "served": np.array(expected, np.float32),
        "examination": examination(shown["surface"][row].astype(np.uint8), shown["place"][row].astype(np.int16)),
        "time": begun[first],
        "slate": slate,
        "pinner": places["pinner"][over],
        "pin": places["pin"][over],
    }, counts


def _matching(places: Rows, shown: Rows) -> NDArray[np.int64]:
    """For each place the row of its impression, -1 where it was not looked at."""
    at = {key: row for row, key in enumerate(zip(shown["slate"].tolist(), shown["pin"].tolist(), strict=True))}
    keys = zip(places["slate"].tolist(), places["pin"].tolist(), strict=True)
    return np.array([at.get(key, -1) for key in keys], np.int64)

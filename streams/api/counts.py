"""Counts of one pin, pinner or domain, hour by hour, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.stores.protocols import EventStore

#: Pins that one query names: 20 bytes each, and ClickHouse reads queries of 256 kB.
ASKED = 5_000
HOUR_MS = 3_600_000
ACTIONS = ("closeups", "outbound_clicks", "saves", "hides")
COLUMNS = ("impressions", *ACTIONS)


class Counts(msgspec.Struct):
    """What happened. ``engagement`` is closeups, outbound clicks and saves."""

    impressions: int = 0
    closeups: int = 0
    outbound_clicks: int = 0
    saves: int = 0
    hides: int = 0
    engagement: int = 0


class Hour(Counts):
    """One hour; ``time`` is its start in milliseconds since the epoch. Hours without events are left out."""

    time: int = 0


class Rates(msgspec.Struct):
    """Counts per impression; null where there was no impression, above 1 where others were not reported."""

    closeups: float | None = None
    outbound_clicks: float | None = None
    saves: float | None = None
    hides: float | None = None
    engagement: float | None = None


class History(msgspec.Struct):
    """Totals over all time, rates of the totals, and the latest hours."""

    totals: Counts
    rates: Rates
    hours: list[Hour]


async def history(store: EventStore, table: str, key: str, value: int, since: int) -> History:
    """Counts of ``value`` in ``table``; hours that start at or after ``since`` (ms) one by one.

    Raises StoreUnavailable without ClickHouse.
    """
    sums = ", ".join(f"toInt64(sum({name})) AS {name}" for name in COLUMNS)
    rows = await store.query(
        f"SELECT toInt64(hour) AS hour, {sums} FROM {table} WHERE {key} = {{id:Int64}} GROUP BY hour ORDER BY hour",
        {"id": value},
    )
    if not rows or not len(rows["hour"]):
        return History(Counts(), Rates(), [])
    totals = _counts({name: rows[name].sum() for name in COLUMNS})
    recent = np.flatnonzero(rows["hour"] * HOUR_MS >= since)
    hours = [_hour(rows, row) for row in recent.tolist()]
    return History(totals, rates(totals), hours)


async def group_totals(store: EventStore, pins: Sequence[int]) -> Counts:
    """What happened with all of these pins together. Raises StoreUnavailable without ClickHouse."""
    sums = ", ".join(f"toInt64(sum({name})) AS {name}_" for name in COLUMNS)
    totals: dict[str, int] = dict.fromkeys(COLUMNS, 0)
    for start in range(0, len(pins), ASKED):
        # IN takes the primary key where has() would read the whole table.
        asked = ", ".join(map(str, pins[start : start + ASKED]))
        rows = await store.query(f"SELECT {sums} FROM engagement_by_pin WHERE pin IN ({asked})")
        for name in COLUMNS:
            totals[name] += int(rows[f"{name}_"][0]) if rows else 0
    return _counts(totals)


def rates(counts: Counts) -> Rates:
    """Each count per impression."""
    if not counts.impressions:
        return Rates()
    return Rates(**{name: getattr(counts, name) / counts.impressions for name in (*ACTIONS, "engagement")})


def _counts(sums: dict[str, Any]) -> Counts:
    whole = {name: int(value) for name, value in sums.items()}
    return Counts(**whole, engagement=whole["closeups"] + whole["outbound_clicks"] + whole["saves"])


def _hour(rows: dict[str, NDArray[Any]], row: int) -> Hour:
    counts = msgspec.structs.asdict(_counts({name: rows[name][row] for name in COLUMNS}))
    return Hour(time=int(rows["hour"][row]) * HOUR_MS, **counts)

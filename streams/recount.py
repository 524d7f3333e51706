"""Is every sum what a recount of the raw rows gives? And, after a crash: finish what was cut off.

The argument for every crash point is in ``docs/exactness.md``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from operators.batch import ENGAGEMENT_COLUMNS
from streams.latest_event import unpack
from streams.stores.protocols import Claims, EventStore

COUNTS = ("impressions", "closeups", "outbound_clicks", "saves", "hides")
KEYS = ("pin", "pinner", "owner", "domain", "board")
#: Sums of floats differ by the order they were added in; counts may not differ at all.
RELATIVE = 1e-9
#: Differences shown for each table.
SHOWN = 5
#: Looks at a table that differs, and seconds between: an insert under way has its raw rows before its sums.
LOOKS, BETWEEN = 3, 1.0
#: Larger groupings go through the disk, so a recount needs memory for neither side of the join.
_BOUNDED = (
    "SETTINGS max_bytes_before_external_group_by = 500000000, max_bytes_before_external_sort = 500000000, "
    "join_algorithm = 'full_sorting_merge', max_threads = 2"
)
#: Names that no raw column has → the fields of each pin's latest event.
_LATEST = {"at": "time", "event": "event", "whose": "owner", "site": "domain"}
_FIELDS = ", ".join(f"{unpack(part, 'n')} AS {name}" for name, part in _LATEST.items())
_LATEST_OF_PIN = f"(SELECT pin, max(latest) AS n, {_FIELDS} FROM signals_by_pin GROUP BY pin)"
_PLACE = "toUInt8(if(position <= 0, position + 1, least(7, 2 + floor(log2(position))))) AS place"
_RELATED = "surface = 2 AND slate != 0 AND pin != 0 AND kind < 5"
_WEIGHT = "exp2((time - 1704067200000) / 604800000)"


@dataclass(frozen=True)
class Comparison:
    """One table against its recount. ``differences`` are the first few, each with stored and recounted values."""

    table: str
    rows: int
    different: int
    differences: list[dict[str, Any]] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return self.different == 0


async def recount(store: EventStore) -> list[Comparison]:
    """Compare every sum with a recount from raw rows, and check that no event is in the raw table twice.

    A table differs when it does in each of :data:`LOOKS`, so that a single insert under way is none; while many are,
    writers should rest. Raises as the store does.
    """
    results = [
        await _repeated(store, "engagement by (topic, partition, offset)", "topic, partition, offset"),
        await _repeated(store, "engagement by event_id", "event_id"),
    ]
    for key in KEYS:
        hour = "toUInt32(intDiv(time, 3600000)) AS hour"
        counts = {name: f"countIf(kind = {kind})" for kind, name in enumerate(COUNTS, 1)}
        results.append(await _compare(store, f"engagement_by_{key}", (key, hour), counts, where=f"{key} != 0"))
    signals = {name: f"sumIf({_WEIGHT}, kind = {kind})" for kind, name in enumerate(COUNTS[1:], 2)}
    signals["exposure"] = f"sumIf({_WEIGHT} * if(position < 0, 1., pow(1. + position, -0.5)), kind = 1)"
    keys = ("pin", "is_follower")
    results.append(await _compare(store, "signals_by_pin", keys, signals, where="pin != 0", exact=False))
    parts = {name: f"max((time, event_id, owner, domain)).{at}" for at, name in enumerate(_LATEST, 1)}
    results.append(await _compare(store, _LATEST_OF_PIN, ("pin",), parts, where="pin != 0"))
    given, gave = {"given": f"sum({_WEIGHT})"}, "pinner != 0 AND kind IN (2, 3, 4)"
    results.append(await _compare(store, "signals_by_pinner", ("pinner",), given, where=gave, exact=False))
    counts = {name: f"countIf(kind = {kind})" for kind, name in enumerate(COUNTS[:4], 1)}
    results.append(await _compare(store, "related_actions", ("slate", "pin", _PLACE), counts, where=_RELATED))
    by_source = ("pinner", "toUInt8(arrayJoin(bitPositionsToArray(sources))) AS source")
    counts = {name: f"countIf(kind = {kind})" for kind, name in enumerate(COUNTS, 1)}
    known = "sources != 0 AND pinner != 0"
    results.append(await _compare(store, "rewards_by_source", by_source, counts, where=known))
    saves = "(SELECT board, pin, pinner, 1 AS saves FROM saves)"
    results.append(await _compare(store, saves, ("board", "pin", "pinner"), {"saves": "count()"}, where="kind = 4"))
    return results


async def _repeated(store: EventStore, label: str, key: str) -> Comparison:
    # Hash partitions of the key, so that memory holds one at a time however many rows there are.
    rows = int((await store.query("SELECT count() AS n FROM engagement"))["n"][0])
    slices = max(1, rows // 5_000_000)
    different, shown = 0, list[dict[str, Any]]()
    for index in range(slices):
        where = f"WHERE cityHash64({key}) % {slices} = {index}" if slices > 1 else ""
        grouped = f"SELECT {key}, count() AS times FROM engagement {where} GROUP BY {key} HAVING times > 1"
        found = await store.query(f"SELECT *, count() OVER () AS different FROM ({grouped}) LIMIT {SHOWN} {_BOUNDED}")
        if found:
            different += int(found.pop("different")[0])
            shown += _rows(found)
    return Comparison(label, rows, different, shown[:SHOWN])


async def _compare(
    store: EventStore, table: str, keys: tuple[str, ...], recounted: dict[str, str], *, where: str, exact: bool = True
) -> Comparison:
    """``recounted`` names each column of ``table`` and says what it must be over the raw rows that ``where`` takes."""
    names = [key.split(" AS ")[-1] for key in keys]
    grouped = ", ".join(names)
    stored = ", ".join(f"sum({name}) AS {name}" for name in recounted)
    again = ", ".join(f"{expression} AS {name}" for name, expression in recounted.items())
    either = ", ".join(f"if(s.there = 1, s.{name}, r.{name}) AS {name}" for name in names)
    pairs = ", ".join(f"s.{name} AS {name}, r.{name} AS {name}_recounted" for name in recounted)
    unequal = " OR ".join(_unequal(f"s.{name}", f"r.{name}", exact) for name in recounted)
    joined = (
        f"(SELECT {grouped}, 1 AS there, {stored} FROM {table} GROUP BY {grouped}) AS s "
        f"FULL OUTER JOIN (SELECT {', '.join(keys)}, 1 AS there, {again} FROM engagement "
        f"WHERE {where} GROUP BY {grouped}) AS r ON {' AND '.join(f's.{name} = r.{name}' for name in names)}"
    )
    rows, different = 0, 0
    for look in range(LOOKS):
        await asyncio.sleep(BETWEEN if look else 0)
        total = await store.query(
            f"SELECT count() AS n, countIf(s.there != r.there OR {unequal}) AS different FROM {joined} {_BOUNDED}"
        )
        rows, different = int(total["n"][0]), int(total["different"][0])
        if not different:
            return Comparison(_label(table), rows, 0)
    differences = await store.query(
        f"SELECT {either}, {pairs} FROM {joined} WHERE s.there != r.there OR {unequal} "
        f"ORDER BY {grouped} LIMIT {SHOWN} {_BOUNDED}"
    )
    return Comparison(_label(table), rows, different, _rows(differences))


def _unequal(stored: str, recounted: str, exact: bool) -> str:
    if exact:
        return f"{stored} != {recounted}"
    return f"abs({stored} - {recounted}) > {RELATIVE} * greatest(abs({stored}), abs({recounted}))"


def _label(table: str) -> str:
    """The name of a table, or of the one that a subquery reads."""
    return table.partition(" FROM ")[2].split()[0].rstrip(")") if table.startswith("(") else table


def _rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]


_RAW = ("topic", "partition", "first", "last", "block", *ENGAGEMENT_COLUMNS)


async def complete_last_blocks(
    store: EventStore, partitions: Iterable[tuple[str, int]], claims: Claims | None = None
) -> dict[tuple[str, int], int]:
    """What happens when partitions are assigned: the newest block of each is made whole.

    A block's raw rows are one part, so they are all there or none; a crash may have cut off the views behind
    them. The rows are inserted again under the block's own token, which adds what is missing and nothing else.

    Returns ``(topic, partition)`` → the last offset that is stored; records at or below it are done. A partition
    without rows is left out. Raises as the store does.
    """
    finished: dict[tuple[str, int], int] = {}
    blocks: set[int] = set()
    for topic, partition in partitions:
        newest = await store.query(
            "SELECT last, block FROM engagement WHERE topic = {topic:String} AND partition = {partition:UInt16} "
            "ORDER BY offset DESC LIMIT 1",
            {"topic": topic, "partition": partition},
        )
        if newest:
            finished[topic, partition] = int(newest["last"][0])
            blocks.add(int(newest["block"][0]))
    for block in sorted(blocks):
        rows = await store.query(
            f"SELECT {', '.join(_RAW)} FROM engagement WHERE block = {{block:Int64}} ORDER BY topic, partition, offset",
            {"block": block},
        )
        await store.insert("engagement", rows, token=str(block), claims=claims)
    return finished

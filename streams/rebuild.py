"""Rebuild: hot state from what ClickHouse holds, in chunks, so that memory for it stays bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.board_graph import Origin
from operators.decay import LANDMARK_MS, QUALITY_HALF_LIFE_MS
from operators.events import Kind
from operators.quality import ACTIONS
from operators.recent_actions import SAVED, SEEN
from operators.trending import HALF_LIFE_MS, WEIGHTS
from streams.stores.protocols import EventStore

if TYPE_CHECKING:
    from streams.state import HotState

#: Rows that one query may have to sort or group, about.
CHUNK_ROWS = 2_000_000
_GAVE = f"pinner != 0 AND kind IN ({Kind.CLOSEUP.value}, {Kind.OUTBOUND_CLICK.value}, {Kind.SAVE.value})"
_POINTS = f"transform(toInt64(kind), {[kind.value for kind in Kind]}, {[float(WEIGHTS[kind]) for kind in Kind]}, 0.)"

Rows = dict[str, NDArray[Any]]


async def rebuild(state: HotState, events: EventStore) -> None:
    """Fill an empty state. Raises StoreUnavailable; call again with a new state then."""
    state.now = await _latest(events)
    await _catalogue(state, events)
    await _follows(state, events)
    await _sums(state, events)
    await _newest_of_pins(state, events)
    await _saves(state, events)
    await _recent(state, events)
    newest = await events.query(
        "SELECT event_id FROM engagement ORDER BY logged DESC, offset DESC LIMIT {n:UInt64}",
        {"n": state.duplicates.horizon},
    )
    if newest:
        state.duplicates.load(np.array(newest["event_id"][::-1]))


async def _latest(events: EventStore) -> int:
    found = await events.query(
        "SELECT greatest((SELECT max(time) FROM engagement), (SELECT max(version) FROM pins)) AS now"
    )
    return int(found["now"][0])


async def _catalogue(state: HotState, events: EventStore) -> None:
    sql = "SELECT pin, version, deleted, pinner, board, domain_id, created FROM pins FINAL WHERE {chunk}"
    async for rows in _chunks(events, sql, "pin", "pins"):
        deleted = rows["deleted"].astype(np.bool_)
        # Offsets are not stored; -1 lets the same event, delivered again, be accepted again.
        offsets = np.full(len(deleted), -1, np.int64)
        state.catalogue.accept(
            rows["pin"],
            rows["version"],
            deleted,
            offsets,
            owners=rows["pinner"],
            boards=rows["board"],
            domains=rows["domain_id"],
            created=rows["created"],
        )
        state.board_graph.add(rows["pin"][~deleted], rows["board"][~deleted], Origin.HOME)


async def _follows(state: HotState, events: EventStore) -> None:
    sql = "SELECT follower, followed, version, active FROM follows FINAL WHERE {chunk}"
    async for rows in _chunks(events, sql, "follower", "follows"):
        state.follows.accept(rows["follower"], rows["followed"], rows["version"], rows["active"].astype(np.bool_))


async def _sums(state: HotState, events: EventStore) -> None:
    columns = ("exposure", *ACTIONS)
    summed = ", ".join(f"sum({column}) AS {column}_" for column in columns)
    sql = f"SELECT pin, is_follower, {summed} FROM signals_by_pin WHERE {{chunk}} GROUP BY pin, is_follower"
    async for rows in _chunks(events, sql, "pin", "signals_by_pin"):
        sums = np.stack([rows[f"{column}_"] for column in columns], axis=1)
        state.quality.load_sums(rows["pin"], rows["is_follower"], sums)
    weight = f"exp2((time - {LANDMARK_MS}) / {QUALITY_HALF_LIFE_MS})"
    sql = f"SELECT pinner, sum({weight}) AS given FROM engagement WHERE {_GAVE} AND {{chunk}} GROUP BY pinner"
    async for rows in _chunks(events, sql, "pinner", "engagement"):
        state.quality.load_given(rows["pinner"], rows["given"])


async def _newest_of_pins(state: HotState, events: EventStore) -> None:
    """Whose each pin is, and what it earned lately."""
    points = f"sum({_POINTS} * exp2((time - {state.now}) / {HALF_LIFE_MS}))"
    sql = f"""
        SELECT pin, newest.1 AS time_, newest.2 AS event, newest.3 AS owner_, newest.4 AS domain_, points FROM (
            SELECT pin, max((time, event_id, owner, domain)) AS newest, {points} AS points
            FROM engagement WHERE {{chunk}} GROUP BY pin)"""
    async for rows in _chunks(events, sql, "pin", "engagement"):
        pins = rows["pin"]
        state.quality.load_attribution(pins, rows["time_"], rows["event"], rows["owner_"], rows["domain_"])
        trends = (rows["points"] > 0) & ~state.catalogue.is_deleted(pins)
        at = np.full(int(trends.sum()), state.now, np.int64)
        state.trending.add(pins[trends], at, rows["points"][trends])


async def _saves(state: HotState, events: EventStore) -> None:
    sql = f"""
        SELECT pin, board, min(time) AS first_saved FROM engagement
        WHERE kind = {Kind.SAVE.value} AND board != 0 AND {{chunk}} GROUP BY pin, board ORDER BY first_saved"""
    async for rows in _chunks(events, sql, "board", "engagement"):
        live = ~state.catalogue.is_deleted(rows["pin"])
        state.board_graph.add(rows["pin"][live], rows["board"][live], Origin.SAVED)


async def _recent(state: HotState, events: EventStore) -> None:
    for condition, latest in (("!=", SEEN), ("=", SAVED)):
        sql = f"""
            SELECT pinner, time, pin, kind FROM engagement
            WHERE kind {condition} {Kind.SAVE.value} AND pinner != 0 AND {{chunk}}
            ORDER BY time DESC, pin DESC LIMIT {latest} BY pinner, kind"""
        async for rows in _chunks(events, sql, "pinner", "engagement"):
            # Oldest first, so that every entry goes to the end of its ring.
            pinner, time, pin, kind = (rows[name][::-1] for name in ("pinner", "time", "pin", "kind"))
            state.recent.add(pinner, time, pin, kind)


async def _chunks(events: EventStore, sql: str, key: str, table: str) -> AsyncIterator[Rows]:
    """Run ``sql``, which says ``{chunk}`` in its WHERE, once for every part of the keys; empty answers are left out."""
    counted = await events.query(f"SELECT count() AS n FROM {table}")
    parts = 1 + int(counted["n"][0]) // CHUNK_ROWS
    for part in range(parts):
        rows = await events.query(sql.replace("{chunk}", f"{key} % {parts} = {part}"))
        if rows and len(next(iter(rows.values()))):
            # Arrow's columns are read-only, for which numba would compile every kernel again.
            yield {name: np.array(column) for name, column in rows.items()}

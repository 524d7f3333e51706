"""Rebuild: hot state from what ClickHouse holds, in chunks, so that memory for it stays bounded.

It reads sums, saves and the latest raw rows, never all of them: a start may not take longer the longer the engine runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.events import Kind
from operators.graph.adjacency import MOST_SAVED
from operators.graph.origin import Origin
from operators.pin2vec.pin2vec import LAG_MS
from operators.quality import ACTIONS
from operators.recent_actions import SAVED, SEEN
from operators.trending import HALF_LIFE_MS, HOUR_MS, WEIGHTS
from streams import pin_pictures, pin_safety, pin_words, related_memory, slate_memory
from streams.latest_event import FIELDS, unpack
from streams.stores.clickhouse_sql import quoted
from streams.stores.protocols import EventStore

if TYPE_CHECKING:
    from streams.learned import Learned
    from streams.state import HotState, Partition

#: Rows that one query may have to sort or group, about.
CHUNK_ROWS = 2_000_000
#: Raw rows that a start reads: at least as many as event ids are remembered.
LATEST_ROWS = 4_000_000
#: After so many half-lives nothing is left of what was earned.
TRENDING_MS = 40 * HALF_LIFE_MS

Rows = dict[str, NDArray[Any]]


async def rebuild(state: HotState, events: EventStore, learned: Learned | None = None) -> None:
    """Fill an empty state. Raises StoreUnavailable; call again with a new state then."""
    latest, state.taken = await _latest_rows(events)
    state.now = await _latest(events, latest)
    await _catalogue(state, events)
    await pin_words.load(state.texts, state.catalogue, events)
    await pin_pictures.load(state.pictures, state.catalogue, events)
    await _safety(state, events)
    await _follows(state, events)
    await _sums(state, events)
    await _trending(state, events)
    await _saves(state, events)
    await _recent(state, events, latest)
    await _for_related(state, events, latest, learned)
    await chosen_since(state, events)
    await slate_memory.load(state, events)
    newest = await events.query(
        f"SELECT event_id FROM engagement WHERE {latest} ORDER BY logged DESC, offset DESC LIMIT {{n:UInt64}}",
        {"n": state.duplicates.horizon},
    )
    if newest:
        state.duplicates.load(np.array(newest["event_id"][::-1]))


async def _latest_rows(events: EventStore) -> tuple[str, dict[Partition, int]]:
    """A condition for about the :data:`LATEST_ROWS` newest raw rows: of each partition its share, by primary key.

    And the last offset of each partition.
    """
    found = await events.query(
        "SELECT topic, partition, count() AS n, max(offset) AS newest FROM engagement GROUP BY topic, partition"
    )
    ends = list(zip(*(column.tolist() for column in found.values()), strict=True))
    last = {(topic, partition): newest for topic, partition, _, newest in ends}
    rows = sum(n for _, _, n, _ in ends)
    if rows <= LATEST_ROWS:
        return "1", last
    share = LATEST_ROWS / rows
    latest = " OR ".join(
        f"(topic = {quoted(topic)} AND partition = {partition} AND offset > {newest - int(n * share)})"
        for topic, partition, n, newest in ends
    )
    return latest, last


async def _latest(events: EventStore, latest: str) -> int:
    found = await events.query(
        f"SELECT greatest((SELECT max(time) FROM engagement WHERE {latest}), (SELECT max(version) FROM pins)) AS now"
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


async def _safety(state: HotState, events: EventStore) -> None:
    async for rows in _chunks(
        events, f"SELECT {pin_safety.COLUMNS} FROM safety FINAL WHERE {{chunk}}", "pin", "safety"
    ):
        pin_safety.take(state.safety, rows)


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
    # The latest event says whose each pin is.
    fields = ", ".join(f"{unpack(name, 'latest_')} AS {name}_" for name in FIELDS)
    sql = f"""
        SELECT pin, {fields} FROM (
            SELECT pin, max(latest) AS latest_ FROM signals_by_pin WHERE {{chunk}} GROUP BY pin)"""
    async for rows in _chunks(events, sql, "pin", "signals_by_pin"):
        state.quality.load_attribution(rows["pin"], rows["time_"], rows["event_"], rows["owner_"], rows["domain_"])
    sql = "SELECT pinner, sum(given) AS given_ FROM signals_by_pinner WHERE {chunk} GROUP BY pinner"
    async for rows in _chunks(events, sql, "pinner", "signals_by_pinner"):
        state.quality.load_given(rows["pinner"], rows["given_"])


async def _trending(state: HotState, events: EventStore) -> None:
    """What each pin earned lately, from counts by hour."""
    first = (state.now - TRENDING_MS) // HOUR_MS
    at = f"toInt64(hour) * {HOUR_MS} + {HOUR_MS // 2}"
    kinds = zip(ACTIONS, (Kind.CLOSEUP, Kind.OUTBOUND_CLICK, Kind.SAVE, Kind.HIDE), strict=True)
    earned = " + ".join(f"{float(WEIGHTS[kind])} * {name}" for name, kind in kinds)
    sql = f"""
        SELECT pin, sum(({earned}) * exp2(({at} - {state.now}) / {HALF_LIFE_MS})) AS points
        FROM engagement_by_pin WHERE hour >= {first} AND {{chunk}} GROUP BY pin HAVING points > 0"""
    async for rows in _chunks(events, sql, "pin", "engagement_by_pin"):
        live = ~state.catalogue.is_deleted(rows["pin"])
        state.trending.add(rows["pin"][live], np.full(int(live.sum()), state.now, np.int64), rows["points"][live])


async def _saves(state: HotState, events: EventStore) -> None:
    """The latest edges of the board graph, first ones first."""
    edges = "SELECT pin, board, min(time) AS first FROM saves WHERE board != 0 GROUP BY pin, board"
    latest = f"{edges} ORDER BY first DESC, pin, board LIMIT {MOST_SAVED}"
    rows = await events.query(f"SELECT pin, board FROM ({latest}) ORDER BY first")
    if rows:
        pins, boards = np.array(rows["pin"]), np.array(rows["board"])
        live = ~state.catalogue.is_deleted(pins)
        state.board_graph.add(pins[live], boards[live], Origin.SAVED)
    state.board_graph.compact()


async def _recent(state: HotState, events: EventStore, latest: str) -> None:
    """Saves of all times, and of the rest what is in the latest rows."""
    of_kind = f"SELECT pinner, time, pin, kind FROM engagement WHERE kind != {Kind.SAVE.value} AND ({latest})"
    saved = f"SELECT pinner, time, pin, toUInt8({Kind.SAVE.value}) AS kind FROM saves WHERE 1"
    for rows_of, table, most in ((of_kind, "engagement", SEEN), (saved, "saves", SAVED)):
        sql = f"""
            {rows_of} AND pinner != 0 AND {{chunk}}
            ORDER BY time DESC, pin DESC LIMIT {most} BY pinner, kind"""
        async for rows in _chunks(events, sql, "pinner", table):
            # Oldest first, so that every entry goes to the end of its ring.
            pinner, time, pin, kind = (rows[name][::-1] for name in ("pinner", "time", "pin", "kind"))
            state.recent.add(pinner, time, pin, kind)


async def _for_related(state: HotState, events: EventStore, latest: str, learned: Learned | None) -> None:
    """Actions of the latest rows of sessions, which the worker learns from when it runs; all of Memboost's sums.

    Of what was learned before, and is in a file, none waits again.
    """
    if learned:
        learned.take_up(state)
    known = " OR ".join(
        f"(topic = {quoted(topic)} AND partition = {partition} AND offset <= {last})"
        for (topic, partition), last in state.learned_before.items()
    )
    sql = f"{related_memory.ACTIONS} AND ({latest}) AND NOT ({known or 0}) AND {{chunk}}"
    newest = 0
    async for rows in _chunks(events, sql, "pinner", "engagement"):
        related_memory.take_actions(state, rows)
        newest = max(newest, int(rows["logged"].max()))
    # Now, as nobody waits for slates yet.
    state.pin2vec.order(newest - LAG_MS)
    async for rows in _chunks(events, related_memory.PAIRS, "slate", "related_actions"):
        related_memory.take_pairs(state, rows)
    if rates := await events.query(related_memory.RATES):
        related_memory.take_rates(state, rates)


async def chosen_since(state: HotState, events: EventStore, since: int = -1) -> None:
    """What pinners chose, of rows inserted after ``since`` (ms). Raises StoreUnavailable."""
    # FINAL alone would read all pinners there are, which only a start wants.
    new = (
        "notEmpty(interests)" if since < 0 else "pinner IN (SELECT pinner FROM pinners WHERE inserted > {since:Int64})"
    )
    rows = await events.query(
        f"SELECT pinner, version, interests FROM pinners FINAL WHERE deleted = 0 AND {new}", {"since": since}
    )
    if rows:
        for pinner, version, topics in zip(rows["pinner"], rows["version"], rows["interests"], strict=True):
            state.chosen.accept(int(pinner), int(version), [str(topic) for topic in topics])


async def _chunks(events: EventStore, sql: str, key: str, table: str) -> AsyncIterator[Rows]:
    """Run ``sql``, which says ``{chunk}`` in its WHERE, once for every part of the keys; empty answers are left out."""
    counted = await events.query(f"SELECT count() AS n FROM {table}")
    parts = 1 + int(counted["n"][0]) // CHUNK_ROWS
    for part in range(parts):
        rows = await events.query(sql.replace("{chunk}", f"{key} % {parts} = {part}"))
        if rows and len(next(iter(rows.values()))):
            # Arrow's columns are read-only, for which numba would compile every kernel again.
            yield {name: np.array(column) for name, column in rows.items()}

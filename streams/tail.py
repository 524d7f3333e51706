"""What other workers of the group wrote, folded into this worker's memory too.

Every worker counts only its own partitions, but feeds need everybody's saves. ClickHouse holds them: each
partition of another worker is read from where memory has it, by the table's own order, so the cost follows what
is new. A worker that holds every partition asks for nothing, but for what their last holders wrote before it had them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import ENGAGEMENT_TOPICS, PinEvent
from operators.identity import MAX_ID
from streams import pin_pictures, pin_safety, pin_words, slate_memory
from streams.engine import Engine
from streams.erasure import leave_memory
from streams.rebuild import chosen_since
from streams.stores.clickhouse_sql import quoted
from streams.stores.protocols import EventStore

Partition = tuple[str, int]
#: Rows folded at a time, and how long a row may take to show after the moment it carries.
CHUNK = 50_000
OVERLAP_MS = 10_000


class Folded:
    """The last offset of each partition that memory holds, and when it was read, by ClickHouse's clock (ms)."""

    def __init__(self, last: dict[Partition, int], clock: int = 0) -> None:
        self.last, self.clock = last, clock

    @classmethod
    async def load(cls, events: EventStore) -> Folded:
        """What a memory rebuilt from now on will hold at least. Raises StoreUnavailable."""
        clock = await _clock(events)
        rows = await events.query(
            "SELECT topic, partition, max(last) AS last FROM engagement GROUP BY topic, partition"
        )
        if not rows:
            return cls({}, clock)
        names = zip(rows["topic"].tolist(), rows["partition"].tolist(), strict=True)
        return cls(dict(zip(names, rows["last"].tolist(), strict=True)), clock)


async def catch_up(engine: Engine, partition: Partition, until: int = MAX_ID) -> None:
    """Fold in what ClickHouse holds of a partition beyond what memory does, up to offset ``until``.

    Raises StoreUnavailable.
    """
    topic, number = partition
    last = engine.folded.last.get(partition, -1)
    more = True
    while more:
        rows = await engine.events.query(
            f"SELECT first, {', '.join(ENGAGEMENT_COLUMNS)} FROM engagement"
            " WHERE topic = {topic:String} AND partition = {partition:UInt16}"
            f" AND offset > {{last:Int64}} AND offset <= {{until:Int64}} ORDER BY offset LIMIT {CHUNK}",
            {"topic": topic, "partition": number, "last": last, "until": until},
        )
        more = bool(rows) and len(rows["offset"]) == CHUNK
        if rows:
            last = int(rows["offset"][-1])
            _fold(engine, partition, rows)
    if until < MAX_ID:
        engine.folded.last[partition] = max(until, engine.folded.last.get(partition, -1))


async def catch_up_all(engine: Engine, partitions: Iterable[Partition]) -> None:
    """:func:`catch_up` with several partitions in one query, as each costs ClickHouse as much as thousands of rows."""
    wanted = {partition: engine.folded.last.get(partition, -1) for partition in partitions}
    if not wanted:
        return
    beyond = " OR ".join(
        f"(topic = {quoted(topic)} AND partition = {number} AND offset > {last})"
        for (topic, number), last in wanted.items()
    )
    rows = await engine.events.query(
        f"SELECT topic, partition, first, {', '.join(ENGAGEMENT_COLUMNS)} FROM engagement WHERE {beyond}"
        f" ORDER BY topic, partition, offset LIMIT {CHUNK}"
    )
    if not rows:
        return
    if len(rows["offset"]) == CHUNK:
        for partition in wanted:
            await catch_up(engine, partition)
        return
    for topic, number in wanted:
        of_it = (rows["topic"] == topic) & (rows["partition"] == number)
        if of_it.any():
            _fold(engine, (topic, number), {name: column[of_it] for name, column in rows.items()})


def _fold(engine: Engine, partition: Partition, rows: Mapping[str, NDArray[Any]]) -> None:
    """Rows of one partition in offset order, those that memory has already left out."""
    # Meanwhile the partition may have come to this worker, or somebody else here has read the same rows.
    new = rows["offset"] > engine.folded.last.get(partition, -1)
    if new.any():
        last = int(rows["offset"][-1])
        source = Source(*partition, int(rows["first"][new][0]), last)
        # Arrow's columns are read-only, for which numba would compile every fold again; a selection is a copy.
        engagement = Engagement(source, **{name: rows[name][new] for name in ENGAGEMENT_COLUMNS})
        engine.state.duplicates.load(engagement.event_id)
        engine.state.apply(engagement)
        engine.folded.last[partition] = last


async def look_up(engine: Engine, pins: Iterable[int]) -> None:
    """Fold in what ClickHouse holds of these pins: a moment ago their partition may have been another worker's.

    Raises StoreUnavailable.
    """
    if asked := ", ".join(map(str, pins)):
        # IN takes the primary key where has() would read the whole table.
        await _take_pins(engine, f"pin IN ({asked})")
        await _take_words(engine, f"pin IN ({asked})")


async def _take_pins(engine: Engine, condition: str, parameters: Mapping[str, Any] | None = None) -> None:
    names = ("pin", "version", "deleted", "pinner", "board", "domain")
    rows = await engine.events.query(f"SELECT {', '.join(names)} FROM pins WHERE {condition}", parameters)
    if rows:
        engine.state.apply_pins(
            [(-1, _event(*row)) for row in zip(*(rows[name].tolist() for name in names), strict=True)]
        )


async def _take_words(engine: Engine, condition: str, parameters: Mapping[str, Any] | None = None) -> None:
    rows = await engine.events.query(f"SELECT {pin_words.COLUMNS} FROM pin_annotations WHERE {condition}", parameters)
    if rows:
        engine.state.take_words(rows)


async def _take_pictures(engine: Engine, condition: str, parameters: Mapping[str, Any] | None = None) -> None:
    rows = await engine.events.query(f"SELECT {pin_pictures.COLUMNS} FROM fingerprints WHERE {condition}", parameters)
    if rows:
        await pin_pictures.take(engine.state.pictures, engine.state.catalogue, engine.events, rows)


async def _take_safety(engine: Engine, condition: str, parameters: Mapping[str, Any] | None = None) -> None:
    rows = await engine.events.query(f"SELECT {pin_safety.COLUMNS} FROM safety WHERE {condition}", parameters)
    if rows:
        pin_safety.take(engine.state.safety, rows)


class Tail:
    """Follows the partitions that are not this worker's."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._since = engine.folded.clock - OVERLAP_MS
        self._slates_since = engine.folded.clock - OVERLAP_MS
        self._looks = 0
        #: How often partitions came, and how often they had when the last look at everything began.
        self._came = self._looked_after = 0
        self._news = asyncio.Event()

    def partitions_came(self) -> None:
        """Partitions are this worker's from now on, and one more look is owed, even if it has all of them.

        A holder commits what it has written, and before it had committed no other had the partition: so a look that
        begins now finds whatever Kafka does not deliver again.
        """
        self._came += 1
        self._news.set()

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until partitions come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    async def keep_up(self, mine: set[Partition], everything: set[Partition]) -> None:
        """One look at what others wrote, if this worker has partitions and there is anything to know.

        May be repeated. Raises StoreUnavailable.
        """
        came = self._came
        if mine and mine != everything:
            await self.follow(everything - mine)
        if mine and came != self._looked_after:
            await self._look()
            self._looked_after = came

    async def follow(self, others: Iterable[Partition]) -> None:
        """Look at what was counted in the ``others``, and each second time at pins, follows and who is erased.

        Raises StoreUnavailable.
        """
        others = set(others)
        # Slates first: what is done with them is put down to their sources.
        self._slates_since = await slate_memory.follow(self._engine.state, self._engine.events, self._slates_since)
        await catch_up_all(self._engine, sorted(each for each in others if each[0] in ENGAGEMENT_TOPICS))
        self._looks += 1
        if self._looks % 2 and any(topic in ("pins", "pinners") for topic, _ in others):
            await self._look()

    async def _look(self) -> None:
        # ClickHouse's own clock, which stamps the rows: this machine's may be off.
        began = await _clock(self._engine.events)
        await self._pins()
        await self._follows()
        await chosen_since(self._engine.state, self._engine.events, self._since)
        for pinner in await self._engine.erased.follow(self._engine.events, self._since):
            leave_memory(self._engine, pinner)
        self._since = began - OVERLAP_MS

    async def _pins(self) -> None:
        for take in (
            _take_pins,
            _take_words,
            _take_pictures,
            _take_safety,
        ):  # what is said of a pin counts when it is known
            await take(self._engine, "inserted > {since:Int64}", {"since": self._since})

    async def _follows(self) -> None:
        rows = await self._engine.events.query(
            "SELECT follower, followed, version, active FROM follows WHERE inserted > {since:Int64}",
            {"since": self._since},
        )
        if rows:
            follower, followed, version = (np.array(rows[name]) for name in ("follower", "followed", "version"))
            self._engine.state.follows.accept(follower, followed, version, rows["active"].astype(np.bool_))


async def _clock(events: EventStore) -> int:
    return int((await events.query("SELECT toUnixTimestamp64Milli(now64(3)) AS now"))["now"][0])


def _event(pin: int, version: int, deleted: int, pinner: int, board: int, domain: str) -> PinEvent:
    kind = "deleted" if deleted else "updated"
    return PinEvent(type=kind, time=version, pin=pin, pinner=pinner, board=board, domain=domain)

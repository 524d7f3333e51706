"""Engagement to ClickHouse: batches that wait together are written together, as one block.

An insert costs the same for one row as for thousands (a part in the table and in every view), so what comes in
while one is under way, or within a moment after, makes the next. A block is the unit of repetition: its id stands in
each of its rows, and its rows inserted again under that id count once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np

from operators.batch import ENGAGEMENT_COLUMNS, Engagement
from operators.identity import combined_id
from streams.ledger import Ledger
from streams.metrics import Metrics
from streams.pace import Pace
from streams.persist import persist
from streams.stores.protocols import EventStore, Repeated

Partition = tuple[str, int]
#: A block is due when its first batch has waited this long (seconds) or when it has so many rows.
WAIT = 0.3
FULL = 300_000
#: As long while the worker is behind: what is read is old anyway, and ClickHouse stores a row of a full block for half.
WAIT_BEHIND = 2.0
#: Inserting takes about this share of the time: where it is slow, blocks become larger, though none waits longer than
#: ``WAIT_SLOW``. The processor time goes to slates instead, which do not wait for ClickHouse.
SHARE, WAIT_SLOW = 0.1, 1.0
#: Rows that may wait; more hold the agents back, and with them the fetching.
MOST_WAITING = 600_000
_TICK = 0.01


class _Waiting(NamedTuple):
    engagement: Engagement
    since: float
    stored: asyncio.Future[None]

    @property
    def partition(self) -> Partition:
        return self.engagement.source[:2]


class EngagementWriter:
    """One for each worker: blocks go in one after the other, so that a crash can cut off only the last."""

    def __init__(
        self, events: EventStore, ledger: Ledger, metrics: Metrics, pace: Pace, most_waiting: int = MOST_WAITING
    ) -> None:
        self._events, self._ledger, self._metrics, self._pace = events, ledger, metrics, pace
        self._most_waiting = most_waiting
        self._waiting: deque[_Waiting] = deque()
        self._newest: dict[Partition, asyncio.Future[None]] = {}
        self._rows = 0
        self._last_took = 0.0  # seconds of the last insert
        self._came = 0.0  # when the last batch did
        self._has_room = asyncio.Event()
        self._has_room.set()

    @property
    def waiting(self) -> int:
        """Rows that wait or are being written."""
        return self._rows

    async def room(self) -> None:
        """Wait while too many rows do."""
        await self._has_room.wait()

    def write(self, engagement: Engagement, stored: asyncio.Future[None] | None = None) -> asyncio.Future[None]:
        """Take a batch; the future (a new one by default) is done when it is stored, and cancelled when its partition
        is given up.
        """
        loop = asyncio.get_running_loop()
        stored = loop.create_future() if stored is None else stored
        self._came = loop.time()
        waiting = _Waiting(engagement, self._came, stored)
        self._waiting.append(waiting)
        self._newest[waiting.partition] = stored
        self._count(len(engagement))
        return stored

    async def drain(self) -> None:
        """Wait until everything taken so far is stored, or given up."""
        if self._newest:
            await asyncio.wait(self._newest.values())

    def give_up(self, partitions: Iterable[Partition]) -> int:
        """Another worker has these partitions now and writes what waits here: drop it. Returns how many batches."""
        lost = set(partitions)
        kept: deque[_Waiting] = deque()
        for waiting in self._waiting:
            if waiting.partition in lost:
                waiting.stored.cancel()
                self._count(-len(waiting.engagement))
            else:
                kept.append(waiting)
        given_up = len(self._waiting) - len(kept)
        self._waiting = kept
        return given_up

    async def run(self, should_stop: Callable[[], bool]) -> None:
        """Write blocks until told to stop and nothing waits any more."""
        loop = asyncio.get_running_loop()
        while self._waiting or not should_stop():
            full = min(FULL, self._most_waiting)
            now = loop.time()
            # Where nothing comes any more, as at the end of a backlog, nothing is gained by waiting.
            waited = now - self._came >= WAIT or (self._waiting and now - self._waiting[0].since >= self._patience)
            if self._waiting and (self._rows >= full or should_stop() or waited):
                await self._write_block(self._take())
            else:
                await asyncio.sleep(_TICK)

    @property
    def _patience(self) -> float:
        """Seconds that a batch waits for others."""
        return WAIT_BEHIND if self._pace.behind else min(WAIT_SLOW, max(WAIT, self._last_took / SHARE))

    def _take(self) -> list[_Waiting]:
        taken = [self._waiting.popleft()]
        rows = len(taken[0].engagement)
        while self._waiting and rows + len(self._waiting[0].engagement) <= FULL:
            taken.append(self._waiting.popleft())
            rows += len(taken[-1].engagement)
        return taken

    async def _write_block(self, batches: list[_Waiting]) -> None:
        block = combined_id("block", *(batch.engagement.source.name for batch in batches))
        engagements = [batch.engagement for batch in batches if len(batch.engagement)]
        if engagements:
            columns = block_columns(engagements, block)
            claims = self._ledger.claims({batch.partition for batch in batches})
            insert = partial(self._events.insert, "engagement", columns, token=str(block), claims=claims)
            began = asyncio.get_running_loop().time()
            with self._metrics.batch_step("engagement", "clickhouse"):
                await persist("writing engagement", insert, self._metrics)
            self._last_took = asyncio.get_running_loop().time() - began
        for batch in batches:
            self._count(-len(batch.engagement))
            if not batch.stored.done():
                batch.stored.set_result(None)

    def _count(self, rows: int) -> None:
        self._rows += rows
        self._metrics.waiting("engagement", self._rows)
        if self._rows < self._most_waiting:
            self._has_room.set()
        else:
            self._has_room.clear()


def block_columns(engagements: list[Engagement], block: int) -> dict[str, np.ndarray | Repeated]:
    """The rows of the table ``engagement`` for some batches, in the table's own order: ClickHouse need not sort."""
    engagements = sorted(engagements, key=lambda each: each.source)
    counts = [len(engagement) for engagement in engagements]
    sources = [engagement.source for engagement in engagements]

    def repeated(values: list[int], dtype: type[np.generic]) -> np.ndarray:
        return np.repeat(np.array(values, dtype), counts)

    return {
        "topic": Repeated([source.topic for source in sources], counts),
        "partition": repeated([source.partition for source in sources], np.uint16),
        "first": repeated([source.first for source in sources], np.int64),
        "last": repeated([source.last for source in sources], np.int64),
        "block": np.full(sum(counts), block, np.int64),
        **{
            name: np.concatenate([getattr(engagement, name) for engagement in engagements])
            for name in ENGAGEMENT_COLUMNS
        },
    }

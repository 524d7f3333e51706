"""Rows of slates to ClickHouse, beside the feeds: no feed ever waits for them.

What is emitted waits here, a bounded number of slates. Those beyond it are not kept in memory: they are on the topic
``feed.candidates`` anyway, and are read back from there when ClickHouse takes rows again (``streams.slate_refill``).
A row is keyed by its slate, so to write one twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import numpy as np

from operators.slate.rows import rows
from operators.slate.slate import Slate
from streams.erasure import Erased
from streams.metrics import Metrics
from streams.persist import persist
from streams.slate_records import SlateRecords
from streams.stores.protocols import EventStore

log = logging.getLogger(__name__)
#: Slates that may wait: some 18 kB each.
MOST_WAITING = 5_000
#: Slates of one insert, and seconds that the first of them waits for others.
TOGETHER, WAIT = 500, 1.0
#: Seconds that are given to what still waits when the worker stops.
LAST_SECONDS = 2.0

#: Batches of the slates that were emitted from one moment to another (both ms, inclusive).
Refill = Callable[[int, int], AsyncIterator[Sequence[Slate]]]


class SlateWriter:
    """One for each worker."""

    def __init__(
        self, events: EventStore, erased: Erased, metrics: Metrics, refill: Refill, most: int = MOST_WAITING
    ) -> None:
        self._events, self._erased, self._metrics, self._refill, self._most = events, erased, metrics, refill, most
        self._waiting: deque[Slate] = deque()
        #: What slates were made from, written beside them.
        self.records = SlateRecords(events, erased, metrics)
        #: When the first and the last slate were emitted that found no place; None where all did.
        self._missed: tuple[int, int] | None = None

    @property
    def waiting(self) -> int:
        """Slates whose rows wait."""
        return len(self._waiting)

    def write(self, slates: Sequence[Slate]) -> None:
        """Take slates that were emitted. Never waits."""
        room = self._most - len(self._waiting)
        self._waiting.extend(slates[:room])
        if (beyond := slates[room:]) and self._missed is None:
            log.warning("%d slates wait for ClickHouse; later ones will be read from feed.candidates", self._most)
        for slate in beyond:
            self.missed(slate.emitted, slate.emitted)
        self._metrics.waiting("slates", len(self._waiting))

    def missed(self, first: int, last: int) -> None:
        """Slates emitted from ``first`` to ``last`` (ms) may have no rows: read them back when ClickHouse answers."""
        first_before, last_before = self._missed or (first, last)
        self._missed = min(first, first_before), max(last, last_before)

    async def run(self, should_stop: Callable[[], bool]) -> None:
        """Write what waits, for ever outlasting a ClickHouse that is gone, until told to stop."""
        await asyncio.gather(self._run(should_stop), self.records.run(should_stop))

    async def _run(self, should_stop: Callable[[], bool]) -> None:
        while not should_stop():
            await asyncio.sleep(WAIT)
            # What comes meanwhile waits for its own second: ten slates cost an insert nearly as much as many.
            for _ in range(-(-len(self._waiting) // TOGETHER)):
                await self._write_some()
            if self._missed is not None:
                missed, self._missed = self._missed, None
                await persist("reading slates back", partial(self._read_back, *missed), self._metrics)

    async def finish(self) -> None:
        """Write what waits if ClickHouse takes it soon; what stays is on ``feed.candidates`` only."""
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while self._waiting:
                    await self._write_some()
        except TimeoutError:
            log.warning("%d slates are not in ClickHouse; feed.candidates has them", len(self._waiting))

    async def _write_some(self) -> None:
        some = [self._waiting[at] for at in range(min(TOGETHER, len(self._waiting)))]
        await persist("writing slates", partial(self._insert, some), self._metrics)
        for _ in some:
            self._waiting.popleft()
        self._metrics.waiting("slates", len(self._waiting))

    async def _read_back(self, first: int, last: int) -> None:
        count = 0
        async for slates in self._refill(first, last):
            await self._insert(slates)
            count += len(slates)
        log.info("%d slates were read back from feed.candidates", count)

    async def _insert(self, slates: Sequence[Slate]) -> None:
        # Somebody may have been erased while their slate waited.
        gone = self._erased.mask(np.array([slate.pinner for slate in slates], np.int64))
        kept = [slate for slate, erased in zip(slates, gone.tolist(), strict=True) if not erased]
        if kept:
            await self._events.insert("slates", rows(kept))

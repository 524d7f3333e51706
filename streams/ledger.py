"""The ledger: how far ClickHouse has each partition, which is what is true after any crash.

Kafka's committed offset may be behind (the worker died before it committed), never ahead. When a partition is taken
up, it is claimed, so that nobody else writes it any more; its newest block is completed (a crash may have cut it off
between the raw rows and their views), and records that are stored or under way are skipped when Kafka delivers them
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from streams.recount import complete_last_blocks
from streams.stores.protocols import Claims, EventStore

Partition = tuple[str, int]


class Ledger:
    """Positions of the partitions that this worker holds."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._last: dict[Partition, int] = {}
        self._claims: dict[Partition, str] = {}
        self._locks: dict[Partition, asyncio.Lock] = {}
        #: How often each was forgotten.
        self._forgotten: dict[Partition, int] = {}

    async def last(self, partition: Partition) -> int:
        """The last offset that is taken; -1 for none. Asks ClickHouse once per assignment; raises as it does."""
        async with self._locks.setdefault(partition, asyncio.Lock()):
            if partition in self._last:
                return self._last[partition]
            forgotten = self._forgotten.get(partition, 0)
            # First the claim: what an earlier holder wrote is then all there, and it writes no more.
            claims = await self._events.claim([partition])
            stored = (await complete_last_blocks(self._events, [partition], claims)).get(partition, -1)
            # What was asked before the partition went away says nothing about it when it comes back.
            if forgotten == self._forgotten.get(partition, 0):
                self._claims.update(claims)
                self._last[partition] = stored
            return stored

    def holds(self, partition: Partition) -> bool:
        """Is the partition still this worker's?"""
        return partition in self._last

    def claims(self, partitions: Iterable[Partition]) -> Claims:
        """The claims under which rows of these partitions are written. Raises KeyError for one never taken up."""
        return {partition: self._claims[partition] for partition in partitions}

    def take(self, partition: Partition, last: int) -> None:
        """Everything up to ``last`` is on its way into ClickHouse."""
        self._last[partition] = last

    def forget(self, partitions: Iterable[Partition]) -> None:
        """These partitions are another worker's now."""
        for partition in partitions:
            self._last.pop(partition, None)
            self._forgotten[partition] = self._forgotten.get(partition, 0) + 1

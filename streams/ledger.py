"""The ledger: how far ClickHouse has each partition, which is what is true after any crash.

Kafka's committed offset may be behind (the worker died before it committed), never ahead. When a
partition is taken up, its newest batch is completed (a crash may have cut it off between the raw rows and
their views), and records that the ledger holds are skipped when Kafka delivers them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from operators.batch import Records, Source
from streams.recount import complete_last_batches
from streams.stores.protocols import EventStore

Partition = tuple[str, int]


class Ledger:
    """Positions of the partitions that this worker holds."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._last: dict[Partition, int] = {}
        self._locks: dict[Partition, asyncio.Lock] = {}

    async def last(self, partition: Partition) -> int:
        """The last offset that is stored and complete; -1 for none. Asks ClickHouse once per assignment."""
        async with self._locks.setdefault(partition, asyncio.Lock()):
            if partition not in self._last:
                stored = await complete_last_batches(self._events, [partition])
                self._last[partition] = stored.get(partition, -1)
        return self._last[partition]

    async def unseen(self, records: Records) -> Records | None:
        """The records that are not stored yet, or None when all are."""
        return records.after(await self.last((records.source.topic, records.source.partition)))

    def stored(self, source: Source) -> None:
        """The batch is in ClickHouse, whole."""
        self._last[source.topic, source.partition] = source.last

    def forget(self, partitions: Iterable[Partition]) -> None:
        """These partitions are another worker's now."""
        for partition in partitions:
            self._last.pop(partition, None)

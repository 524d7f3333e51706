"""What the stores hold, asked once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from streams.settings import Settings
from streams.stores.clickhouse import open_event_store

_COUNTS = (
    "SELECT (SELECT count() FROM engagement) AS events, (SELECT uniqExact(pin) FROM pin_vectors) AS pins, "
    "(SELECT uniqExact(object) FROM objects) AS objects"
)


@dataclass(frozen=True)
class Counts:
    """Raw engagement rows, pins with a vector and objects (ClickHouse); vectors of these and of windows in
    the index that serves (Milvus)."""

    events: int
    pins_understood: int
    objects: int
    vectors: int


def counts(settings: Settings) -> Counts:
    """Ask ClickHouse and Milvus. Raises StoreUnavailable."""
    return asyncio.run(_counts(settings))


def events_counted(settings: Settings) -> int:
    """Raw engagement rows. Raises StoreUnavailable."""
    return asyncio.run(_events_counted(settings))


async def _counts(settings: Settings) -> Counts:
    from streams.encoders.following import parts_that_serve  # Milvus's and Triton's clients take a second to load

    async with parts_that_serve(settings) as (store, _, vectors):
        row = await store.query(_COUNTS)
        stored = await vectors.count("pins") + await vectors.count("objects")
        return Counts(int(row["events"][0]), int(row["pins"][0]), int(row["objects"][0]), stored)


async def _events_counted(settings: Settings) -> int:
    store = open_event_store(settings)
    try:
        return int((await store.query("SELECT count() AS events FROM engagement"))["events"][0])
    finally:
        await store.close()

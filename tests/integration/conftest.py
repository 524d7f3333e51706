"""One worker for all tests of the whole engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from infra.migrate import migrate
from streams.settings import Settings
from streams.stores.clickhouse import open_event_store
from tests.integration.running import Worker


@pytest.fixture(scope="session")
def worker(kafka: Settings, clickhouse: Settings, milvus: Settings, triton: Settings) -> Iterator[Worker]:
    """A running worker on real Kafka, ClickHouse, Milvus and Triton."""

    async def tables() -> None:
        store = open_event_store(clickhouse)
        await migrate(store)
        await store.close()

    asyncio.run(tables())
    running = Worker(kafka)
    running.start()
    yield running
    running.stop()

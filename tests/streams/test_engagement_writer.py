"""When a block goes to ClickHouse: soon while the worker keeps up, full while it is behind."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from streams.engagement_writer import WAIT, WAIT_BEHIND, EngagementWriter
from streams.ledger import Ledger
from streams.metrics import Metrics
from streams.pace import BEHIND, Pace
from streams.stores.clickhouse_http import ClickHouseHTTP
from tests.clickhouse_process import EmbeddedServer, engagement

#: Rows that may wait in these tests, and so a full block.
FULL = 1000
PARTITION = ("saves", 0)


def batch(first: int, rows: int) -> Engagement:
    columns = engagement(first, rows) | {"sources": np.zeros(rows, np.int64)}
    taken = {name: np.asarray(columns[name]) for name in ENGAGEMENT_COLUMNS}
    return Engagement(source=Source(*PARTITION, first, first + rows - 1), **taken)


async def blocks(store: ClickHouseHTTP) -> int:
    return int((await store.query("SELECT uniqExact(block) AS n FROM engagement"))["n"][0])


@pytest.mark.real
async def test_a_block_waits_to_be_full_only_while_the_worker_is_behind_and_more_comes(store: ClickHouseHTTP) -> None:
    ledger, pace = Ledger(store), Pace()
    await ledger.last(PARTITION)
    writer = EngagementWriter(store, ledger, Metrics(), pace, FULL)
    stop = asyncio.Event()
    running = asyncio.create_task(writer.run(stop.is_set))
    hour = 3_600_000

    pace.read(0, hour)
    come: list[asyncio.Future[None]] = []
    for step in range(6):
        come.append(writer.write(batch(10 * step, 10)))
        await asyncio.sleep(WAIT / 2)
    assert not come[0].done() and await blocks(store) == 0
    come.append(writer.write(batch(60, FULL - 60)))
    await asyncio.wait_for(asyncio.gather(*come), 20)
    assert await blocks(store) == 1, "all went in together, as soon as the block was full"

    began = asyncio.get_running_loop().time()
    await asyncio.wait_for(writer.write(batch(FULL, 10)), 20)
    assert WAIT <= asyncio.get_running_loop().time() - began < WAIT_BEHIND, "nothing more came"
    pace.read(hour, hour + int(BEHIND * 100))
    began = asyncio.get_running_loop().time()
    await asyncio.wait_for(writer.write(batch(FULL + 10, 10)), 20)
    assert asyncio.get_running_loop().time() - began < WAIT_BEHIND
    assert await blocks(store) == 3
    stop.set()
    await running


class Slow(ClickHouseHTTP):
    """The same ClickHouse, farther away."""

    async def insert(self, *arguments: Any, **more: Any) -> None:
        await asyncio.sleep(0.09)
        await super().insert(*arguments, **more)


@pytest.mark.real
async def test_where_inserts_take_long_blocks_are_larger(server: EmbeddedServer, store: ClickHouseHTTP) -> None:
    far = Slow(server.url)
    ledger, before = Ledger(store), await blocks(store)
    await ledger.last(PARTITION)
    writer = EngagementWriter(far, ledger, Metrics(), Pace(), FULL)
    stop = asyncio.Event()
    running = asyncio.create_task(writer.run(stop.is_set))
    stored = []
    for number in range(40):
        stored.append(writer.write(batch(10 * FULL + number, 1)))
        await asyncio.sleep(0.1)
    await asyncio.wait_for(asyncio.gather(*stored), 20)
    assert 2 <= await blocks(store) - before <= 6, "every 0.3 s it would be ten"
    stop.set()
    await running
    await far.close()

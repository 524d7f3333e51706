"""The Faust app: which agent reads which topic. ``faust -A streams.app worker`` runs it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, cast

from faust.types import TP

from operators.batch import Records
from operators.events import ENGAGEMENT_TOPICS
from streams.faust_app import NoTables, PinStream, broker, credentials
from streams.persist import persist
from streams.readings import READINGS, Reading
from streams.resuming import resume
from streams.services import start_beside
from streams.settings import Settings
from streams.tail import catch_up
from streams.transport.batches import BatchTransport, batches_of, deliveries

log = logging.getLogger(__name__)

settings = Settings.load()
app = PinStream(
    settings.group,
    broker=broker(settings),
    broker_credentials=credentials(settings),
    broker_commit_interval=0.5,
    broker_session_timeout=settings.session_seconds,
    # Also how soon a worker hears that the group shares anew; until it does, nobody has what is given away.
    broker_heartbeat_interval=1.0,
    # Batches that go into the agents' queues at a time; before the next, Faust looks which are full.
    broker_max_poll_records=16,
    consumer_auto_offset_reset="earliest",
    # Bytes that one fetch brings of a partition; JSON in lz4 is five times as many when it is decompressed.
    consumer_max_fetch_size=512 * 1024,
    # A partition is given up only after the batches in hand are stored, so that no two workers write one batch.
    stream_wait_empty=True,
    # Seconds that one batch may take before Faust says that the agent hangs: vision takes its time.
    stream_processing_timeout=600.0,
    broker_max_poll_interval=1800.0,
    datadir=str(settings.home / "data" / "faust"),
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_bind=settings.host,
    web_host=settings.host,
    web_port=settings.port("faust"),
    store="memory://",
    TableManager=NoTables,
)
app.settings = settings
cast(BatchTransport, app.transport).batch_topics = {topic: reading.most for topic, reading in READINGS.items()}


def _agent(topic: str, reading: Reading) -> None:
    async def read(stream: Any) -> None:
        async def take(records: Records) -> asyncio.Future[None] | None:
            stored = await reading.handle(app.engine, records)
            app.read[TP(topic, records.source.partition)] = records.source.last + 1
            return stored

        await deliveries(stream, take, partial(_crash, topic))

    app.agent(batches_of(app, topic, reading.waiting), name=f"streams.agents.{topic}")(read)


async def _crash(topic: str, failure: BaseException) -> None:
    """A failure that no agent expects stops the worker: whoever supervises it starts it afresh from the ledger."""
    log.critical("the agent of %s failed and the worker stops", topic, exc_info=failure)
    await app.crash(failure)


for _topic, _reading in READINGS.items():
    _agent(_topic, _reading)


async def _forget(_app: Any, revoked: set[TP], **_: Any) -> None:
    lost = [(tp.topic, tp.partition) for tp in revoked]
    app.engine.ledger.forget(lost)
    app.engine.schedule.give_up(lost)
    app.engine.gathering.give_up(lost)
    if batches := app.engine.writer.give_up(lost):
        # Rare: Faust waits for what is under way. But memory now holds events that the ledger does not, and would take
        # them for duplicates if the partition came back: only a worker that rebuilds its memory is right again.
        await app.crash(
            RuntimeError(f"{batches} batches were taken away before they were stored: start the worker again")
        )


async def _take_up(_app: Any, assigned: set[TP], **_: Any) -> None:
    app.tail.partitions_came()
    mine = [(tp.topic, tp.partition) for tp in assigned if tp.topic in ENGAGEMENT_TOPICS]
    app.add_future(_read_ledger([each for each in mine if not app.engine.ledger.holds(each)]))


async def _read_ledger(partitions: list[tuple[str, int]]) -> None:
    """Before the first record comes: a slate must not wait for a ClickHouse that has gone since."""
    engine = app.engine

    async def read(partition: tuple[str, int]) -> None:
        last = await persist("reading the ledger", partial(engine.ledger.last, partition), engine.metrics)
        if engine.folded.last.get(partition, -1) < last:
            # What its last holder wrote, even if nothing more ever comes.
            await persist("catching up", partial(catch_up, engine, partition, last), engine.metrics)

    await asyncio.gather(*map(read, partitions))
    await resume(engine, partitions)


cast(Any, app.on_partitions_revoked).connect(_forget)
cast(Any, app.on_partitions_assigned).connect(_take_up)


start_beside(app)

__all__ = ["app", "settings"]

"""The Faust app: which agent reads which topic. ``faust -A streams.app worker`` runs it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import ssl
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple, cast

import faust
from faust.tables import TableManager
from faust.types import TP
from mode import Service

from operators.batch import Records
from operators.events import ENGAGEMENT_TOPICS
from streams import opening, pin_judging
from streams.agents import catalogue, crops, engagement, feeds, pinners, vision
from streams.api.server import ApiServer
from streams.encoders.filling import IDLE, Filler, lead
from streams.encoders.following import follow
from streams.engine import Engine
from streams.graph_compaction import compact
from streams.instance import hold_name
from streams.ladder import Ladder
from streams.memory import collect_seldom, give_back
from streams.persist import persist
from streams.pin_judging import Judging
from streams.resuming import resume
from streams.saves_model import learn
from streams.settings import Settings
from streams.slate_spec import spec_of
from streams.tail import Tail, catch_up
from streams.transport.batches import BatchConsumer, BatchTransport, batches_of, deliveries

log = logging.getLogger(__name__)
#: Seconds between looks at which encoder serves.
FOLLOW_SECONDS = 0.5
#: Seconds between looks at whether the board graph is worth compacting.
COMPACT_SECONDS = 5.0
#: Seconds between looks at how far this worker is behind, and at which parts answer.
LAG_SECONDS, LADDER_SECONDS = 2.0, 5.0
#: How long a rebalance waits for pins and pinners in hand, seconds. For engagement it waits until it is stored.
LET_GO_SECONDS = 1.0
#: After this share of ``stop_seconds`` a stop no longer waits for what is not stored.
GIVE_UP_SHARE = 0.5


class Reading(NamedTuple):
    """How a topic is read."""

    #: Returns a future when the batch may be acknowledged only later.
    handle: Callable[[Engine, Records], Coroutine[Any, Any, asyncio.Future[None] | None]]
    #: The most records of one batch.
    most: int
    #: Batches that may wait for the agent, of all partitions together.
    waiting: int = 64


async def _see(engine: Engine, records: Records) -> None:
    await vision.handle(engine, records)


READINGS = {
    **dict.fromkeys(ENGAGEMENT_TOPICS, Reading(engagement.handle, most=50_000, waiting=40)),
    "pins": Reading(catalogue.handle, most=5_000),
    # Understanding takes a tenth of a second a pin: short batches, so that a crash repeats little.
    "pins.accepted": Reading(_see, most=32, waiting=1024),
    "pinners": Reading(pinners.handle, most=5_000),
    "crops": Reading(crops.handle, most=5_000),
}


class NoTables(TableManager):
    """Faust's, which waits a second at its start for tables to be made. Here are none, so nothing is waited for."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class PinStream(faust.App):
    """Faust with an engine that is open before the first record and closed after the last."""

    engine: Engine
    tail: Tail
    #: The next offset to work on, of each partition taken up so far.
    read: dict[TP, int]

    async def on_start(self) -> None:
        collect_seldom()
        give_back()
        self.read = {}
        # Not when the app is made: who only imports it is no worker.
        cast(Any, self.conf).consumer_group_instance_id = hold_name(settings)
        self.engine = await opening.open_engine(settings)
        self.tail = Tail(self.engine)
        # What is alive now stays alive: the collector need not look at it again. To look for the few hundred objects
        # that are dead by now would take a fifth of a second.
        gc.freeze()
        await super().on_start()

    async def stop(self) -> None:
        """Stop within ``settings.stop_seconds``, whatever part is gone."""
        # A thread, as the loop itself may be held up; it stays until the process is gone.
        timer = threading.Timer(settings.stop_seconds, _end)
        timer.daemon = True
        timer.start()
        await super().stop()

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        letting_go = asyncio.create_task(self._let_go())
        try:
            await super()._on_partitions_revoked(revoked)
        finally:
            letting_go.cancel()

    async def _let_go(self) -> None:
        """Pins that wait for a part that is gone must not hold up the whole group: they are read again."""
        await asyncio.sleep(LET_GO_SECONDS)
        cast(BatchConsumer, self.consumer).let_go(lambda tp: tp.topic not in ENGAGEMENT_TOPICS)

    async def _stop_consumer(self) -> None:
        giving_up = asyncio.create_task(self._give_up())
        try:
            await super()._stop_consumer()
        finally:
            giving_up.cancel()

    async def _give_up(self) -> None:
        """Faust waits until all that was taken is stored. That is not for ever: what is not committed comes again."""
        seconds = settings.stop_seconds * GIVE_UP_SHARE
        await asyncio.sleep(seconds)
        unstored = cast(Any, self.consumer)._unacked_messages
        lost = {(message.tp.topic, message.tp.partition) for message in unstored}
        log.error(
            "after %g s %d batches of %s are not stored: they are given up and Kafka delivers them again",
            seconds, len(unstored), ", ".join(sorted({topic for topic, _ in lost})),
        )  # fmt: skip
        self.engine.writer.give_up(lost)
        unstored.clear()

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        if hasattr(self, "engine"):
            await opening.close_engine(self.engine)


def _end() -> None:
    log.critical(
        "not stopped after %g s: the process ends now, and the next start reads on from the ledger",
        settings.stop_seconds,
    )
    os._exit(1)


def _broker(settings: Settings) -> str:
    return ";".join(f"batches://{address.strip()}" for address in settings.kafka_bootstrap.split(","))


def _credentials(settings: Settings) -> Any:
    if settings.kafka_security == "PLAINTEXT":
        return None
    context = None
    if settings.kafka_security.endswith("SSL"):
        context = ssl.create_default_context(cafile=settings.kafka_ca_file or None)
    if settings.kafka_security == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        username=settings.kafka_username,
        password=settings.kafka_password,
        mechanism=settings.kafka_sasl_mechanism,
        ssl_context=context,
    )


settings = Settings.load()
app = PinStream(
    settings.group,
    broker=_broker(settings),
    broker_credentials=_credentials(settings),
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


@app.service
class Writer(Service):
    """Writes engagement to ClickHouse in blocks."""

    @Service.task
    async def _write(self) -> None:
        await app.engine.writer.run(lambda: self.should_stop)


@app.service
class Slates(Service):
    """Writes rows of slates to ClickHouse, beside the feeds."""

    @Service.task
    async def _write(self) -> None:
        await app.engine.slate_writer.run(lambda: self.should_stop)


@app.service
class Others(Service):
    """Keeps memory up with what other workers of the group write."""

    @Service.task
    async def _follow(self) -> None:
        tail = app.tail
        while not self.should_stop:
            await self.wait(tail.pause(settings.follow_seconds))
            mine = {(tp.topic, tp.partition) for tp in app.consumer.assignment()}
            counts = {topic: app.consumer.topic_partitions(topic) or 0 for topic in READINGS}
            everything = {(topic, number) for topic, count in counts.items() for number in range(count)}
            await persist("reading what others wrote", partial(tail.keep_up, mine, everything), app.engine.metrics)


@app.service
class Encoders(Service):
    """Answers with the encoder that serves; one worker of the group fills the indexes of the others."""

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            await persist("reading which encoder serves", partial(follow, app.engine), app.engine.metrics)
            await self.sleep(FOLLOW_SECONDS)

    @Service.task
    async def _fill(self) -> None:
        filler = Filler(app.engine)
        while not self.should_stop:
            leads = TP("pins.accepted", 0) in app.consumer.assignment()
            await self.sleep(await lead(filler) if leads else IDLE)


@app.service
class Scores(Service):
    """One worker of the group judges pins that the safety model could not be asked about."""

    @Service.task
    async def _judge(self) -> None:
        judging = Judging(app.engine)
        while not self.should_stop:
            if TP("pins.accepted", 0) in app.consumer.assignment():
                await self.sleep(await pin_judging.lead(judging))
            else:
                judging.stand_down()
                await self.sleep(IDLE)


@app.service
class Lag(Service):
    """Tells how far this worker is behind."""

    @Service.task
    async def _measure(self) -> None:
        while not self.should_stop:
            await self.sleep(LAG_SECONDS)
            behind = dict.fromkeys(READINGS, 0)
            for tp in app.consumer.assignment():
                # Faust says int, but it is None until the partition was fetched from once.
                end, read = cast("int | None", app.consumer.highwater(tp)), app.read.get(tp)
                if tp.topic in behind and end is not None and read is not None:
                    behind[tp.topic] += max(0, end - read)
            corrupt = cast(BatchTransport, app.transport).corrupt
            app.engine.corrupt = {f"{tp.topic}:{tp.partition}": why for tp, why in corrupt.items()}
            for topic, events in behind.items():
                app.engine.metrics.lag(topic, events)
                app.engine.metrics.corrupt(topic, sum(tp.topic == topic for tp in corrupt))


@app.service
class Watch(Service):
    """Asks every part, so that metrics tell the rung of the ladder also while nobody asks."""

    @Service.task
    async def _look(self) -> None:
        ladder = Ladder(app.engine)
        while not self.should_stop:
            await ladder.look()
            spec_of(app.engine.settings, app.engine.metrics)  # also while nobody gets a slate
            await self.sleep(LADDER_SECONDS)


@app.service
class Graph(Service):
    """Compacts the board graph, and learns from it what goes together."""

    @Service.task
    async def _compact(self) -> None:
        while not self.should_stop:
            await self.sleep(COMPACT_SECONDS)
            try:
                await compact(app.engine.state)
            except MemoryError:
                log.exception("the board graph is not compacted: give the worker more memory")

    @Service.task
    async def _learn(self) -> None:
        while not self.should_stop:
            await self.sleep(await learn(app.engine.state))


@app.service
class Feeds(Service):
    """Builds the slates that are due."""

    @Service.task
    async def _build(self) -> None:
        await feeds.run(app.engine, lambda: self.should_stop)


@app.service
class Api(Service):
    """The HTTP API, in the worker's own loop beside the state that it reads."""

    async def on_start(self) -> None:
        self._server = ApiServer(app.engine)
        await self._server.start()

    async def on_stop(self) -> None:
        await self._server.stop()


__all__ = ["app", "settings"]

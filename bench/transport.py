"""How fast one worker process takes records from a real broker and counts them, doing nothing else with them.

``python -m bench.transport``: a broker of its own in ``.pinstream/bench-transport``, JSON events of 127 bytes in four
partitions, every way in a process of its own, counts checked, medians. Compare only figures of one run.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, cast

import aiokafka
import click
import faust
import numpy as np
import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from infra import supervisor
from operators.batch import Records, Source
from streams.cli.running import home_of_its_own, link_installed
from streams.cli.tables import table
from streams.settings import Settings
from streams.transport import batches
from streams.transport.records_consumer import RecordsConsumer

PARTITIONS, SIZE, MOST = 4, 127, 20_000
FETCH_BYTES = 1 << 20
CODECS = ("none", "lz4", "zstd")


class Run(NamedTuple):
    """What one process measured, from the first records that came to the last."""

    events: int
    seconds: float
    rss_mib: float


class Count:
    """Counts what arrives and ends when all has."""

    def __init__(self, events: int) -> None:
        self.left, self.first, self.events = events, 0.0, 0
        self.seconds = 0.0
        self.done = asyncio.Event()

    def add(self, events: int) -> None:
        now = time.perf_counter()
        if self.done.is_set():
            self.left -= events
            return
        if not self.first:
            self.first = now  # what came with the first fetch is not counted: it was waited for
        else:
            self.events += events
        self.left -= events
        if self.left <= 0:
            self.seconds = now - self.first
            self.done.set()


async def by_consumer(consumer: aiokafka.AIOKafkaConsumer, count: Count) -> None:
    await consumer.start()
    while not count.done.is_set():
        fetched = await consumer.getmany(timeout_ms=1000)
        if fetched:
            count.add(sum(len(item) if isinstance(item, Records) else 1 for some in fetched.values() for item in some))
    await consumer.stop()


async def aiokafka_alone(broker: str, topic: str, count: Count) -> None:
    options: dict[str, Any] = {"max_partition_fetch_bytes": FETCH_BYTES, "auto_offset_reset": "earliest"}
    await by_consumer(aiokafka.AIOKafkaConsumer(topic, bootstrap_servers=broker, **options), count)


async def ours_alone(broker: str, topic: str, count: Count) -> None:
    options: dict[str, Any] = {"max_partition_fetch_bytes": FETCH_BYTES, "auto_offset_reset": "earliest"}
    consumer = RecordsConsumer(topic, batch_topics={topic: MOST}, bootstrap_servers=broker, **options)
    await by_consumer(consumer, count)


async def by_faust(scheme: str, broker: str, topic: str, count: Count, transport: Any = None) -> None:
    app = faust.App(
        f"bench-{time.time_ns()}",
        broker=f"{scheme}://{broker}",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=tempfile.mkdtemp(),
        loop=asyncio.get_running_loop(),
    )
    if scheme == "batches":
        if transport:
            app.transport = transport(app.conf.broker_consumer, app, app.loop)
        cast(batches.BatchTransport, app.transport).batch_topics = {topic: MOST}

        async def handle(records: Records) -> None:
            count.add(len(records))

        async def read(stream: Any) -> None:
            await batches.deliveries(stream, handle, logging.error)

        channel = batches.batches_of(app, topic)
    else:

        async def read(stream: Any) -> None:
            async for _ in stream:
                count.add(1)

        channel = app.topic(topic, schema=batches.RecordsSchema())

    app.agent(channel, name="read")(read)
    await app.start()
    await count.done.wait()
    await app.stop()


class RecordObjectsThread(batches.BatchConsumerThread):
    on_start = driver.AIOKafkaConsumerThread.on_start


class RecordObjects(batches.BatchConsumer):
    """The transport before it decoded for itself: a fetch a message, made of aiokafka's records."""

    def _new_consumer_thread(self) -> RecordObjectsThread:
        return RecordObjectsThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109
        fetched, active = await super()._wait_next_records(timeout)
        return {tp: [self._records(tp, some)] for tp, some in (fetched or {}).items() if some}, active

    def _records(self, tp: TP, some: list[Any]) -> Records:
        source = Source(tp.topic, tp.partition, some[0].offset, some[-1].offset)
        offsets = np.fromiter((record.offset for record in some), np.int64, len(some))
        logged = np.fromiter((record.timestamp for record in some), np.int64, len(some))
        return Records.of(source, offsets, logged, [record.value for record in some])


class RecordObjectsTransport(batches.BatchTransport):
    Consumer = RecordObjects


#: Way → how, and the share of the events that it gets (Faust's own is slow).
WAYS: dict[str, tuple[Callable[[str, str, Count], Coroutine[Any, Any, None]], float]] = {
    "aiokafka, getmany": (aiokafka_alone, 1),
    "ours, without Faust": (ours_alone, 1),
    "Faust as it ships, an event a turn": (lambda b, t, c: by_faust("kafka", b, t, c), 0.02),
    "Faust, a fetch a turn, an object a record": (
        lambda b, t, c: by_faust("batches", b, t, c, RecordObjectsTransport),
        1,
    ),
    "Faust, ours": (lambda b, t, c: by_faust("batches", b, t, c), 1),
}


def peak_mib() -> float:
    """The most memory this process held; ``getrusage`` would tell the parent's where that was more."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def process(way: str, broker: str, topic: str, events: int, answer: Any) -> None:
    """One measured process."""
    logging.disable(logging.WARNING)

    async def measured() -> Run:
        count = Count(events)
        await WAYS[way][0](broker, topic, count)
        share = WAYS[way][1]  # of a part of a topic, more may come before the end
        if (count.left and share == 1) or not count.events:
            raise RuntimeError(f"{way}: {-count.left} events too many, or all came with the first fetch")
        return Run(count.events, count.seconds, peak_mib())

    answer.send(asyncio.run(measured()))


def run(way: str, broker: str, topic: str, events: int) -> Run:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=process, args=(way, broker, topic, events, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError:
        raise click.ClickException(f"{way}: the process ended without an answer") from None
    finally:
        child.join(20)
        if child.is_alive():
            child.kill()


def produce(broker: str, topic: str, events: int, codec: str) -> None:
    """The same events for every codec, in four partitions."""
    admin = AdminClient({"bootstrap.servers": broker})
    for created in admin.create_topics([NewTopic(topic, PARTITIONS, 1)]).values():
        created.result()
    producer = Producer({"bootstrap.servers": broker, "compression.type": codec, "linger.ms": 50})
    chance = np.random.default_rng(0)
    ids = chance.integers(1, 2**53, (events, 3)).tolist()
    for number, (event, pinner, pin) in enumerate(ids):
        value = b'{"event_id":%d,"time":%d,"pinner":%d,"pin":%d,"board":%d,"surface":"home","position":%d' % (
            event,
            1_770_000_000_000 + number,
            pinner % 1_000_000,
            pin % 10_000_000,
            pinner % 5_000_000,
            number % 50,
        )
        value = (value + b',"mood":"').ljust(SIZE - 2, b"a") + b'"}'
        while True:
            try:
                producer.produce(topic, value, partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    if left := producer.flush(120):
        raise click.ClickException(f"{left} events of {topic} were not delivered")


@click.command("transport")
@click.option("--events", default=1_000_000, show_default=True, help="Events of each topic.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each way; the median is shown.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object instead of a table.")
def command(events: int, rounds: int, as_json: bool) -> None:
    """Events/s and memory of each way to take records from Kafka."""
    installed = Settings.load()
    settings = home_of_its_own(installed, "bench-transport")
    supervisor.install(installed, ["kafka"])
    link_installed(installed.home, settings.home)
    figures: list[dict[str, Any]] = []
    try:
        supervisor.up(settings, lambda line: click.echo(line, err=True), names=["kafka"])
        for codec in CODECS:
            produce(settings.kafka_bootstrap, f"events-{codec}", events, codec)
        runs: dict[tuple[str, str], list[Run]] = {(codec, way): [] for codec in CODECS for way in WAYS}
        for _ in range(rounds):
            for codec, way in runs:
                taken = run(way, settings.kafka_bootstrap, f"events-{codec}", int(events * WAYS[way][1]))
                runs[codec, way].append(taken)
                click.echo(f"{codec}, {way}: {taken.events / taken.seconds:,.0f}/s", err=True)
        for (codec, way), some in runs.items():
            rate = statistics.median(one.events / one.seconds for one in some)
            rss = statistics.median(one.rss_mib for one in some)
            figures.append({"codec": codec, "way": way, "events_per_second": round(rate), "rss_mib": round(rss)})
    finally:
        supervisor.down(settings, lambda line: click.echo(line, err=True))
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    if as_json:
        click.echo(orjson.dumps({"machine": machine, "events": events, "rounds": rounds, "figures": figures}))
    else:
        click.echo(table(("codec", "way", "events/s", "RSS MiB"), [tuple(figure.values()) for figure in figures]))


if __name__ == "__main__":
    command()

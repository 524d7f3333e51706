"""Topics of a test's own on the real broker, and Faust apps that read them in batches."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from pathlib import Path
from typing import Any

import faust
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from operators.batch import Records
from streams.settings import Settings
from streams.transport.batches import BatchTransport, batches_of, deliveries

PARTITIONS = 3


def new_topic(settings: Settings) -> str:
    """A topic that nobody has used."""
    name = f"batches-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        future.result()
    return name


def produce(settings: Settings, topic: str, first: int, count: int, compression: str = "none") -> None:
    """Numbers as text, each in the partition that is its rest by :data:`PARTITIONS`."""
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap, "compression.type": compression})
    for number in range(first, first + count):
        producer.produce(topic, str(number).encode(), partition=number % PARTITIONS)
        producer.poll(0)
    assert producer.flush(20) == 0


def committed(settings: Settings, group: str, topic: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": group})
    positions = consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=10)
    consumer.close()
    return {position.partition: position.offset for position in positions}


class Reader:
    """A Faust app that keeps what it is handed; ``fail_at`` makes it fail on that record."""

    def __init__(
        self,
        settings: Settings,
        topic: str,
        group: str,
        *,
        most: int = 100,
        fail_at: int = -1,
        commit_interval: float = 0.2,
        pause: float = 0.0,
        waiting: int = 64,
    ) -> None:
        self.seen: dict[int, list[int]] = defaultdict(list)
        self.sizes: list[int] = []
        self.failures: list[BaseException] = []
        self.app = faust.App(
            group,
            broker=f"batches://{settings.kafka_bootstrap}",
            broker_commit_interval=commit_interval,
            broker_max_poll_records=16,
            consumer_auto_offset_reset="earliest",
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            datadir=str(settings.home / f"faust-{group}"),
            loop=asyncio.get_running_loop(),
        )
        assert isinstance(self.app.transport, BatchTransport)
        self.app.transport.batch_topics = {topic: most}

        #: Handles nothing while it is not set.
        self.goes_on = asyncio.Event()
        self.goes_on.set()

        async def handle(records: Records) -> None:
            await self.goes_on.wait()
            numbers = [int(value or b"") for value in records.values]
            if fail_at in numbers:
                raise RuntimeError("this batch fails")
            assert records.offsets[0] == records.source.first and records.offsets[-1] == records.source.last
            await asyncio.sleep(pause)
            self.seen[records.source.partition] += numbers
            self.sizes.append(len(numbers))

        async def failed(failure: BaseException) -> None:
            self.failures.append(failure)

        async def read(stream: Any) -> None:
            await deliveries(stream, handle, failed)

        self.app.agent(batches_of(self.app, topic, waiting), name="read")(read)

    @property
    def count(self) -> int:
        return sum(map(len, self.seen.values()))

    async def until(self, count: int, seconds: float = 40) -> None:
        async with asyncio.timeout(seconds):
            while self.count < count:
                await asyncio.sleep(0.05)


def spoil(settings: Settings, topic: str, partition: int, value: bytes) -> None:
    """Change a byte of a stored record, as a bad disk would; a broker does not look when it sends it."""
    (log,) = (path for path in Path(settings.home).rglob(f"{topic}-{partition}/*.log"))
    stored = log.read_bytes()
    place = stored.index(value)
    with log.open("r+b") as file:
        file.seek(place)
        file.write(b"#")

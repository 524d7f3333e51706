"""The batch transport on a real broker: every record once, in order, committed only when done."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from typing import Any

import faust
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from operators.batch import Records
from streams.settings import Settings
from streams.transport.batches import BatchTransport, RecordsSchema, deliveries

PARTITIONS = 3


@pytest.fixture
def topic(kafka: Settings) -> str:
    name = f"batches-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.kafka_bootstrap})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1)]).values():
        future.result()
    return name


def produce(settings: Settings, topic: str, first: int, count: int, compression: str = "none") -> None:
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

    def __init__(self, settings: Settings, topic: str, group: str, *, most: int = 100, fail_at: int = -1) -> None:
        self.seen: dict[int, list[int]] = defaultdict(list)
        self.sizes: list[int] = []
        self.failures: list[BaseException] = []
        self.app = faust.App(
            group,
            broker=f"batches://{settings.kafka_bootstrap}",
            broker_commit_interval=0.2,
            consumer_auto_offset_reset="earliest",
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            datadir=str(settings.home / f"faust-{group}"),
            loop=asyncio.get_running_loop(),
        )
        assert isinstance(self.app.transport, BatchTransport)
        self.app.transport.batch_topics = {topic: most}

        async def handle(records: Records) -> None:
            numbers = [int(value or b"") for value in records.values]
            if fail_at in numbers:
                raise RuntimeError("this batch fails")
            assert records.offsets[0] == records.source.first and records.offsets[-1] == records.source.last
            self.seen[records.source.partition] += numbers
            self.sizes.append(len(numbers))

        async def failed(failure: BaseException) -> None:
            self.failures.append(failure)

        async def read(stream: Any) -> None:
            await deliveries(stream, handle, failed)

        self.app.agent(self.app.topic(topic, schema=RecordsSchema(), maxsize=64), name="read")(read)

    @property
    def count(self) -> int:
        return sum(map(len, self.seen.values()))

    async def until(self, count: int, seconds: float = 40) -> None:
        async with asyncio.timeout(seconds):
            while self.count < count:
                await asyncio.sleep(0.05)


@pytest.mark.real
async def test_every_record_comes_once_in_order_and_is_committed(kafka: Settings, topic: str) -> None:
    group = f"group-{topic}"
    produce(kafka, topic, 0, 3_000)
    produce(kafka, topic, 3_000, 3_000, compression="zstd")
    reader = Reader(kafka, topic, group)
    await reader.app.start()
    try:
        await reader.until(6_000)
        produce(kafka, topic, 6_000, 300)
        await reader.until(6_300)
        await asyncio.sleep(1)
    finally:
        await reader.app.stop()
    for partition, numbers in reader.seen.items():
        assert numbers == list(range(partition, 6_300, PARTITIONS))
    assert max(reader.sizes) == 100, "a batch is never longer than asked for"
    assert committed(kafka, group, topic) == dict.fromkeys(range(PARTITIONS), 2_100)


@pytest.mark.real
async def test_a_batch_that_failed_is_not_committed_and_comes_again(kafka: Settings, topic: str) -> None:
    group = f"group-{topic}"
    produce(kafka, topic, 0, 900)
    poisoned = 301  # partition 1, offset 100
    reader = Reader(kafka, topic, group, most=50, fail_at=poisoned)
    await reader.app.start()
    async with asyncio.timeout(40):
        while not reader.failures:
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    await reader.app.stop()
    assert committed(kafka, group, topic)[1] <= 100

    again = Reader(kafka, topic, group, most=50)
    await again.app.start()
    await again.until(900 - reader.count)
    await again.app.stop()
    for partition in range(PARTITIONS):
        both = sorted(set(reader.seen[partition]) | set(again.seen[partition]))
        assert both == list(range(partition, 900, PARTITIONS))
    assert poisoned in again.seen[1]

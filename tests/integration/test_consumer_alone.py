"""The consumer of undecoded batches alone, without Faust, on a real broker."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from aiokafka import TopicPartition as TP
from aiokafka.consumer.fetcher import PartitionRecords
from confluent_kafka import Producer

from operators.batch import Records
from streams.settings import Settings
from streams.transport.record_batches import CorruptBatch
from streams.transport.records_consumer import RecordsConsumer
from tests.integration.batch_topics import new_topic, produce, spoil

pytestmark = pytest.mark.real


@pytest.fixture
def topic(kafka: Settings) -> str:
    return new_topic(kafka)


@pytest.fixture
async def consumer(kafka: Settings, topic: str) -> AsyncIterator[RecordsConsumer]:
    """Without Faust: the consumer alone, of one partition."""
    consumer = RecordsConsumer(
        batch_topics={topic: 50},
        bootstrap_servers=kafka.kafka_bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
    )
    await consumer.start()
    yield consumer
    await consumer.stop()


async def read(consumer: RecordsConsumer, count: int) -> list[Records]:
    batches: list[Records] = []
    async with asyncio.timeout(20):
        while sum(map(len, batches)) < count:
            for some in (await consumer.getmany(timeout_ms=200)).values():
                batches += some
    return batches


def values(batches: list[Records]) -> list[bytes | None]:
    return [value for records in batches for value in records.values]


async def test_seek_pause_position_and_most_records(kafka: Settings, topic: str, consumer: RecordsConsumer) -> None:
    produce(kafka, topic, 0, 900, "lz4")
    tp = TP(topic, 0)
    consumer.assign([tp])
    batches = await read(consumer, 300)
    assert values(batches) == [b"%d" % n for n in range(0, 900, 3)]
    assert max(map(len, batches)) == 50
    assert await consumer.position(tp) == 300 == consumer.highwater(tp)
    consumer.seek(tp, 123)  # in the middle of a compressed batch
    assert (await read(consumer, 177))[0].source.first == 123
    consumer.seek(tp, 7)
    one = await consumer.getone()
    assert (one.source.first, one.source.last, await consumer.position(tp)) == (7, 56, 57)
    consumer.pause(tp)
    assert not await consumer.getmany(timeout_ms=200)
    consumer.resume(tp)
    assert (await read(consumer, 243))[0].source.first == 57


async def test_what_was_fetched_is_given_back_without_the_collector(
    kafka: Settings, topic: str, consumer: RecordsConsumer
) -> None:
    """A worker collects seldom: what only the collector frees of each fetch would fill gigabytes."""
    gc.collect()
    gc.disable()
    try:
        consumer.assign([TP(topic, 0)])
        for first in range(0, 900, 90):
            produce(kafka, topic, first, 90, "lz4")
            await read(consumer, 30)
        held = [each for each in gc.get_objects() if isinstance(each, PartitionRecords)]
    finally:
        gc.enable()
    assert len(held) <= 1, "but for the fetch that is being handed out"


async def test_only_committed_transactions_are_read(kafka: Settings, topic: str, consumer: RecordsConsumer) -> None:
    producer = Producer(
        {"bootstrap.servers": kafka.kafka_bootstrap, "transactional.id": topic, "compression.type": "zstd"}
    )
    producer.init_transactions(20)
    kept: list[bytes | None] = []
    for number in range(9):
        producer.begin_transaction()
        for record in range(20):
            value = b"%d-%d" % (number, record)
            producer.produce(topic, value, partition=0)
            if number % 3:
                kept.append(value)
        if number % 3:
            producer.commit_transaction(20)
        else:
            producer.flush(20)  # an aborted record that never reached the broker would prove nothing
            producer.abort_transaction(20)
    consumer.assign([TP(topic, 0)])
    assert values(await read(consumer, len(kept))) == kept
    assert await consumer.position(TP(topic, 0)) >= 9 * 21 - 1


async def test_a_spoilt_batch_is_an_error_to_seek_past(kafka: Settings, topic: str, consumer: RecordsConsumer) -> None:
    produce(kafka, topic, 0, 300)
    produce(kafka, topic, 300, 300)
    spoil(kafka, topic, 2, b"302")
    tp = TP(topic, 2)
    consumer.assign([tp])
    assert len(values(await read(consumer, 100))) == 100
    with pytest.raises(CorruptBatch, match=f"{topic}:2: the batch at offset 100 has a wrong CRC"):
        await read(consumer, 1)
    consumer.seek(tp, 200)
    produce(kafka, topic, 600, 3)
    assert values(await read(consumer, 1)) == [b"602"]

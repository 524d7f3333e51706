"""The batch transport on a real broker: every record once, in order, committed only when done."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import faust
import pytest
from aiokafka import TopicPartition as TP
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from operators.batch import Records
from streams.settings import Settings
from streams.transport.batches import BatchTransport, RecordsSchema, deliveries
from streams.transport.record_batches import CorruptBatch
from streams.transport.records_consumer import RecordsConsumer

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
    ) -> None:
        self.seen: dict[int, list[int]] = defaultdict(list)
        self.sizes: list[int] = []
        self.failures: list[BaseException] = []
        self.app = faust.App(
            group,
            broker=f"batches://{settings.kafka_bootstrap}",
            broker_commit_interval=commit_interval,
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
    for number, codec in enumerate(["none", "gzip", "snappy", "lz4", "zstd"]):
        produce(kafka, topic, number * 1_200, 1_200, codec)
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


@pytest.mark.real
async def test_what_is_dropped_before_the_first_commit_is_read_again(kafka: Settings, topic: str) -> None:
    """Faust drops what it fetched while its flow is stopped, as in a rebalance, and seeks to what is committed."""
    reader = Reader(kafka, topic, f"group-{topic}", commit_interval=1000)
    await reader.app.start()
    try:
        produce(kafka, topic, 0, 30)
        await reader.until(30)
        reader.app.consumer.stop_flow()
        produce(kafka, topic, 30, 30)
        await asyncio.sleep(2)
        reader.app.consumer.resume_flow()
        async with asyncio.timeout(20):
            while {number for numbers in reader.seen.values() for number in numbers} != set(range(60)):
                await asyncio.sleep(0.05)
    finally:
        await reader.app.stop()


@pytest.mark.real
async def test_what_is_lost_on_the_way_to_the_agent_is_fetched_again(kafka: Settings, topic: str) -> None:
    group = f"group-{topic}"
    reader = Reader(kafka, topic, group)
    await reader.app.start()
    try:
        produce(kafka, topic, 0, 30)
        await reader.until(30)
        await asyncio.sleep(0.5)  # committed
        thread, lost = reader.app.consumer._thread, 0
        getmany = thread.getmany

        async def lose(*args: Any) -> Any:
            """Faust does this when the set of active partitions changes while it fetches."""
            nonlocal lost
            records = await getmany(*args)
            if records and lost < 2:
                lost += 1
                return {}
            return records

        thread.getmany = lose
        sent = 30
        while lost < 2:
            produce(kafka, topic, sent, 30)
            sent += 30
            await asyncio.sleep(0.5)
        produce(kafka, topic, sent, 30)
        sent += 30
        await reader.until(sent)
        await asyncio.sleep(0.5)
    finally:
        await reader.app.stop()
    for partition, numbers in reader.seen.items():
        assert numbers == list(range(partition, sent, PARTITIONS))
    assert committed(kafka, group, topic) == dict.fromkeys(range(PARTITIONS), sent // PARTITIONS)


@pytest.mark.real
async def test_what_is_let_go_is_not_committed_and_comes_again(kafka: Settings, topic: str) -> None:
    group = f"group-{topic}"
    produce(kafka, topic, 0, 30)
    reader = Reader(kafka, topic, group)
    await reader.app.start()
    try:
        await reader.until(30)
        await asyncio.sleep(0.5)
        reader.goes_on.clear()
        produce(kafka, topic, 30, 30)
        async with asyncio.timeout(20):
            while not reader.app.consumer._in_hand:
                await asyncio.sleep(0.05)
        consumer = reader.app.consumer
        consumer.let_go(lambda tp: True)
        await asyncio.sleep(0.5)
        assert committed(kafka, group, topic) == dict.fromkeys(range(PARTITIONS), 10)
        reader.goes_on.set()
        await consumer.perform_seek()  # as a rebalance does
        await reader.until(60)
        await asyncio.sleep(0.5)
    finally:
        await reader.app.stop()
    assert {n for seen in reader.seen.values() for n in seen} == set(range(60))
    assert committed(kafka, group, topic) == dict.fromkeys(range(PARTITIONS), 20)


@pytest.mark.real
async def test_what_the_broker_has_deleted_is_not_waited_for(kafka: Settings, topic: str) -> None:
    """Retention took records that were not read yet: reading goes on with what is left."""
    group = f"group-{topic}"
    produce(kafka, topic, 0, 30)
    reader = Reader(kafka, topic, group)
    await reader.app.start()
    await reader.until(30)
    await asyncio.sleep(0.5)
    await reader.app.stop()
    produce(kafka, topic, 30, 30)
    admin = AdminClient({"bootstrap.servers": kafka.kafka_bootstrap})
    for deleted in admin.delete_records([TopicPartition(topic, p, 15) for p in range(PARTITIONS)]).values():
        deleted.result()
    again = Reader(kafka, topic, group)
    await again.app.start()
    try:
        await again.until(15)
        produce(kafka, topic, 60, 3)
        await again.until(18)
        await asyncio.sleep(0.5)
    finally:
        await again.app.stop()
    assert sorted(n for seen in again.seen.values() for n in seen) == list(range(45, 63))
    assert committed(kafka, group, topic) == dict.fromkeys(range(PARTITIONS), 21)


@pytest.mark.real
async def test_an_idle_app_that_is_given_partitions_loses_nothing(kafka: Settings, topic: str) -> None:
    """With nothing assigned Faust lets the flow run on, and clears what came before it started it."""
    group = f"group-{topic}"
    busy = [Reader(kafka, topic, group) for _ in range(PARTITIONS)]
    produce(kafka, topic, 0, 300)
    for reader in busy:
        await reader.app.start()
    idle = Reader(kafka, topic, group, most=20, pause=0.4)
    seek = idle.app.consumer.perform_seek

    async def seek_and_dawdle() -> None:
        await seek()
        await asyncio.sleep(2)

    idle.app.consumer.perform_seek = seek_and_dawdle
    await idle.app.start()
    readers = [*busy, idle]

    async def all_came(numbers: int) -> None:
        async with asyncio.timeout(60):
            while {n for reader in readers for seen in reader.seen.values() for n in seen} != set(range(numbers)):
                await asyncio.sleep(0.05)

    try:
        await all_came(300)
        async with asyncio.timeout(60):
            while sorted(len(reader.app.consumer.assignment()) for reader in readers) != [0, 1, 1, 1]:
                await asyncio.sleep(0.1)
        if idle.app.consumer.assignment():
            pytest.skip("the one that came last was given a partition at once")
        await asyncio.sleep(1)
        produce(kafka, topic, 300, 300)
        await busy[0].app.stop()
        produce(kafka, topic, 600, 300)
        await all_came(900)
        produce(kafka, topic, 900, 300)
        await all_came(1_200)
    finally:
        for reader in readers:
            await reader.app.stop()


@pytest.mark.real
async def test_two_apps_of_one_group_share_the_partitions_and_lose_nothing(kafka: Settings, topic: str) -> None:
    group = f"group-{topic}"
    first, second = Reader(kafka, topic, group), Reader(kafka, topic, group)
    produce(kafka, topic, 0, 1_500, "lz4")
    await first.app.start()
    try:
        await first.until(1_500)
        await second.app.start()
        try:
            async with asyncio.timeout(60):
                sent = 1_500
                while not second.count:  # until the rebalance is over
                    produce(kafka, topic, sent, 300, "zstd")
                    sent += 300
                    await asyncio.sleep(1)
                for reader in (first, second):  # Faust's own answer is None but for the group's leader
                    assert reader.app.consumer.topic_partitions(topic) == PARTITIONS
                everything = set(range(sent))
                while {n for reader in (first, second) for seen in reader.seen.values() for n in seen} != everything:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1)
        finally:
            await second.app.stop()
    finally:
        await first.app.stop()
    assert committed(kafka, group, topic) == dict.fromkeys(range(PARTITIONS), sent // PARTITIONS)


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


@pytest.mark.real
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


@pytest.mark.real
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


def spoil(settings: Settings, topic: str, partition: int, value: bytes) -> None:
    """Change a byte of a stored record, as a bad disk would; a broker does not look when it sends it."""
    (log,) = (path for path in Path(settings.home).rglob(f"{topic}-{partition}/*.log"))
    stored = log.read_bytes()
    place = stored.index(value)
    with log.open("r+b") as file:
        file.seek(place)
        file.write(b"#")


@pytest.mark.real
async def test_a_spoilt_batch_stops_its_partition_and_no_other(kafka: Settings, topic: str) -> None:
    for first in (0, 300, 600):
        produce(kafka, topic, first, 300)
    spoil(kafka, topic, 1, b"301")
    reader = Reader(kafka, topic, f"group-{topic}")
    await reader.app.start()
    try:
        await reader.until(700)
        produce(kafka, topic, 900, 300)
        await reader.until(900)
    finally:
        await reader.app.stop()
    assert [*reader.seen[0], *reader.seen[2]] == [*range(0, 1_200, 3), *range(2, 1_200, 3)]
    assert reader.seen[1] == list(range(1, 300, 3)), "all before the spoilt batch, nothing after it"
    assert not reader.failures


@pytest.mark.real
async def test_without_faust_a_spoilt_batch_is_an_error_to_seek_past(
    kafka: Settings, topic: str, consumer: RecordsConsumer
) -> None:
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


@pytest.mark.real
async def test_topics_of_no_batches_come_record_by_record(kafka: Settings, topic: str) -> None:
    reader = Reader(kafka, topic, f"group-{topic}")
    reader.app.transport.batch_topics = {}
    numbers: list[int] = []

    async def read_one(stream: Any) -> None:
        async for event in stream.events():
            numbers.append(int(event.message.value))

    reader.app.agents.clear()
    reader.app.agent(reader.app.topic(topic, schema=RecordsSchema()), name="one")(read_one)
    produce(kafka, topic, 0, 300, "lz4")
    await reader.app.start()
    try:
        async with asyncio.timeout(40):
            while len(numbers) < 300:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
    finally:
        await reader.app.stop()
    assert sorted(numbers) == list(range(300))
    assert committed(kafka, f"group-{topic}", topic) == dict.fromkeys(range(PARTITIONS), 100)

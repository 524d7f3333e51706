"""The batch transport on a real broker: every record once, in order, committed only when done."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams.settings import Settings
from streams.transport.batches import RecordsSchema
from tests.integration.batch_topics import PARTITIONS, Reader, committed, new_topic, produce, spoil

pytestmark = pytest.mark.real


@pytest.fixture
def topic(kafka: Settings) -> str:
    return new_topic(kafka)


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


async def test_no_more_is_fetched_than_may_wait_for_the_agent(kafka: Settings, topic: str) -> None:
    """A log that is far ahead of its agent must not come into memory: by Faust's own bound 4,096 batches do."""
    numbers, most, waiting = 60_000, 10, 100
    produce(kafka, topic, 0, numbers)
    reader = Reader(kafka, topic, f"group-{topic}", most=most, waiting=waiting)
    reader.goes_on.clear()
    await reader.app.start()
    try:
        [actor] = cast(Any, reader.app.agents["read"])._actors
        queue, held = actor.stream.channel.queue, -1
        async with asyncio.timeout(40):
            while held <= 0 or held != queue.qsize():
                held = queue.qsize()
                await asyncio.sleep(1)
        assert waiting / 2 < held <= waiting
        reader.goes_on.set()
        await reader.until(numbers)
    finally:
        reader.goes_on.set()
        await reader.app.stop()
    assert all(seen == list(range(partition, numbers, PARTITIONS)) for partition, seen in reader.seen.items())


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

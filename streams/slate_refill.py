"""Slates read back from ``feed.candidates``, for rows that found no place while ClickHouse was gone."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from operators.slate.slate import Slate, decode
from streams.outputs import client_config
from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable

TOPIC = "feed.candidates"
TOGETHER, SECONDS = 500, 10.0
#: A slate reaches Kafka a moment after the time that it carries: milliseconds.
SLACK_MS = 60_000


async def read_back(
    settings: Settings, first: int, last: int, most: int | None = None
) -> AsyncIterator[Sequence[Slate]]:
    """Slates emitted from ``first`` to ``last`` (ms), by any worker, as far as the topic still has them.

    With ``most``, about so many of the latest.

    Raises:
        StoreUnavailable: Kafka is gone.
    """
    consumer = Consumer(
        {**client_config(settings), "group.id": f"slates-{uuid.uuid4().hex}", "enable.auto.commit": False}
    )
    try:
        ends = await asyncio.to_thread(_assign, consumer, first, most)
        while ends:
            messages = await asyncio.to_thread(consumer.consume, TOGETHER, 1.0)
            slates = [slate for slate in map(_slate, messages) if slate and first <= slate.emitted <= last]
            if slates:
                yield slates
            positions = await asyncio.to_thread(consumer.position, list(map(_named, ends)))
            ends = {
                at.partition: ends[at.partition]
                for at in positions
                if at.offset < ends[at.partition] and not _is_past(messages, at.partition, last)
            }
    except KafkaException as error:
        raise StoreUnavailable("kafka", str(error)) from None
    finally:
        await asyncio.to_thread(consumer.close)


def _named(partition: int) -> TopicPartition:
    return TopicPartition(TOPIC, partition)


def _assign(consumer: Consumer, first: int, most: int | None) -> dict[int, int]:
    """Begin at ``first`` in each partition that has something since; returns where each ends now."""
    partitions = consumer.list_topics(TOPIC, SECONDS).topics[TOPIC].partitions
    wanted = [TopicPartition(TOPIC, partition, first) for partition in partitions]
    begins = [at for at in consumer.offsets_for_times(wanted, SECONDS) if at.offset >= 0]
    ends = {at.partition: consumer.get_watermark_offsets(at, SECONDS)[1] for at in begins}
    begins = [at for at in begins if at.offset < ends[at.partition]]
    if most is not None:
        for at in begins:
            at.offset = max(at.offset, ends[at.partition] - max(1, most // len(partitions)))
    consumer.assign(begins)
    return {at.partition: ends[at.partition] for at in begins}


def _slate(message: Message) -> Slate | None:
    if (error := message.error()) is not None:
        if error.code() == KafkaError._PARTITION_EOF:  # pyright: ignore[reportPrivateUsage]
            return None
        raise KafkaException(error)
    value = message.value()
    return decode(value) if isinstance(value, bytes) else None


def _is_past(messages: Sequence[Message], partition: int, last: int) -> bool:
    return any(each.partition() == partition and each.timestamp()[1] > last + SLACK_MS for each in messages)

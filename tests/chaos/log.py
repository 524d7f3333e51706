"""What the log holds in the end, read from the first to the last offset: the truth that everything else must equal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from confluent_kafka import Consumer, TopicPartition

SILENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Record:
    topic: str
    partition: int
    offset: int
    value: bytes | None


def read_log(bootstrap: str, topics: list[str]) -> list[Record]:
    """Every record of these topics. Fails when the broker gives nothing for a minute before the end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "chaos-log", "enable.auto.commit": False})
    try:
        found = consumer.list_topics(timeout=30).topics
        ends: dict[tuple[str, int], int] = {}
        for topic in topics:
            for partition in found[topic].partitions:
                ends[topic, partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
        left = {key for key, end in ends.items() if end > 0}
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in left])
        records: list[Record] = []
        heard = time.monotonic()
        while left:
            for message in consumer.consume(10_000, timeout=1.0):
                if message.error() is not None:
                    continue
                heard = time.monotonic()
                key = message.topic(), message.partition()
                records.append(Record(*key, message.offset(), message.value()))
                if message.offset() + 1 >= ends[key]:
                    left.discard(key)
            # A compacted or transactional end is a gap: the position tells.
            for position in consumer.position([TopicPartition(*key) for key in left]):
                if position.offset >= ends[position.topic, position.partition]:
                    left.discard((position.topic, position.partition))
            assert time.monotonic() - heard < SILENCE_SECONDS, f"nothing more came of {left}"
        return records
    finally:
        consumer.close()

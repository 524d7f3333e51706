"""aiokafka: ``getmany``, nothing else running. ``fetch_max_wait_ms`` 50, so that idle partitions hold up none."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer

from bench.peers.answer import Question, Watch, answer
from bench.peers.engines.dicts import Dicts, decode

SETTINGS: dict[str, Any] = {
    "auto_offset_reset": "earliest",
    "fetch_max_wait_ms": 50,
    "max_partition_fetch_bytes": 1 << 20,
}


async def run(question: Question) -> None:
    consumer = AIOKafkaConsumer(question.topic, bootstrap_servers=question.broker, group_id=question.group, **SETTINGS)
    await consumer.start()
    watch, dicts = Watch(), Dicts()
    count = dicts.count
    while watch.seen < question.events:
        for messages in (await consumer.getmany(timeout_ms=1000)).values():
            if question.variant == "count":
                for message in messages:
                    count(decode(message.value or b""))
            elif question.variant == "decode":
                for message in messages:
                    decode(message.value or b"")
            watch.saw(len(messages))
    watch.stop()
    await consumer.stop()
    answer(watch, question, *dicts.lines())


if __name__ == "__main__":
    asyncio.run(run(Question.asked()))

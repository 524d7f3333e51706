"""librdkafka by confluent-kafka: ``consume`` of up to 10,000 messages a call, nothing else running.

Settings: ``fetch.queue.backoff.ms`` 5 and ``queued.min.messages`` 500,000, without which its queue runs dry.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer

from bench.peers.answer import Question, Watch, answer
from bench.peers.engines.dicts import Dicts, decode

SETTINGS: dict[str, Any] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": True,
    "fetch.queue.backoff.ms": 5,
    "queued.min.messages": 500_000,
    "fetch.message.max.bytes": 1 << 20,
}
MESSAGES = 10_000


def main() -> None:
    question = Question.asked()
    consumer = Consumer({"bootstrap.servers": question.broker, "group.id": question.group, **SETTINGS})
    consumer.subscribe([question.topic])
    watch, dicts = Watch(), Dicts()
    count = dicts.count
    while watch.seen < question.events:
        messages = consumer.consume(MESSAGES, timeout=1.0)
        if question.variant == "count":
            for message in messages:
                count(decode(message.value() or b""))
        elif question.variant == "decode":
            for message in messages:
                decode(message.value() or b"")
        if messages:
            watch.saw(len(messages))
    watch.stop()
    answer(watch, question, *dicts.lines())
    consumer.close()


if __name__ == "__main__":
    main()

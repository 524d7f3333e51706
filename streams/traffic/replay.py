"""Replay: event lines to Kafka, as fast as it goes or at a rate, every event accounted for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaException, Producer

from streams.outputs import client_config
from streams.settings import Settings
from streams.traffic.lines import Line, decode_line, open_to_read

Progress = Callable[["Account"], None]

#: Messages held here while the broker catches up; beyond it, reading waits.
QUEUE = 100_000
PROGRESS_SECONDS = 0.5
#: How long the broker may take for one message before it counts as failed.
DELIVERY_SECONDS = 60
#: How long a topic that nobody knows may take to appear; librdkafka would wait for half a minute.
TOPIC_SECONDS = 5
#: At a rate, sleep only when this far ahead: shorter sleeps are mostly overshoot.
AHEAD_SECONDS = 0.005
LONGEST_WAIT_SECONDS = 0.2
EXAMPLES_KEPT = 5


@dataclass
class Account:
    """Where every line went: ``read = sent + bad``, and in the end ``sent = delivered + failed``."""

    read: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    bad: int = 0
    by_topic: Counter[str] = field(default_factory=Counter[str])
    #: The first few reasons, of lines that could not be read and of events that were not delivered.
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    ended: bool = False

    @property
    def complete(self) -> bool:
        """Every line that was read is held by the broker."""
        return self.read == self.delivered and not self.interrupted

    def tell(self, reason: str) -> None:
        if len(self.errors) < EXAMPLES_KEPT:
            self.errors.append(reason)

    def summary(self) -> dict[str, Any]:
        """JSON-ready, with events per second."""
        return {
            "read": self.read,
            "sent": self.sent,
            "delivered": self.delivered,
            "failed": self.failed,
            "bad": self.bad,
            "by_topic": dict(self.by_topic),
            "errors": self.errors,
            "seconds": round(self.seconds, 3),
            "events_per_second": round(self.delivered / self.seconds) if self.seconds else 0,
            "interrupted": self.interrupted,
        }


def read_lines(paths: Iterable[str], account: Account, topic: str = "") -> Iterator[Line]:
    """Lines of several files in turn; what cannot be read is counted in ``account`` and left out. Raises OSError."""
    for path in paths:
        with open_to_read(path) as file:
            for number, text in enumerate(file, 1):
                if text.isspace():
                    continue
                account.read += 1
                try:
                    line = decode_line(text, topic)
                except ValueError as error:
                    account.bad += 1
                    account.tell(f"{path}, line {number}: {error}")
                    continue
                yield line


def latest_time(paths: Iterable[str]) -> int:
    """The largest event time in the files, milliseconds since the epoch; 0 when there is none."""
    latest = 0
    for line in read_lines(paths, Account(), "?"):
        moment = line.event.get("time")
        if isinstance(moment, int):
            latest = max(latest, moment)
    return latest


def shifted(lines: Iterable[Line], by: int) -> Iterator[Line]:
    """The same events ``by`` milliseconds later."""
    for line in lines:
        if isinstance(line.event.get("time"), int):
            line.event["time"] += by
        yield line


def replay(
    lines: Iterable[Line],
    settings: Settings,
    account: Account,
    *,
    rate: float = 0.0,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Account:
    """Send ``lines`` to Kafka and wait until the broker holds them (acks=all, idempotent).

    ``rate`` is in events per second, 0 for as fast as it goes. ``stop`` ends the reading; what was
    sent is still waited for. Reading waits while :data:`QUEUE` messages are on their way.
    """
    producer = Producer(
        {
            **client_config(settings),
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 20,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": QUEUE,
            "delivery.timeout.ms": DELIVERY_SECONDS * 1000,
            "topic.metadata.propagation.max.ms": TOPIC_SECONDS * 1000,
            "message.max.bytes": 16_777_216,
        }
    )

    def delivered(error: Any, message: Any) -> None:
        if error is None:
            account.delivered += 1
        else:
            account.failed += 1
            account.tell(f"{message.topic()}: {error}")

    stop = stop or threading.Event()
    started = told = time.monotonic()
    for line in lines:
        key, value = line.message()
        _produce(producer, line.topic, key, value, delivered, account)
        now = time.monotonic()
        if rate and (due := started + account.sent / rate) - now > AHEAD_SECONDS:
            while (ahead := due - time.monotonic()) > 0 and not stop.is_set():
                producer.poll(min(ahead, LONGEST_WAIT_SECONDS))
        if progress and now - told > PROGRESS_SECONDS:
            told, account.seconds = now, now - started
            progress(account)
        if stop.is_set():
            account.interrupted = True
            break
    left = producer.flush(DELIVERY_SECONDS + 5)
    if left:
        account.failed += left
        account.tell(f"{left} events were still waiting for the broker at {settings.kafka_bootstrap}")
    account.seconds, account.ended = time.monotonic() - started, True
    if progress:
        progress(account)
    return account


def _produce(
    producer: Producer, topic: str, key: bytes, value: bytes, delivered: Callable[[Any, Any], None], account: Account
) -> None:
    while True:
        try:
            producer.produce(topic, value, key, on_delivery=delivered)
            break
        except BufferError:
            producer.poll(0.1)  # the broker is behind: wait for it
        except KafkaException as error:
            account.failed += 1
            account.tell(f"{topic}: {error}")
            break
    account.sent += 1
    account.by_topic[topic] += 1
    producer.poll(0)

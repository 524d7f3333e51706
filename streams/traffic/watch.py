"""Watching what the engine emits: pins understood, slates and their freshness, dead letters."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, cast

import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from streams.outputs import client_config
from streams.settings import Settings

TOPICS = ("pin.understood", "feed.candidates", "dead.letters")
PATIENCE_SECONDS = 30.0


class SlateSeen(NamedTuple):
    """When a slate's trigger reached Kafka and how long after it the slate was done, milliseconds."""

    trigger_logged: int
    freshness: int


@dataclass
class Seen:
    """Everything emitted since the watch began."""

    understood: set[int] = field(default_factory=set[int])
    objects: int = 0
    slates: list[SlateSeen] = field(default_factory=list[SlateSeen])
    #: Pinner → their newest slate, as on ``feed.candidates``.
    newest: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    dead: Counter[str] = field(default_factory=Counter[str])

    def freshness(self, first: int = 0, last: int = 2**63) -> dict[str, float | None]:
        """p50 and p99 in milliseconds over slates whose trigger was logged in ``first … last``; None without any."""
        sample = [slate.freshness for slate in self.slates if first <= slate.trigger_logged <= last]
        if not sample:
            return {"p50": None, "p99": None}
        p50, p99 = np.percentile(np.array(sample, float), [50, 99]).tolist()
        return {"p50": round(p50, 1), "p99": round(p99, 1)}


class Watch:
    """Reads the engine's output topics in a thread, from now on. A context; ``seen`` grows meanwhile."""

    def __init__(self, settings: Settings, on: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        """``on(topic, message)`` is called for each message, in the watching thread."""
        self.seen = Seen()
        self._on = on
        self._stop = threading.Event()
        self._consumer = Consumer(
            {
                **client_config(settings),
                "group.id": f"{settings.group}-watch",
                "enable.auto.commit": False,
                "message.max.bytes": 16_777_216,
            }
        )
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._consumer.assign([self._end(topic, p) for topic in TOPICS for p in self._partitions(topic)])
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        self._consumer.close()

    def _partitions(self, topic: str) -> list[int]:
        return list(self._consumer.list_topics(topic, timeout=PATIENCE_SECONDS).topics[topic].partitions)

    def _end(self, topic: str, partition: int) -> TopicPartition:
        """The end of a partition now; a topic just made has no leader for a moment."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                place = TopicPartition(topic, partition)
                end = self._consumer.get_watermark_offsets(place, timeout=PATIENCE_SECONDS)[1]
                return TopicPartition(topic, partition, end)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.1):
                if message.error() is None:
                    self._take(message)

    def _take(self, message: Message) -> None:
        value = message.value()
        if value is None:
            return  # a tombstone
        topic, body = str(message.topic()), cast("dict[str, Any]", orjson.loads(value))
        if topic == "pin.understood" and body["deleted"]:
            self.seen.understood.discard(int(body["pin"]))
        elif topic == "pin.understood":
            self.seen.understood.add(int(body["pin"]))
            self.seen.objects += len(body.get("objects", ()))
        elif topic == "feed.candidates":
            freshness = int(body["emitted"]) - int(body["trigger_logged"])
            self.seen.slates.append(SlateSeen(int(body["trigger_logged"]), freshness))
            self.seen.newest[int(body["pinner"])] = body
        else:
            self.seen.dead[str(body.get("reason"))] += 1
        if self._on:
            with suppress(Exception):  # who looks on may not stop the watch
                self._on(topic, body)

"""Hostile records through a real broker into a real worker: it lives, and every record is accounted for by offset."""

from __future__ import annotations

import json
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from operators.batch import Records, Source
from operators.decode import decode_events, decode_exactly
from operators.events import ENGAGEMENT_TOPICS, EVENTS
from operators.parsing import MAX_BYTES
from streams.dead_letter_log import Wanted, read_letters
from streams.outputs import LARGEST_MESSAGE
from streams.settings import Settings
from tests.fuzz.hostile import SHARES, records
from tests.integration.running import Worker, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(7200)]

#: ``make fuzz`` sends a million.
COUNT = int(os.environ.get("PINSTREAM_FUZZ_EVENTS", "20000"))
SEED = int(os.environ.get("PINSTREAM_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
#: What memory may grow by while the second half is read, and what a collector may do as it likes.
GROWTH, SLACK = 1.15, 64 << 20
CHUNK = 5_000

#: Words, not numbers: vision keeps some of a title.
LETTERS = str.maketrans("0123456789", "ghijklmnop")

Partition = tuple[str, int]


def produce(settings: Settings, seed: int, count: int) -> int:
    """Send hostile records in every compression; returns how many the broker holds."""
    base = {"bootstrap.servers": settings.kafka_bootstrap, "message.max.bytes": LARGEST_MESSAGE, "linger.ms": 20}
    producers = [Producer({**base, "compression.type": codec}) for codec in ("none", "gzip", "snappy", "lz4", "zstd")]
    outcome: Counter[str] = Counter()

    def delivered(error: Any, _message: Any) -> None:
        outcome[str(error.name()) if error else "held"] += 1

    for number, record in enumerate(records(seed, count)):
        producer = producers[number // 100 % len(producers)]
        while True:
            try:
                producer.produce(record.topic, record.value, record.key, headers=record.headers, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert all(producer.flush(120) == 0 for producer in producers)
    # Only the broker's own bound may keep a record out.
    assert set(outcome) <= {"held", "MSG_SIZE_TOO_LARGE"}, outcome
    return outcome["held"]


class Log:
    """What the broker holds of the topics, from the moment on when this was made."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "group.id": "fuzz-log",
                "enable.auto.commit": False,
                "fetch.message.max.bytes": LARGEST_MESSAGE,
                "fetch.wait.max.ms": 20,
            }
        )
        self.first = self.ends()

    def ends(self) -> dict[Partition, int]:
        topics = self._consumer.list_topics(timeout=10).topics
        return {
            (topic, number): self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
            for topic in SHARES
            for number in topics[topic].partitions
        }

    def sent(self) -> Counter[str]:
        """Records by topic."""
        sent: Counter[str] = Counter()
        for partition, end in self.ends().items():
            sent[partition[0]] += end - self.first[partition]
        return sent

    def read(self, topic: str) -> Iterator[Records]:
        """Every record of a topic, a few thousand at a time."""
        for partition, end in self.ends().items():
            if partition[0] != topic or end == self.first[partition]:
                continue
            self._consumer.assign([TopicPartition(topic, partition[1], self.first[partition] or OFFSET_BEGINNING)])
            position = self.first[partition]
            while position < end:
                got = [message for message in self._consumer.consume(CHUNK, timeout=0.2) if message.error() is None]
                if not got:
                    continue
                position = got[-1].offset() + 1
                offsets = np.array([message.offset() for message in got])
                logged = np.array([message.timestamp()[1] for message in got])
                source = Source(topic, partition[1], int(offsets[0]), int(offsets[-1]))
                yield Records.of(source, offsets, logged, [message.value() for message in got])


class Counts:
    """The worker's own account, as it grows."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._first: Counter[str] = Counter()
        self._first = self.now()

    def now(self) -> Counter[str]:
        """``topic outcome``, ``letters`` and ``warnings`` since this was made."""
        with urllib.request.urlopen(self._worker.url + "/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        found: Counter[str] = Counter()
        for line in lines:
            name, _, value = line.rpartition(" ")
            labels = dict(
                part.split("=") for part in name.partition("{")[2].rstrip("}").replace('"', "").split(",") if part
            )
            if name.startswith("pinstream_events_total"):
                found[labels["topic"]] += int(float(value))
                found[f"{labels['topic']} {labels['outcome']}"] += int(float(value))
            elif name.startswith("pinstream_warnings_total"):
                found["warnings"] += int(float(value))
        found.subtract(self._first)
        return found


def resident(worker: Worker) -> int:
    """Bytes of memory that the worker holds."""
    assert worker.process is not None
    return int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def letters(settings: Settings, log: Log, since: int) -> dict[str, dict[tuple[int, int], str]]:
    """Topic → (partition, offset) → reason, of what was set aside."""
    found: dict[str, dict[tuple[int, int], str]] = {topic: {} for topic in SHARES}
    for entry in read_letters(settings, Wanted(since=since)):
        letter = entry.letter
        if letter.offset >= log.first[letter.topic, letter.partition]:
            found[letter.topic][letter.partition, letter.offset] = letter.reason
    return found


def all_read(counts: Counts, log: Log) -> bool:
    now, sent = counts.now(), log.sent()
    return all(now[topic] >= sent[topic] for topic in SHARES)


def test_the_largest_pins_go_all_the_way(worker: Worker) -> None:
    """A pin may be as large as its topic allows, and what is made of it is a message too."""
    chance, pin = random.Random(1), time.time_ns()
    counts = Counts(worker)
    producer = Producer({"bootstrap.servers": worker.settings.kafka_bootstrap, "message.max.bytes": LARGEST_MESSAGE})
    limit = MAX_BYTES["pins"] - 200
    for number, name in enumerate(("description", "title")):
        event = {"type": "created", "time": int(time.time() * 1000), "pin": pin + number, "link": "https://a.example"}
        room = limit - len(json.dumps({**event, name: ""}))
        words = " ".join(f"{chance.getrandbits(32):x}".translate(LETTERS) for _ in range(room // 8))
        producer.produce("pins", json.dumps({**event, name: words[:room].ljust(room)}).encode(), b"1")
    assert producer.flush(60) == 0
    until("both are accepted", lambda: counts.now()["pins counted"] >= 2, 60)
    until("both are seen", lambda: counts.now()["pins.accepted counted"] >= 2, 60)
    stored = worker.query(f"SELECT pin FROM pins WHERE pin >= {pin} AND pin < {pin + 2} ORDER BY pin")
    assert stored["pin"].tolist() == [pin, pin + 1]


def test_every_hostile_record_is_accounted_for(worker: Worker) -> None:
    print(f"seed {SEED}, {COUNT} records; PINSTREAM_FUZZ_SEED={SEED} repeats them")
    settings, began = worker.settings, int(time.time() * 1000)
    process, log, counts = worker.process, Log(worker.settings), Counts(worker)
    held: list[int] = []
    memory: list[int] = []
    for half in (1, 2):
        held.append(produce(settings, SEED + half, COUNT // 2))
        until("everything is read", lambda: all_read(counts, log), 60 + COUNT / 100)
        memory.append(resident(worker))
        print(f"half {half}: {held[-1]} held, worker {memory[-1] >> 20} MiB, {time.time() - began / 1000:.0f} s")
    assert worker.process is process and process is not None and process.poll() is None
    assert worker.get("/ready")["rung"] == "whole"
    until("blocks and views are written", lambda: not worker.differing(), 60)

    account, aside, sent = counts.now(), letters(settings, log, began), log.sent()
    print({name: count for name, count in sorted(account.items()) if count})
    for topic in SHARES:
        assert account[topic] == sent[topic], f"{topic}: one outcome for each record"
        assert account[f"{topic} rejected"] == len(aside[topic]), f"{topic}: one letter for each rejected"
        assert account[f"{topic} counted"] > 0 and aside[topic], f"{topic}: both good and bad came"
    assert sum(held) <= sent.total()  # and what the worker itself sent on

    warnings = sum(_engagement_is_whole(worker, log, topic, aside[topic]) for topic in ENGAGEMENT_TOPICS)
    for topic in EVENTS.keys() - set(ENGAGEMENT_TOPICS):
        warnings += _same_letters(log, topic, aside[topic])
    assert account["warnings"] == warnings
    assert memory[1] <= memory[0] * GROWTH + SLACK, [size >> 20 for size in memory]


def _engagement_is_whole(worker: Worker, log: Log, topic: str, aside: dict[tuple[int, int], str]) -> int:
    """Each record is stored, set aside for the right reason, or another of its name is stored. Returns the warnings."""
    stored = worker.query(f"SELECT partition, offset, event_id FROM engagement WHERE topic = '{topic}'")
    places = set(zip(stored["partition"].tolist(), stored["offset"].tolist(), strict=True))
    names = set(worker.query("SELECT event_id FROM engagement")["event_id"].tolist())
    erased = {place for place, reason in aside.items() if reason == "erased_pinner"}
    assert not places & aside.keys(), "stored and set aside"
    bad: dict[tuple[int, int], str] = {}
    refused: set[int] = set()  # names of events that came from the erased
    others: list[tuple[tuple[int, int], int]] = []
    warnings = 0
    for batch in log.read(topic):
        decoded = decode_exactly(batch)
        partition = batch.source.partition
        warnings += sum(decoded.warnings.values())
        bad |= {(partition, reject.offset): str(reject.reason) for reject in decoded.rejects}
        good = zip(decoded.good.offset.tolist(), decoded.good.event_id.tolist(), strict=True)
        for offset, name in good:
            if (partition, offset) in erased:
                refused.add(name)
            elif (partition, offset) not in places:
                others.append(((partition, offset), name))
    lost = [(place, name) for place, name in others if name not in names and name not in refused]
    assert not lost, f"{topic}: {len(lost)} lost, such as {lost[:3]}"
    assert {place: reason for place, reason in aside.items() if place not in erased} == bad
    return warnings


def _same_letters(log: Log, topic: str, aside: dict[tuple[int, int], str]) -> int:
    """What was set aside is what the decoder sets aside. Returns the warnings."""
    bad: dict[tuple[int, int], str] = {}
    warnings = 0
    for batch in log.read(topic):
        decoded = decode_events(batch)
        warnings += sum(decoded.warnings.values())
        bad |= {(batch.source.partition, reject.offset): str(reject.reason) for reject in decoded.rejects}
    assert {place: reason for place, reason in aside.items() if reason != "erased_pinner"} == bad
    return warnings

"""Reading dead letters back: the topic as a stream of letters, each once, with what became of it since.

Two topics tell the whole story, and Kafka is all that is needed to read it. ``dead.letters`` holds the letters; one
that was written twice (after a crash) has the same id both times. ``dead.letters.redriven`` says which of them were
sent back to their topic, and at which offset the copy lies: a letter about a copy is the same trouble come back.

Letters pass one by one and are not kept; what is kept is 32–64 bytes for each id.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from operators.id_index import IdIndex
from operators.identity import combined_id
from streams.dead_letters import DeadLetter, decode_dead_letter
from streams.outputs import client_config
from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable

LETTERS, REDRIVEN = "dead.letters", "dead.letters.redriven"
#: Seconds for the broker to answer, and for the next messages to come.
ANSWER_SECONDS, SILENCE_SECONDS = 10.0, 30.0
#: Messages taken from the client at a time: a letter may hold 64 KiB, so few.
CHUNK = 500
#: Partition → the offset before which to stop.
Ends = dict[int, int]


class Redriven(msgspec.Struct, kw_only=True):
    """A letter was sent back to its topic. Written in one transaction with the copy itself."""

    #: The letter's, so also those of the record that it is about.
    id: int
    topic: str
    partition: int
    offset: int
    #: Where the copy lies, in the same partition.
    copy_offset: int
    #: 1 for a first redrive, one more for each time that the copy came back as a letter and was sent again.
    attempt: int


class Entry(NamedTuple):
    """A dead letter, and what is known of it besides."""

    letter: DeadLetter
    #: When it was set aside: Kafka's time of the letter, ms.
    written: int
    #: How many redrives it has come back from; 0 for a record that was never redriven.
    attempt: int
    #: It was sent back already.
    redriven: bool


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which letters to take: written from ``since`` until before ``before`` (ms), of offsets ``first`` to ``last``."""

    topics: frozenset[str] = frozenset()
    reasons: frozenset[str] = frozenset()
    partition: int | None = None
    first: int = 0
    last: int | None = None
    since: int = 0
    before: int | None = None
    #: Must stand in what is kept of the record, as UTF-8.
    text: str = ""
    #: Letters that were sent back already are left out unless asked for.
    redriven: bool = False
    _bytes: bytes = field(init=False, default=b"")

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bytes", self.text.encode())

    def __contains__(self, entry: Entry) -> bool:
        letter = entry.letter
        return (
            (not self.topics or letter.topic in self.topics)
            and (not self.reasons or letter.reason in self.reasons)
            and (self.partition is None or letter.partition == self.partition)
            and letter.offset >= self.first
            and (self.last is None or letter.offset <= self.last)
            and entry.written >= self.since
            and (self.before is None or entry.written < self.before)
            and (not self._bytes or self._bytes in (letter.value or b""))
            and (self.redriven or not entry.redriven)
        )


class Redrives:
    """What was sent back: which letters, and the copies by the id that a letter about one would have."""

    def __init__(self) -> None:
        self._done, self._copies = IdIndex(), IdIndex()
        self._attempts = bytearray()

    @classmethod
    def load(cls, settings: Settings) -> Redrives:
        """Read the topic of redrives whole. Raises StoreUnavailable."""
        redrives = cls()
        for message in messages(settings, REDRIVEN):
            redrives.add(msgspec.json.decode(message.value(), type=Redriven))
        return redrives

    def add(self, redriven: Redriven) -> None:
        copy = letter_id(redriven.topic, redriven.partition, redriven.copy_offset)
        self._done.intern(_ids(redriven.id))
        if self._copies.find(copy) < 0:
            self._copies.intern(_ids(copy))
            self._attempts.append(min(redriven.attempt, 255))

    def is_done(self, letter: int) -> bool:
        """Was this letter sent back?"""
        return self._done.find(letter) >= 0

    def attempt(self, letter: int) -> int:
        """How many redrives led to this letter."""
        place = self._copies.find(letter)
        return self._attempts[place] if place >= 0 else 0


def letter_id(topic: str, partition: int, offset: int) -> int:
    """The id of the letter about a record."""
    return combined_id("dead letter", topic, partition, offset)


def read_letters(
    settings: Settings, wanted: Wanted, redrives: Redrives | None = None, ends: Ends | None = None
) -> Iterator[Entry]:
    """The wanted letters in the order in which they were set aside, each once, up to now (or to ``ends``).

    Raises StoreUnavailable when Kafka is gone.
    """
    redrives = Redrives.load(settings) if redrives is None else redrives
    seen = IdIndex()
    for message in messages(settings, LETTERS, since=wanted.since, ends=ends):
        try:
            letter = decode_dead_letter(message.value() or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # not written by us
        entry = Entry(letter, message.timestamp()[1], redrives.attempt(letter.id), redrives.is_done(letter.id))
        if entry in wanted and seen.find(letter.id) < 0:
            seen.intern(_ids(letter.id))
            yield entry


def current_ends(settings: Settings) -> Ends:
    """Where the letters end now, by partition. Raises StoreUnavailable."""
    consumer = _consumer(settings)
    try:
        return {
            each.partition: _watermarks(settings, consumer, each)[1]
            for each in _partitions(settings, consumer, LETTERS)
        }
    finally:
        consumer.close()


def has_topic(settings: Settings, topic: str) -> bool:
    """Is there such a topic? Raises StoreUnavailable."""
    consumer = _consumer(settings)
    try:
        return bool(_partitions(settings, consumer, topic))
    finally:
        consumer.close()


def messages(settings: Settings, topic: str, since: int = 0, ends: Ends | None = None) -> Generator[Any]:
    """Every committed message of a topic from a time (ms) on, up to ``ends``; a topic that is not there has none.

    Raises StoreUnavailable when Kafka is gone, or goes.
    """
    consumer = _consumer(settings)
    try:
        partitions = _partitions(settings, consumer, topic)
        left: Ends = {}
        for each in partitions:
            low, high = _watermarks(settings, consumer, each)
            end = high if ends is None else min(high, ends.get(each.partition, 0))
            if low < end:
                left[each.partition] = end
            each.offset = low
        if since and partitions:
            partitions = consumer.offsets_for_times(
                [TopicPartition(topic, each.partition, since) for each in partitions], timeout=ANSWER_SECONDS
            )
        consumer.assign([each for each in partitions if each.partition in left])
        yield from _until(settings, consumer, left)
    except KafkaException as error:
        raise _gone(settings, error) from None
    finally:
        consumer.close()


def _until(settings: Settings, consumer: Consumer, left: Ends) -> Generator[Any]:
    heard = time.monotonic()
    while left:
        chunk = consumer.consume(CHUNK, timeout=0.2)
        if chunk:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_SECONDS:
            raise StoreUnavailable("kafka", f"nothing came from {settings.kafka_bootstrap} for {SILENCE_SECONDS:g} s")
        for message in chunk:
            partition, offset, error = cast(int, message.partition()), cast(int, message.offset()), message.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:
                    left.pop(partition, None)
                elif not error.retriable() and error.code() not in (
                    KafkaError._TRANSPORT,
                    KafkaError._ALL_BROKERS_DOWN,
                ):
                    raise KafkaException(error)
            elif partition in left:
                if offset < left[partition]:
                    yield message
                if offset + 1 >= left[partition]:
                    del left[partition]


def _consumer(settings: Settings, **config: Any) -> Consumer:
    return Consumer(
        {
            **client_config(settings),
            "group.id": f"{settings.group}-dead-letters",  # never joined: partitions are assigned, nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": 16_384,
            **config,
        }
    )


def _partitions(settings: Settings, consumer: Consumer, topic: str) -> list[TopicPartition]:
    try:
        known = consumer.list_topics(topic, timeout=ANSWER_SECONDS).topics[topic]
    except KafkaException as error:
        raise _gone(settings, error) from None
    return [TopicPartition(topic, number) for number in sorted(known.partitions)]


def _watermarks(settings: Settings, consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    try:
        return consumer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS)
    except KafkaException as error:
        raise _gone(settings, error) from None


def _gone(settings: Settings, error: KafkaException) -> StoreUnavailable:
    return StoreUnavailable("kafka", f"{settings.kafka_bootstrap} does not answer ({error.args[0].str()})")


def _ids(one: int) -> Any:
    return np.array([one], np.int64)

"""The records that dead letters are about, as their topics still hold them: key, headers and every byte."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple, Self, cast

from confluent_kafka import Consumer, Message, TopicPartition

from streams.dead_letters import MAX_VALUE, DeadLetter
from streams.outputs import client_config
from streams.settings import Settings

Header = tuple[str, str | bytes | None]
#: Within so many records it is quicker to read on than to seek.
NEAR = 2_000
SECONDS = 10.0


class Original(NamedTuple):
    """A record as its producer sent it."""

    key: bytes | None
    value: bytes
    headers: list[Header]


class Originals:
    """Looks records up by position. A topic forgets: what is gone is gone."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(
            {
                **client_config(settings),
                "group.id": f"{settings.group}-dead-letters",  # never joined
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                # An offset that was deleted is an error, not another record.
                "auto.offset.reset": "error",
                "isolation.level": "read_uncommitted",
                "max.partition.fetch.bytes": 256 << 10,
                "queued.max.messages.kbytes": 16_384,
            }
        )
        self._at: tuple[str, int, int] = ("", -1, -1)  # the partition, and the next offset to come
        self._ahead: Message | None = None  # read already, but beyond what was asked for

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def of(self, letters: Iterable[DeadLetter]) -> dict[int, Original]:
        """By letter id, the records that are still there and are what the letter says."""
        found: dict[int, Original] = {}
        for letter in sorted(letters, key=lambda each: (each.topic, each.partition, each.offset)):
            message = self._at_offset(letter)
            value = None if message is None else message.value()
            if message is not None and value is not None and _is_of(letter, value):
                found[letter.id] = Original(message.key(), value, cast(list[Header], message.headers() or []))
        return found

    def _at_offset(self, letter: DeadLetter) -> Message | None:
        topic, partition, position = self._at
        if (topic, partition) != (letter.topic, letter.partition) or not 0 <= letter.offset - position <= NEAR:
            self._ahead = None
            self._consumer.assign([TopicPartition(letter.topic, letter.partition, letter.offset)])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message, self._ahead = self._ahead or self._consumer.poll(0.2), None
            if message is None:
                continue
            if message.error() is not None:
                break  # the end of the partition, or of what it still holds
            self._at = letter.topic, letter.partition, cast(int, message.offset()) + 1
            if message.offset() == letter.offset:
                return message
            if cast(int, message.offset()) > letter.offset:
                self._ahead, self._at = message, (letter.topic, letter.partition, letter.offset + 1)
                return None
        self._at = "", -1, -1
        return None


def _is_of(letter: DeadLetter, value: bytes) -> bool:
    return len(value) == letter.size and value[:MAX_VALUE] == letter.value

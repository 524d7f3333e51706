"""Sending copies of dead letters, each with the note that it was sent, in one Kafka transaction."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from streams.dead_letter_log import REDRIVEN, Redriven
from streams.dead_letters import DeadLetter
from streams.originals import Header
from streams.outputs import LARGEST_MESSAGE, client_config
from streams.settings import Settings
from streams.stores.protocols import StoreUnavailable

TRANSACTION_SECONDS = 30.0
#: What a producer hears when another one with its transactional id has begun.
_FENCED = (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED)
#: Kafka's client tells of failures by exceptions as well.
_silent = logging.getLogger(f"{__name__}.kafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class RedriveFailed(Exception):
    """The redrive stopped; what its account says was sent is sent, and running it again goes on from there."""


class Copy(NamedTuple):
    """What is to be sent for a letter."""

    letter: DeadLetter
    attempt: int
    key: bytes | None
    value: bytes
    headers: list[Header]


class Sender:
    """Sends copies and their notes, in one transaction each time."""

    def __init__(self, settings: Settings) -> None:
        self._offsets: dict[int, int] = {}
        self._refused: dict[int, str] = {}
        self._fatal: KafkaError | None = None
        self._producer = Producer(
            {
                **client_config(settings),
                "transactional.id": f"{settings.group}-redrive",
                # How long readers may have to wait for a redrive that was killed.
                "transaction.timeout.ms": 10_000,
                "delivery.timeout.ms": 10_000,
                "compression.type": "lz4",
                "message.max.bytes": LARGEST_MESSAGE,
                "error_cb": self._failed,
            },
            logger=_silent,
        )
        self._finish(partial(self._producer.init_transactions, TRANSACTION_SECONDS))

    def send(self, copies: list[Copy], left_out: Counter[str]) -> list[Copy]:
        """Those of the copies that were sent; what the broker refuses, such as one grown too large, is left out."""
        if not copies:
            return []
        self._offsets.clear()
        self._refused.clear()
        try:
            self._producer.begin_transaction()
            self._produce(copies)
            if not self._refused:
                for copy in copies:
                    self._note(copy)
                self._flush()
                self._finish(partial(self._producer.commit_transaction, TRANSACTION_SECONDS))
                return copies
        except KafkaException as error:
            raise _failed(error) from None
        self._finish(partial(self._producer.abort_transaction, TRANSACTION_SECONDS))
        if len(copies) == 1:
            left_out[f"refused: {next(iter(self._refused.values()))}"] += 1
            return []
        # A transaction is whole or nothing: find the one that was refused.
        middle = len(copies) // 2
        return self.send(copies[:middle], left_out) + self.send(copies[middle:], left_out)

    def _produce(self, copies: list[Copy]) -> None:
        for copy in copies:
            letter = copy.letter
            try:
                self._producer.produce(
                    letter.topic, copy.value, copy.key, letter.partition,
                    headers=copy.headers, on_delivery=partial(self._delivered, letter.id),
                )  # fmt: skip
            except KafkaException as error:
                if error.args[0].code() == KafkaError._STATE:
                    break  # one before it was refused, which ends the transaction
                self._refused[letter.id] = error.args[0].str()
        self._flush()

    def _delivered(self, id_: int, error: KafkaError | None, message: Any) -> None:
        if error is None:
            self._offsets[id_] = message.offset()
        elif error.fatal() or error.code() in _FENCED:
            self._fatal = error
        elif error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._refused[id_] = error.str()

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error

    def _note(self, copy: Copy) -> None:
        letter = copy.letter
        note = Redriven(
            id=letter.id, topic=letter.topic, partition=letter.partition, offset=letter.offset,
            copy_offset=self._offsets[letter.id], attempt=copy.attempt,
        )  # fmt: skip
        self._producer.produce(
            REDRIVEN, msgspec.json.encode(note), str(letter.id).encode(), on_delivery=partial(self._delivered, 0)
        )

    def _flush(self) -> None:
        # Not flush(): of a fatal error that comes meanwhile it makes a SystemError that says nothing.
        deadline = time.monotonic() + TRANSACTION_SECONDS
        while len(self._producer) and not self._fatal and time.monotonic() < deadline:
            self._producer.poll(0.1)
        if self._fatal:
            raise _failed(KafkaException(self._fatal))
        if len(self._producer):
            raise StoreUnavailable("kafka", "the broker does not take what is sent")

    @staticmethod
    def _finish(step: Callable[[], None]) -> None:
        """A step of the transaction protocol; each may be repeated while the broker is slow."""
        for last in (False, False, True):
            try:
                step()
                return
            except KafkaException as error:
                if last or not error.args[0].retriable():
                    raise _failed(error) from None


def _failed(error: KafkaException) -> Exception:
    problem = error.args[0]
    if problem.code() in _FENCED:
        return RedriveFailed("another redrive took over; what this one sent is not sent again")
    if problem.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        return StoreUnavailable("kafka", problem.str())
    return RedriveFailed(f"Kafka refuses: {problem.str()}")

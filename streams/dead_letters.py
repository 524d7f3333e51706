"""Dead letters: records that could not be used, kept with the reason on the topic ``dead.letters``."""

from __future__ import annotations

import msgspec

from operators.batch import Reject, Source
from operators.identity import combined_id

#: Of a larger record only this many bytes are kept; an inline image would fill the topic.
MAX_VALUE = 64 << 10


class DeadLetter(msgspec.Struct, kw_only=True):
    """One record set aside. ``value`` is what it held, base64 in the JSON, cut at ``MAX_VALUE`` bytes."""

    #: Of topic, partition and offset, so that a letter written again is recognised.
    id: int
    topic: str
    partition: int
    offset: int
    #: A code of :class:`operators.rejection.Reason`.
    reason: str
    detail: str
    #: Kafka's timestamp of the record, milliseconds since the epoch; 0 where unknown.
    logged: int
    #: Bytes of the whole record; larger than ``value`` where that was cut.
    size: int
    value: bytes | None


_decoder = msgspec.json.Decoder(DeadLetter)


def encode_dead_letter(source: Source, reject: Reject) -> tuple[int, bytes]:
    """The key and value of the message for a record of ``source`` that was set aside."""
    letter = DeadLetter(
        id=combined_id("dead letter", source.topic, source.partition, reject.offset),
        topic=source.topic,
        partition=source.partition,
        offset=reject.offset,
        reason=str(reject.reason),
        detail=reject.detail,
        logged=reject.logged,
        size=len(reject.value or b""),
        value=None if reject.value is None else reject.value[:MAX_VALUE],
    )
    return letter.id, msgspec.json.encode(letter)


def decode_dead_letter(message: bytes) -> DeadLetter:
    """Read a message of ``dead.letters``. Raises msgspec.DecodeError when it is none."""
    return _decoder.decode(message)

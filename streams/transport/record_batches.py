"""What a Kafka fetch brought for one partition, as columns: where each value lies, with no object per record.

Reads format v2 (KIP-98, Kafka 0.11 and later) with every codec. Held to aiokafka's own decoder in the tests, with
one difference: a batch that cannot be read spoils nothing before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from aiokafka.errors import CorruptRecordException
from numpy.typing import NDArray

from operators.batch import Ints, Records, Source
from streams.transport import record_walk as walk
from streams.transport.compression import BadCompression, Decompressor

Bytes = NDArray[np.uint8]

_TRANSACTIONAL, _CONTROL = 0x10, 0x20
#: A control record's key: two bytes of version, two of type.
_ABORT = b"\x00\x00"
_FAILURES = {
    walk.BAD_LENGTH: "a length that no batch can have",
    walk.BAD_MAGIC: "an unknown format",
    walk.BAD_CRC: "a wrong CRC",
    walk.BAD_HEADER: "an impossible header",
    walk.BAD_RECORD: "a record that does not fit its batch",
    walk.BAD_COUNT: "bytes after its last record",
}


class CorruptBatch(CorruptRecordException):
    """A batch that cannot be read; to go on without it, seek beyond it."""

    def __init__(self, topic: str, partition: int, offset: int, reason: str) -> None:
        super().__init__(f"{topic}:{partition}: the batch at offset {offset} has {reason}")
        self.topic = topic
        self.partition = partition
        self.offset = offset


class OldFormat(ValueError):
    """Batches of format v0 or v1, which Kafka wrote before 0.11."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought: the records up to the first batch that cannot be read, and why it cannot."""

    records: Records | None
    #: Where to fetch next: after the last batch, which may have been a marker, aborted or compacted away.
    position: int
    failure: CorruptBatch | None


class RecordBatches:
    """Decodes message sets, one at a time. ``check_crcs``: that no byte was lost on the way or on the disk."""

    def __init__(self, *, check_crcs: bool = True, read_committed: bool = False) -> None:
        self._check_crcs = check_crcs
        self._read_committed = read_committed
        self._decompressor = Decompressor()
        # The walks are compiled, or loaded, now: a first fetch that took seconds could cost the group a member.
        self.decode("", 0, 0, b"")
        _is_abort(np.frombuffer(b"", np.uint8))

    def decode(
        self, topic: str, partition: int, position: int, data: bytes, aborted: Sequence[tuple[int, int]] = ()
    ) -> Fetched:
        """The records at or above ``position``; ``aborted`` are the broker's (producer id, first offset).

        Never raises for bad bytes, only :class:`OldFormat`.
        """
        buffer: Bytes = np.frombuffer(data, np.uint8)
        table = np.empty((len(data) // walk.HEADER + 1, walk.COLUMNS), np.int64)
        good, ended, at = walk.walk_batches(buffer, self._check_crcs, table)
        if ended == walk.OLD:
            raise OldFormat(f"{topic}:{partition}: the batch at offset {at} is of a format before 0.11")
        reason = _FAILURES.get(ended)
        wanted = table[:good]
        if (wanted[:, walk.ATTRIBUTES] & (walk.CODEC | _TRANSACTIONAL | _CONTROL)).any():
            wanted = wanted[self._delivered(buffer, wanted, aborted)]
            buffer, wanted, unreadable = self._plain(buffer, wanted)
            if unreadable is not None:
                batch, reason = unreadable
                at, good = int(batch[walk.BASE]), int(np.searchsorted(table[:good, walk.START], batch[walk.START]))
        columns = _columns(wanted)
        rows, after, read, ended = walk.walk_records(buffer, wanted, position, *columns)
        if ended != walk.FINE:
            reason, at = _FAILURES[ended], int(wanted[read, walk.BASE])
        elif good:
            after = max(after, int(table[:good, walk.NEXT].max()))
        failure = CorruptBatch(topic, partition, int(at), reason) if reason else None
        records = None
        if rows:
            offsets, logged, starts, lengths = (column[:rows] for column in columns)
            source = Source(topic, partition, int(offsets[0]), int(offsets[-1]))
            records = Records(source, offsets, logged, buffer, starts, lengths)
        return Fetched(records, int(after), failure)

    def _delivered(self, buffer: Bytes, table: Ints, aborted: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
        """Which batches hold records for us: no markers and, where only committed ones are read, none aborted."""
        keep = (table[:, walk.ATTRIBUTES] & _CONTROL) == 0
        if not self._read_committed:
            return keep
        ahead = sorted(aborted, key=lambda transaction: transaction[1], reverse=True)
        aborting: set[int] = set()
        for row, (start, end, base, attributes, producer) in enumerate(
            table[:, [walk.START, walk.END, walk.BASE, walk.ATTRIBUTES, walk.PRODUCER]].tolist()
        ):
            while ahead and ahead[-1][1] <= base:
                aborting.add(ahead.pop()[0])
            if attributes & _CONTROL:
                if _is_abort(buffer[start:end]):
                    aborting.discard(producer)
            elif attributes & _TRANSACTIONAL and producer in aborting:
                keep[row] = False
        return keep

    def _plain(self, buffer: Bytes, table: Ints) -> tuple[Bytes, Ints, tuple[Ints, str] | None]:
        """The same batches uncompressed, up to the first that cannot be, with that one and why."""
        if not (table[:, walk.ATTRIBUTES] & walk.CODEC).any():
            return buffer, table, None
        plain, moved, unreadable = bytearray(), table.copy(), None
        for row, batch in enumerate(table):
            payload = buffer[batch[walk.START] : batch[walk.END]].data
            if codec := int(batch[walk.ATTRIBUTES]) & walk.CODEC:
                try:
                    payload = self._decompressor.decompress(codec, payload)
                except BadCompression as error:
                    moved, unreadable = moved[:row], (batch, f"bytes that cannot be decompressed ({error})")
                    break
            moved[row, walk.START] = len(plain)
            plain += payload
            moved[row, walk.END] = len(plain)
        out = np.frombuffer(plain, np.uint8)
        out.flags.writeable = False
        return out, moved, unreadable


def _columns(table: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Room for every record that these batches can hold, whatever their headers claim."""
    possible = (table[:, walk.END] - table[:, walk.START]) // walk.SMALLEST_RECORD
    room = int(np.minimum(table[:, walk.COUNT], possible).sum())
    return np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)


def _is_abort(payload: Bytes) -> bool:
    """Is the first record of a control batch an abort marker?"""
    start, length = walk.first_key(payload)
    return bool(length >= 4) and payload[start + 2 : start + 4].tobytes() == _ABORT

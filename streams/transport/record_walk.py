"""Kafka's record batches (format v2, KIP-98) walked byte by byte, compiled: first the batches, then their records.

Nothing here trusts a length or a count: whatever the bytes are, the walk stays inside the buffer and ends.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from streams.transport.crc32c import crc32c

#: Bytes before the length's own end, of a batch's header, and of the smallest record.
OVERHEAD, HEADER, SMALLEST_RECORD = 12, 61, 7
#: Columns of the table of batches; ``START`` to ``END`` is where the records lie, compressed or not.
START, END, BASE, NEXT, ATTRIBUTES, FIRST_TIME, LOGGED, PRODUCER, COUNT, COLUMNS = range(10)
#: How a walk ended. ``OLD`` are batches of format v0 or v1.
FINE, OLD, BAD_LENGTH, BAD_MAGIC, BAD_CRC, BAD_HEADER, BAD_RECORD, BAD_COUNT = range(8)
#: Bits of a batch's attributes: the codec, and whether Kafka's time of the append is every record's time.
CODEC, APPEND_TIME = 0x07, 0x08


@njit(cache=True, nogil=True)
def _integer(buffer, place, size):  # type: ignore[no-untyped-def]
    """A big-endian signed integer."""
    value = np.int64(np.int8(buffer[place]))
    for at in range(place + 1, place + size):
        value = (value << 8) | np.int64(buffer[at])
    return value


@njit(cache=True, nogil=True)
def walk_batches(buffer, check_crcs, table):  # type: ignore[no-untyped-def]
    """List the whole batches of a message set in ``table`` ``(room, COLUMNS)``; an incomplete last one is left out.

    Returns how many are good, how the walk ended, and the base offset of the batch that it ended at.
    """
    place, count, size = 0, 0, len(buffer)
    while size - place >= OVERHEAD:
        length = _integer(buffer, place + 8, 4)
        end = place + OVERHEAD + length
        if end > size:
            break
        base = _integer(buffer, place, 8)
        if length < 5:
            return count, BAD_LENGTH, base
        magic = buffer[place + 16]
        if magic < 2:
            return count, OLD, base
        if magic > 2:
            return count, BAD_MAGIC, base
        if length < HEADER - OVERHEAD:
            return count, BAD_LENGTH, base
        if check_crcs and np.uint64(_integer(buffer, place + 17, 4) & 0xFFFFFFFF) != crc32c(buffer, place + 21, end):
            return count, BAD_CRC, base
        attributes = _integer(buffer, place + 21, 2)
        last_delta = _integer(buffer, place + 23, 4)
        records = _integer(buffer, place + 57, 4)
        if base < 0 or base > np.int64(1) << 62 or last_delta < 0 or records < 0 or (attributes & CODEC) > 4:
            return count, BAD_HEADER, base
        row = table[count]
        row[START], row[END], row[BASE], row[NEXT] = place + HEADER, end, base, base + last_delta + 1
        row[ATTRIBUTES], row[COUNT] = attributes, records
        row[FIRST_TIME], row[LOGGED] = _integer(buffer, place + 27, 8), _integer(buffer, place + 35, 8)
        row[PRODUCER] = _integer(buffer, place + 43, 8)
        count += 1
        place = end
    return count, FINE, np.int64(-1)


@njit(cache=True, nogil=True)
def _varint(buffer, place, end):  # type: ignore[no-untyped-def]
    """A zigzag varint before ``end`` and the place after it; a place of -1 when there is none."""
    if place < end and buffer[place] < 0x80:
        low = np.int64(buffer[place])
        return (low >> 1) ^ -(low & 1), place + 1
    value, shift = np.uint64(0), np.uint64(0)
    while place < end and shift < np.uint64(64):
        byte = np.uint64(buffer[place])
        place += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            return np.int64(value >> np.uint64(1)) ^ -np.int64(value & np.uint64(1)), place
        shift += np.uint64(7)
    return np.int64(0), -1


@njit(cache=True, nogil=True)
def _bytes(buffer, place, end):  # type: ignore[no-untyped-def]
    """Length, start and end of a byte string; a negative length is null. An end of -1 when it does not fit."""
    length, place = _varint(buffer, place, end)
    if place < 0 or length > end - place:
        return length, place, -1
    return length, place, place + max(length, 0)


@njit(cache=True, nogil=True)
def _after_headers(buffer, place, end):  # type: ignore[no-untyped-def]
    """The place after a record's headers, or -1."""
    count, place = _varint(buffer, place, end)
    if place < 0 or count < 0 or count > end - place:
        return -1
    for _ in range(count):
        length, _start, place = _bytes(buffer, place, end)
        if place < 0 or length < 0:
            return -1
        length, _start, place = _bytes(buffer, place, end)
        if place < 0:
            return -1
    return place


@njit(cache=True, nogil=True)
def walk_records(buffer, table, position, offsets, logged, starts, lengths):  # type: ignore[no-untyped-def]
    """Write where the values lie of the records at or above ``position``; the four columns have room for all.

    Returns how many there are, the offset after them, how many batches are good, and how the walk ended.
    """
    rows = 0
    for batch in range(len(table)):
        info = table[batch]
        place, end, first_row, first_position = info[START], info[END], rows, position
        for _ in range(info[COUNT]):
            length, place = _varint(buffer, place, end)
            if place < 0 or length < SMALLEST_RECORD - 1 or length > end - place:
                return first_row, first_position, batch, BAD_RECORD
            stop = place + length
            time, place = _varint(buffer, place + 1, stop)  # the byte is the record's attributes, unused
            if place < 0:
                return first_row, first_position, batch, BAD_RECORD
            delta, place = _varint(buffer, place, stop)
            if place < 0 or delta < 0 or delta > 0x7FFFFFFF:
                return first_row, first_position, batch, BAD_RECORD
            _length, _start, place = _bytes(buffer, place, stop)  # the key
            if place < 0:
                return first_row, first_position, batch, BAD_RECORD
            size, start, place = _bytes(buffer, place, stop)
            if place < 0 or _after_headers(buffer, place, stop) != stop:
                return first_row, first_position, batch, BAD_RECORD
            place = stop
            offset = info[BASE] + delta
            # A compressed batch is sent whole, from before the offset that was asked for.
            if offset >= position:
                offsets[rows] = offset
                logged[rows] = info[LOGGED] if info[ATTRIBUTES] & APPEND_TIME else info[FIRST_TIME] + time
                starts[rows] = start
                lengths[rows] = max(size, -1)
                rows += 1
                position = offset + 1
        if place != end:
            return first_row, first_position, batch, BAD_COUNT
        # After compaction the last records may be missing; the next batch begins after them all the same.
        position = max(position, info[NEXT])
    return rows, position, len(table), FINE


@njit(cache=True, nogil=True)
def first_key(payload):  # type: ignore[no-untyped-def]
    """Start and length of the first record's key in a batch's uncompressed records; a length of -1 without one."""
    end = len(payload)
    _length, place = _varint(payload, 0, end)
    for skipped in (1, 0):  # the attributes and the time, then the offset
        if place >= 0:
            _value, place = _varint(payload, place + skipped, end)
    if place < 0:
        return 0, -1
    length, start, after = _bytes(payload, place, end)
    return start, length if after >= 0 else -1

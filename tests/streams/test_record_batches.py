"""Record batches against aiokafka's own encoder and decoder, and against bytes that nobody meant to send."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.transport.compression import LARGEST_BATCH
from streams.transport.crc32c import _by_tables, crc32c  # pyright: ignore[reportPrivateUsage]
from streams.transport.record_batches import CorruptBatch, Fetched, OldFormat, RecordBatches

NONE, GZIP, SNAPPY, LZ4, ZSTD = CODECS = range(5)
TP = TopicPartition("saves", 3)
COMMIT, ABORT = b"\0\0\0\1", b"\0\0\0\0"
COMMITTED, ANY = RecordBatches(read_committed=True), RecordBatches()


class Record(NamedTuple):
    time: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def sealed(batch: bytearray) -> bytes:
    """The batch with the CRC that belongs to it."""
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    return bytes(batch)


def batch(
    records: Sequence[Record], base: int = 0, codec: int = NONE, *, producer: int = -1, flags: int = 0, gap: int = 0
) -> bytes:
    """A batch by aiokafka's encoder; ``gap``: offsets at its end that compaction emptied; ``flags``: attribute bits."""
    builder = DefaultRecordBatchBuilder(2, codec, producer >= 0, producer, 0, 0, 1 << 24)
    for number, record in enumerate(records):
        assert builder.append(number, record.time, record.key, record.value, list(record.headers))
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, base)
    attributes, last = struct.unpack_from(">hi", raw, 21)
    struct.pack_into(">hi", raw, 21, attributes | flags, last + gap)
    return sealed(raw)


def marker(kind: bytes, base: int, producer: int) -> bytes:
    return batch([Record(1, kind, b"\0\0\0\0\0\0")], base, producer=producer, flags=0x20)


def by_aiokafka(data: bytes, position: int = 0, aborted: Any = (), committed: bool = False) -> tuple[list[Any], int]:
    records = PartitionRecords(TP, MemoryRecords(data), list(aborted), position, None, None, True, int(committed))
    rows = [(record.offset, record.timestamp, record.value) for record in records]
    return rows, records.next_fetch_offset


def rows(fetched: Fetched) -> list[Any]:
    if (records := fetched.records) is None:
        return []
    assert records.source == (*TP, records.offsets[0], records.offsets[-1])
    return list(zip(records.offsets.tolist(), records.logged.tolist(), records.values, strict=True))


def by_us(data: bytes, position: int = 0, aborted: Any = (), committed: bool = False) -> tuple[list[Any], int]:
    fetched = (COMMITTED if committed else ANY).decode(*TP, position, data, aborted)
    assert fetched.failure is None
    return rows(fetched), fetched.position


small = st.binary(max_size=300)
records = st.lists(
    st.builds(
        Record,
        time=st.integers(0, 1 << 42),
        key=st.none() | small,
        value=st.none() | small,
        headers=st.lists(st.tuples(st.text(max_size=5), st.none() | small), max_size=3),
    ),
    min_size=1,
    max_size=20,
)


@st.composite
def message_sets(draw: st.DrawFn) -> bytes:
    data, base = b"", draw(st.integers(0, 1 << 50))
    for some in draw(st.lists(records, max_size=5)):
        gap = draw(st.integers(0, 3))
        flags = draw(st.sampled_from([0, 0x08]))
        data += batch(some, base, draw(st.sampled_from(CODECS)), flags=flags, gap=gap)
        base += len(some) + gap + draw(st.integers(0, 3))
    return data


@given(message_sets(), st.integers(0, 60))
@settings(max_examples=300, deadline=None)
def test_it_reads_what_aiokafka_reads(data: bytes, skipped: int) -> None:
    # A broker answers with the batch that holds the position, or the next one.
    base, last = (struct.unpack_from(form, data, at)[0] for form, at in ((">q", 0), (">i", 23))) if data else (0, 0)
    position = base + min(skipped, last)
    assert by_us(data, position) == by_aiokafka(data, position)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, COMMIT, ABORT]), st.sampled_from(CODECS))), st.data()
)
@settings(max_examples=200, deadline=None)
def test_transactions_end_as_aiokafka_ends_them(steps: list[Any], data: st.DataObject) -> None:
    log, base, begun, aborted = b"", 0, {}, []
    for producer, ending, codec in steps:
        if ending is None:
            log += batch([Record(1, None, b"a"), Record(2, None, b"b")], base, codec, producer=producer)
            begun.setdefault(producer, base)
            base += 2
        else:
            log += marker(ending, base, producer)
            if (first := begun.pop(producer, None)) is not None and ending == ABORT:
                aborted.append((producer, first))
            base += 1
    position = data.draw(st.integers(0, 1))
    for committed in (False, True):
        assert by_us(log, position, aborted, committed) == by_aiokafka(log, position, aborted, committed)


def test_an_aborted_transaction_is_not_read_and_not_read_again() -> None:
    log = (
        batch([Record(1, None, b"no")], 0, producer=7)
        + marker(ABORT, 1, 7)
        + batch([Record(2, None, b"yes")], 2, producer=7)
    )
    assert by_us(log, 0, [(7, 0)], committed=True) == ([(2, 2, b"yes")], 3)
    assert by_us(log[: -len(batch([Record(2, None, b"yes")], 2))], 0, [(7, 0)], committed=True) == ([], 2)


def test_kafkas_time_of_the_append_is_every_records_time() -> None:
    assert [time for _, time, _ in by_us(batch([Record(5, None, b"a"), Record(9, None, b"b")], flags=0x08))[0]] == [
        9,
        9,
    ]


def test_snappy_is_read_bare_and_in_javas_blocks() -> None:
    import cramjam

    values = [Record(1, None, bytes([65 + n % 26]) * 100) for n in range(2000)]
    java, plain = batch(values, codec=SNAPPY), batch(values)
    assert java[61:69] == b"\x82SNAPPY\0"
    bare = bytearray(java[:61]) + bytearray(cramjam.snappy.compress_raw(plain[61:]))
    struct.pack_into(">i", bare, 8, len(bare) - 12)
    assert by_us(sealed(bare)) == by_us(java) == by_us(plain)


@pytest.mark.parametrize("codec", CODECS)
def test_cut_at_every_byte(codec: int) -> None:
    """What is whole is read; a last batch that is not whole is left for the next fetch."""
    first = batch([Record(1, b"k", b"one"), Record(2, None, None)], 0, codec)
    second = batch([Record(3, None, b""), Record(4, b"k", b"four", [("h", b"x")])], 2, codec)
    whole = first + second
    for cut in range(len(whole) + 1):
        fetched = ANY.decode(*TP, 0, whole[:cut])
        assert fetched.failure is None
        batches = (cut >= len(first)) + (cut == len(whole))
        assert (len(rows(fetched)), fetched.position) == (2 * batches, 2 * batches)


@pytest.mark.parametrize("codec", CODECS)
def test_no_flipped_bit_passes_and_nothing_before_it_is_lost(codec: int) -> None:
    first = batch([Record(1, None, b"one")], 0, codec)
    second = batch([Record(2, b"k", b"two"), Record(3, None, b"three")], 1, codec)
    for place in range(12, len(second)):  # what comes before is outside the CRC
        if 12 <= place < 16:
            continue  # so is the leader's epoch
        for bit in range(8):
            flipped = bytearray(second)
            flipped[place] ^= 1 << bit
            try:
                fetched = ANY.decode(*TP, 0, first + bytes(flipped))
            except OldFormat:
                assert place == 16
                continue
            assert rows(fetched) == [(0, 1, b"one")] and fetched.position == 1
            assert isinstance(fetched.failure, CorruptRecordException) and fetched.failure.offset == 1


def mutated(random: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(random.randint(1, 4)):
        place = random.choice([random.randrange(len(out)), random.randrange(min(len(out), 90))])
        match random.randrange(5):
            case 0:
                out[place] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
            case 1:
                out[place] ^= 1 << random.randrange(8)
            case 2:
                del out[place : place + random.randint(1, 5)]
            case 3:
                out[place:place] = random.randbytes(random.randint(1, 5))
            case _:
                out[place : place + 10] = b"\xff" * random.randint(1, 12)
        if len(out) < 62:
            out += bytes(62 - len(out))
    return bytes(out)


def test_fifty_thousand_mutated_buffers_end_in_records_or_in_the_typed_error() -> None:
    """Most get a good length, format and CRC again, so that the damage reaches the decoder."""
    chance = random.Random(4)
    seeds = [
        batch([Record(n, b"key", b"v" * (n * 9 % 50), [("h", b"x")] * (n % 2)) for n in range(8)], 5, codec)
        for codec in CODECS
    ]
    failures = stricter = 0
    for number in range(50_000):
        codec = number % 5
        out = bytearray(mutated(chance, seeds[codec]))
        if number % 7:
            struct.pack_into(">i", out, 8, len(out) - 12)
            out[16] = 2
            sealed(out)
        data = seeds[0] + sealed(out) if number % 7 else bytes(out)
        try:
            fetched = ANY.decode(*TP, 0, data)
        except OldFormat:
            continue
        assert fetched.failure is None or type(fetched.failure) is CorruptBatch
        failures += fetched.failure is not None
        found = rows(fetched)
        assert all(a[0] < b[0] for a, b in pairwise(found)), "offsets ascend"
        if codec == NONE and fetched.failure is None:
            try:
                theirs, position = by_aiokafka(data)
            except (CorruptRecordException, UnicodeDecodeError):
                stricter += 1  # it reads a record's attributes as a varint, and a header's name as UTF-8
                continue
            assert found == theirs
            assert fetched.position >= position, "it goes back when a header understates the last offset"
    assert failures > 10_000
    assert stricter < 50


@pytest.mark.parametrize("codec", [GZIP, ZSTD])
def test_a_batch_that_blows_up_is_refused(codec: int) -> None:
    import cramjam

    bomb = {GZIP: cramjam.gzip, ZSTD: cramjam.zstd}[codec].compress(bytes(LARGEST_BATCH + 1))
    raw = bytearray(batch([Record(1, None, b"x")], codec=codec)[:61]) + bytearray(bytes(bomb))
    struct.pack_into(">i", raw, 8, len(raw) - 12)
    assert "decompressed" in str(ANY.decode(*TP, 0, sealed(raw)).failure)


def test_formats_before_kafka_011_are_named() -> None:
    old = bytearray(batch([Record(1, None, b"x")]))
    old[16] = 1
    with pytest.raises(OldFormat, match="saves:3"):
        ANY.decode(*TP, 0, bytes(old))


@given(st.binary(max_size=200), st.integers(0, 9))
@settings(deadline=None)
def test_crc_equals_aiokafkas(data: bytes, start: int) -> None:
    import numpy as np

    start = min(start, len(data))
    assert crc32c(np.frombuffer(data, np.uint8), start, len(data)) == calc_crc32c(data[start:])
    words = np.frombuffer(data[: len(data) // 8 * 8], np.uint64)
    tables = int(_by_tables(np.uint64(0xFFFFFFFF), words)) ^ 0xFFFFFFFF
    assert tables == calc_crc32c(words.tobytes())

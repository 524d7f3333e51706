"""The slow lane: formats before Kafka 0.11, which no broker of today writes but an old topic may hold."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from streams.transport.records_consumer import _Chunks, _one_by_one

TP = TopicPartition("pins", 2)


def message_set(magic: int) -> bytes:
    builder = LegacyRecordBatchBuilder(magic, 0, 1 << 16)
    for offset in range(5):
        assert builder.append(offset, 1_000 + offset, None, None if offset == 3 else b"v%d" % offset)
    return bytes(builder.build())


def prepared(data: bytes, position: int = 0) -> PartitionRecords:
    return PartitionRecords(TP, MemoryRecords(data), None, position, None, None, True, 0)


@pytest.mark.parametrize("magic", [0, 1])
def test_aiokafka_reads_them_and_they_come_as_records(magic: int) -> None:
    fetched = _one_by_one(TP, prepared(message_set(magic), 1))
    assert fetched.records is not None and fetched.failure is None
    assert fetched.records.source == ("pins", 2, 1, 4)
    assert fetched.records.values == [b"v1", b"v2", None, b"v4"]
    assert fetched.records.logged.tolist() == ([1_001, 1_002, 1_003, 1_004] if magic else [-1] * 4)
    assert fetched.position == 5


def test_what_comes_before_a_spoilt_one_is_kept() -> None:
    data = bytearray(message_set(1))
    data[-1] ^= 1
    fetched = _one_by_one(TP, prepared(bytes(data)))
    assert fetched.records is not None and fetched.failure is not None
    assert fetched.records.values == [b"v0", b"v1", b"v2", None]
    assert fetched.failure.offset == fetched.position == 4


def test_they_are_handed_out_in_parts_of_at_most_so_many() -> None:
    chunks = _Chunks(_one_by_one(TP, prepared(message_set(1))), 0, 2, 0)
    parts = [(each.position, *each.source[2:], chunks.next_fetch_offset, each.values) for each in chunks]
    assert parts == [(0, 0, 1, 2, [b"v0", b"v1"]), (2, 2, 3, 4, [b"v2", None]), (4, 4, 4, 5, [b"v4"])]
    assert chunks.next_fetch_offset == 5

"""aiokafka's consumer, handing out undecoded records of chosen topics: no Python object per record.

For a topic of ``batch_topics`` the lists of ``getmany`` hold :class:`Chunk`s, which are
:class:`~operators.batch.Records`, of at most so many records each, and ``getone`` returns one of them; other topics
come as aiokafka's ``ConsumerRecord``. Groups, positions, seeks, pauses, back-pressure and commits are aiokafka's: only
what stands between a fetch response and its records is ours. Deserializers, keys and headers play no part in batch
topics.
"""
# aiokafka's fetcher has no public extension point; what is used of it is named here and nowhere else.
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.protocol.fetch import FetchRequest

from operators.batch import Records, Source
from streams.transport.record_batches import CorruptBatch, Fetched, OldFormat, RecordBatches


@dataclass(frozen=True, slots=True)
class Chunk(Records):
    """Records, and where reading stood before them: from ``position`` to ``source.last`` nothing else is for us."""

    position: int


class RecordsConsumer(AIOKafkaConsumer):
    """aiokafka's consumer with ``batch_topics``: topic → the most records of one batch."""

    def __init__(self, *topics: str, batch_topics: Mapping[str, int], **options: Any) -> None:
        super().__init__(*topics, **options)
        self._batch_topics = batch_topics

    async def start(self) -> None:
        await super().start()
        await fetch_records(self, self._batch_topics)


async def fetch_records(consumer: AIOKafkaConsumer, batch_topics: Mapping[str, int]) -> None:
    """Make a started consumer hand out :class:`Chunk`s of these topics. Nothing fetched before is lost."""
    if consumer._fetcher is None:
        raise RuntimeError("start the consumer first: await consumer.start()")
    await consumer._fetcher.close()
    consumer._fetcher = RecordsFetcher(consumer, batch_topics)


class RecordsFetcher(Fetcher):
    """aiokafka's fetcher; decodes a batch topic's response when it arrives, so that bad bytes fail alone.

    What aiokafka has prepared for such a partition (and not yet looked into) is replaced in the same turn of the
    event loop, before anybody can see it.
    """

    def __init__(self, consumer: AIOKafkaConsumer, batch_topics: Mapping[str, int]) -> None:
        self._batch_topics = batch_topics
        self._answers = _Answers(consumer._client)
        super().__init__(
            self._answers,
            consumer._subscription,
            key_deserializer=consumer._key_deserializer,
            value_deserializer=consumer._value_deserializer,
            fetch_min_bytes=consumer._fetch_min_bytes,
            fetch_max_bytes=consumer._fetch_max_bytes,
            fetch_max_wait_ms=consumer._fetch_max_wait_ms,
            max_partition_fetch_bytes=consumer._max_partition_fetch_bytes,
            check_crcs=consumer._check_crcs,
            fetcher_timeout=consumer._consumer_timeout,
            retry_backoff_ms=consumer._retry_backoff_ms,
            auto_offset_reset=consumer._auto_offset_reset,
            isolation_level=consumer._isolation_level,
            client_rack=consumer._client_rack,
        )
        self._batches = RecordBatches(
            check_crcs=consumer._check_crcs, read_committed=self._isolation_level == READ_COMMITTED
        )
        #: Offsets at the end of a fetch that hold nothing for us, from and up to: markers, aborted, compacted away.
        self._empty: dict[TopicPartition, tuple[int, int]] = {}

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        try:
            has_news = await super()._proc_fetch_request(assignment, node_id, request)
        finally:
            response = self._answers.take(request)
        for topic, partitions in response.topics if response else ():
            if topic in self._batch_topics:
                for partition, *_, message_set in partitions:
                    self._replace(assignment, TopicPartition(topic, partition), message_set)
        return has_news

    def _replace(self, assignment: Any, tp: TopicPartition, message_set: bytes) -> None:
        prepared = getattr(self._records.get(tp), "_partition_records", None)
        if type(prepared) is not PartitionRecords:
            return  # an error, a response that came too late, or nothing whole in it
        position = prepared.next_fetch_offset
        try:
            fetched = self._batches.decode(
                tp.topic, tp.partition, position, message_set, prepared._aborted_transactions
            )
        except OldFormat:
            fetched = _one_by_one(tp, prepared)
        # A generator that is not used up holds it, as it does the generator: the collector alone would free the bytes.
        prepared._records_iterator = None
        del self._records[tp]
        if fetched.failure and not fetched.records:
            self._set_error(tp, fetched.failure)
            return
        empty, up_to = self._empty.pop(tp, (position, position))
        begin = empty if up_to == position else position
        self._empty[tp] = fetched.records.source.last + 1 if fetched.records else begin, fetched.position
        # Where a batch cannot be read, those before it come first and the next fetch begins with it.
        chunks = _Chunks(fetched, position, self._batch_topics[tp.topic], begin)
        self._records[tp] = FetchResult(
            tp, assignment=assignment, partition_records=chunks, backoff=self._prefetch_backoff
        )


class _Answers:
    """aiokafka's client, which also keeps the answer to a fetch until it is taken."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._kept: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        response = await self._client.send(node_id, request, **options)
        if isinstance(request, FetchRequest):
            self._kept[id(request)] = response
        return response

    def take(self, request: Any) -> Any:
        return self._kept.pop(id(request), None)


class _Chunks:
    """What a ``FetchResult`` asks of ``PartitionRecords``: things to hand out, and the position after each."""

    def __init__(self, fetched: Fetched, position: int, most: int, begin: int) -> None:
        """``begin``: up to the position, nothing has been for us since there."""
        self._records, self._end, self._most = fetched.records, fetched.position, most
        self._row, self._begin = 0, begin
        self.next_fetch_offset = position

    def __iter__(self) -> _Chunks:
        return self

    def __next__(self) -> Chunk:
        if self._records is None or self._row >= len(self._records):
            self._records = None
            self.next_fetch_offset = self._end
            raise StopIteration
        chunk = _part(self._records, slice(self._row, self._row + self._most), self._begin)
        self._row += self._most
        self._begin = self.next_fetch_offset = chunk.source.last + 1
        return chunk


def _part(records: Records, rows: slice, position: int) -> Chunk:
    """Some of the records, over their own part of the buffer; no value is copied."""
    offsets, starts, lengths = records.offsets[rows], records.starts[rows], records.lengths[rows]
    first, end = int(starts[0]), int(starts[-1]) + max(int(lengths[-1]), 0)
    source = records.source._replace(first=int(offsets[0]), last=int(offsets[-1]))
    return Chunk(source, offsets, records.logged[rows], records.buffer[first:end], starts - first, lengths, position)


def _one_by_one(tp: TopicPartition, prepared: PartitionRecords) -> Fetched:
    """The slow lane for formats v0 and v1: aiokafka decodes, and an object stands for each record."""
    records: list[Any] = []
    failure = None
    try:
        records.extend(prepared)
    except CorruptRecordException as error:
        failure = CorruptBatch(tp.topic, tp.partition, prepared.next_fetch_offset, str(error))
    if not records:
        return Fetched(None, prepared.next_fetch_offset, failure)
    source = Source(tp.topic, tp.partition, records[0].offset, records[-1].offset)
    offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
    # Format v0 knows no time; -1 is Kafka's own sign for none.
    logged = np.fromiter((-1 if one.timestamp is None else one.timestamp for one in records), np.int64, len(records))
    values = [record.value for record in records]
    return Fetched(Records.of(source, offsets, logged, values), prepared.next_fetch_offset, failure)

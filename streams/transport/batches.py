"""A batch transport for Faust: what one fetch brought for a partition is one message.

Faust hands an agent one record at a time, which costs 50–100 µs each. Here the consumer yields one
message per partition and fetch, whose value is a :class:`Delivery` of undecoded records, so that cost is
paid per batch. Everything else stays Faust's: groups, rebalances, back-pressure, commits, the command
line, the web and the sensors. Topics not named in ``batch_topics`` are delivered a record at a time as ever.

It plugs in through Faust's own extension point, the entry point group ``faust.transports``: use a broker
URL that starts with ``batches://``.

A batch is committed only when its agent said that it is done (:meth:`Delivery.done`). Faust also
acknowledges messages that it *skips* during a rebalance; for batches such an acknowledgement counts for nothing,
and the batch is read again. Nor is anything committed past records that were lost between the broker and the agent:
each batch says where reading stood before it, and one that does not follow the last makes the consumer go back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, cast

import aiokafka
import faust
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, Message

from operators.batch import Records
from streams.transport.record_batches import CorruptBatch
from streams.transport.records_consumer import Chunk, fetch_records

#: Faust fixes 1,500 ms. A fetch that names only partitions at their end holds back all others that long.
FETCH_MAX_WAIT_MS = 50
#: With less than so many bytes the broker waits that long: a trickle comes as 20 fetches a second, not as hundreds,
#: each of which costs the broker and the agents as much as one of thousands of records.
FETCH_MIN_BYTES = 32 * 1024
#: How long a partition rests after a batch that cannot be read, seconds.
CORRUPT_RETRY_S = 5.0


T = TypeVar("T")


class LetGo(Exception):
    """The batch in hand is given up: whoever has its partition next reads it again."""


class Delivery:
    """The value of a batch message: the records, and whether their agent is done with them."""

    __slots__ = ("is_done", "last", "records")

    def __init__(self, records: Chunk) -> None:
        self.records = records
        #: The last offset.
        self.last = records.source.last
        self.is_done = False

    def done(self) -> None:
        """Everything that the batch led to is stored and sent: its offsets may be committed.

        Its records are let go of here: until the next commit there may be a hundred batches.
        """
        if not self.is_done:
            self.is_done = True
            del self.records


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's aiokafka thread with a fetch that never waits long and makes no object per record."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Read once, when the consumer starts its fetcher; Faust leaves no other way to set it.
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS  # pyright: ignore[reportPrivateUsage]
        consumer._fetch_min_bytes = FETCH_MIN_BYTES  # pyright: ignore[reportPrivateUsage]
        # Faust reads what a producer took back, unless it is itself transactional.
        consumer._isolation_level = "read_committed"  # pyright: ignore[reportPrivateUsage]
        return consumer

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """The numbers of a topic's partitions, as the cluster last told them."""
        return self._ensure_consumer().partitions_for_topic(topic)

    async def on_start(self) -> None:
        await super().on_start()
        # Nothing is subscribed yet, so nothing was fetched the other way.
        await fetch_records(self._ensure_consumer(), cast(BatchTransport, self.transport).batch_topics)

    async def on_thread_stop(self) -> None:
        # Who goes on should not wait for its session to end. With a name, aiokafka stays, as one that is killed does.
        if self._consumer is not None:
            cast(Any, self._consumer)._coordinator._group_instance_id = None
        await super().on_thread_stop()

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109
        max_records: int | None = None,
    ) -> Any:
        try:
            records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        except CorruptBatch as failure:
            # To skip it would lose records, to raise would stop the other partitions.
            self.log.error("%s; this partition waits and is tried again in %s s", failure, CORRUPT_RETRY_S)
            tp = aiokafka.TopicPartition(failure.topic, failure.partition)
            cast(BatchTransport, self.transport).corrupt[TP(*tp)] = str(failure)
            if tp in consumer.assignment():
                consumer.pause(tp)
                self.thread_loop.call_later(CORRUPT_RETRY_S, _resume, consumer, tp)
            return {}
        for tp in records:
            cast(BatchTransport, self.transport).corrupt.pop(tp, None)
        return records


def _resume(consumer: aiokafka.AIOKafkaConsumer, tp: aiokafka.TopicPartition) -> None:
    """Fetch this partition again if it is still ours. (Faust's own pauses never reach aiokafka.)"""
    if tp in consumer.assignment():
        consumer.resume(tp)


class BatchConsumer(driver.Consumer):
    """Faust's consumer, delivering and committing whole batches for ``transport.batch_topics``."""

    #: Per partition, the batches that an agent has begun, in order, until committed.
    _begun: dict[TP, deque[Delivery]]
    #: Per partition, what its agent does with the batch in hand.
    _in_hand: dict[TP, asyncio.Future[Any]]
    #: Per partition, the offset that the next batch must not begin after.
    _next: dict[TP, int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._begun, self._next, self._in_hand = {}, {}, {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _most_records(self, topic: str) -> int:
        """The most records of one batch of a topic; 0 for a topic that is delivered record by record."""
        return cast(BatchTransport, self.transport).batch_topics.get(topic, 0)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        return self._batch_message(tp, record) if isinstance(record, Chunk) else super()._to_message(tp, record)

    def _batch_message(self, tp: TP, records: Chunk) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            records.source.last,
            int(records.logged[-1]) / 1000.0,
            0,  # whether Kafka or the producer set the time differs by record
            None,
            None,
            cast(Any, Delivery(records)),
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def topic_partitions(self, topic: str) -> int | None:
        """Partitions of a topic; None while unknown. (Faust asks what only the group's leader keeps.)"""
        found = cast(BatchConsumerThread, self._thread).partitions_for_topic(topic)
        return len(found) if found else None

    async def begin(self, message: Message) -> bool:
        """An agent takes up this batch: nothing after it is committed before it.

        False when records before it did not come: they are fetched again, and this batch after them.
        """
        tp, delivery = message.tp, cast(Delivery, message.value)
        position, last = delivery.records.position, delivery.last
        if position > self._next.get(tp, position) and await self._go_back(tp, position):
            return False
        if last >= self._next.get(tp, 0):
            self._begun.setdefault(tp, deque()).append(delivery)
            self._next[tp] = last + 1
        return True

    async def in_hand(self, tp: TP, work: Coroutine[Any, Any, T]) -> T:
        """Do what an agent does with a batch. Raises LetGo when :meth:`let_go` ended it."""
        task = self._in_hand[tp] = asyncio.create_task(work)
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled():
                raise LetGo from None
            task.cancel()  # the agent itself is to end
            raise
        finally:
            if self._in_hand.get(tp) is task:
                del self._in_hand[tp]

    def let_go(self, tps: Callable[[TP], bool]) -> None:
        """End what agents do with batches of these partitions: whoever has them next reads them again."""
        for tp, task in self._in_hand.items():
            if tps(tp):
                task.cancel()

    async def _go_back(self, tp: TP, position: int) -> bool:
        """Fetch again what did not come before ``position``; False when the broker has it no more."""
        missed = self._next[tp]
        try:
            missed = self._next[tp] = max(missed, (await self.earliest_offsets(tp))[tp])
            if position <= missed:
                return False
            self.log.warning("%s:%s: %s to %s did not come and are fetched again", *tp, missed, position - 1)
            await self._thread.seek_wait({tp: missed})
        except KafkaError as error:  # without a broker, or no longer ours: what comes next will show
            self.log.warning("%s:%s: %s to %s did not come (%s)", *tp, missed, position - 1, error)
        return True

    def ack(self, message: Message) -> bool:
        """Mark a message as acknowledged; a batch only if its agent is done with it."""
        value = cast(Any, message.value)
        if isinstance(value, Delivery) and not value.is_done:
            message.acked = True
            self._unacked_messages.discard(message)
            return False
        return super().ack(message)

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: past the batches that are done, up to the first that is not."""
        if not self._most_records(tp.topic):
            return super()._new_offset(tp)
        self._acked[tp].clear()  # Faust's own list of what is done
        self._acked_index[tp].clear()
        begun, offset = self._begun.get(tp), None
        while begun and begun[0].is_done:
            offset = begun.popleft().last + 1
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """A batch's last offset is far from the one before it; that is no gap."""
        if not self._most_records(tp.topic):
            await super()._add_gap(tp, offset_from, offset_to)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # Faust stops the flow only where something is assigned. An idle worker would fetch what it is given now, and
        # Faust would clear that from its queues when it starts the flow, after the seek that could bring it back.
        self.stop_flow()
        self.app.flow_control.suspend()
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._begun.pop(tp, None)
            self._next.pop(tp, None)
            cast(BatchTransport, self.transport).corrupt.pop(tp, None)

    async def perform_seek(self) -> None:
        await super().perform_seek()
        # What was begun before the seek is delivered again, under a new message.
        self._begun.clear()
        self._next = {tp: offset for tp, offset in self._committed_offset.items() if offset}
        await self._seek_where_nothing_is_committed()

    async def seek(self, partition: TP, offset: int) -> None:
        await super().seek(partition, offset)
        self._begun.pop(partition, None)
        self._next[partition] = offset

    async def _seek_where_nothing_is_committed(self) -> None:
        """Back to the start, where aiokafka leaves a partition without a committed offset at the position it has.

        Faust seeks since it dropped what it had fetched. The group's first rebalance would lose those records.
        """
        if self.app.conf.consumer_auto_offset_reset != "earliest":
            return
        committed = self._committed_offset
        new = [tp for tp in self.assignment() if self._most_records(tp.topic) and not committed.get(tp)]
        for tp, offset in (await self.earliest_offsets(*new)).items() if new else ():
            await self.seek(tp, offset)


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport with batches for ``batch_topics``."""

    Consumer = BatchConsumer
    #: Topic → the most records of one batch; what a fetch brings beyond that is further batches.
    batch_topics: Mapping[str, int] = MappingProxyType({})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Partitions that stand still because their next batch cannot be read, and why.
        self.corrupt: dict[TP, str] = {}


async def deliveries(
    stream: Any,
    handle: Callable[[Records], Coroutine[Any, Any, asyncio.Future[None] | None]],
    on_failure: Callable[[BaseException], Awaitable[None]],
) -> None:
    """Run an agent over batches: ``handle`` each, and acknowledge it when that returned.

    When ``handle`` returns a future, the next batch is handled at once and this one is acknowledged when the future
    is done (not if it is cancelled). ``handle`` deals with every failure that it can outlast. Any other is a bug: the
    batch stays uncommitted and ``on_failure`` is told, since to go on would leave a hole.
    """
    batches = stream.noack()

    async def settle(event: Any, later: asyncio.Future[None]) -> None:
        try:
            await later
            cast(Delivery, event.value).done()
        except asyncio.CancelledError:
            pass
        except Exception as failure:
            await on_failure(failure)
        finally:
            await batches.ack(event)

    settling: set[asyncio.Task[None]] = set()
    consumer = cast(BatchConsumer, batches.app.consumer)
    async for event in batches.events():
        delivery = cast(Delivery, event.value)
        if not await consumer.begin(event.message):
            await batches.ack(event)  # not done: it comes again
            continue
        later = None
        try:
            later = await consumer.in_hand(event.message.tp, handle(delivery.records))
            if later is None:
                delivery.done()
        except LetGo:
            pass
        except Exception as failure:
            await on_failure(failure)
            raise
        finally:
            # Without done() this only tells Faust to wait for it no longer.
            if later is None:
                await batches.ack(event)
        if later is not None:
            task = asyncio.create_task(settle(event, later))
            settling.add(task)  # the event loop itself keeps no hold of a task
            task.add_done_callback(settling.discard)


def batches_of(app: faust.App, topic: str, waiting: int = 64) -> Any:
    """A topic for an agent that takes batches, of which so many may wait for it.

    Faust takes no more of a partition when four fifths wait, but looks only after ``broker_max_poll_records`` batches
    of it. A queue that is full all the same holds up every topic: let the last fifth hold them, for each partition.
    """
    channel = app.topic(topic, schema=RecordsSchema())
    channel.maxsize = waiting  # App.topic takes a maxsize and drops it (Faust 0.15.3); 4,096 would wait
    return channel


class RecordsSchema(faust.Schema[Any, Any]):
    """For topics of batches: Faust decodes nothing, operators do."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value

"""Bytewax 0.21: its own Kafka source in batches of 10,000, and three ways to count.

``count_final``: its operator, as its documentation counts. ``shard``: a dict per key in its state, a key a partition
of the pins. ``flat``: dicts of one worker outside its state, which a recovery would lose.
"""

from __future__ import annotations

from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main

from bench.peers.answer import MINUTE, Question, Watch, answer
from bench.peers.engines.dicts import Dicts, Event, decode

SETTINGS = {"fetch.queue.backoff.ms": "5", "queued.min.messages": "500000", "fetch.message.max.bytes": str(1 << 20)}
MESSAGES = 10_000
SHARDS = 64


class Gather(StatelessSinkPartition[Any]):
    """Takes the results; Bytewax gives them at the end of the input."""

    def __init__(self, found: list[Any]) -> None:
        self._found = found

    def write_batch(self, items: list[Any]) -> None:
        self._found += items


class Sink(DynamicSink[Any]):
    def __init__(self, found: list[Any]) -> None:
        self._found = found

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Gather:
        return Gather(self._found)


def main() -> None:
    question = Question.asked()
    watch, found = Watch(), list[Any]()
    flow = Dataflow("count")
    source = KafkaSource(
        question.broker.split(","), [question.topic], tail=False, batch_size=MESSAGES, add_config=SETTINGS
    )
    messages = op.input("log", flow, source)

    def decoded(batch: list[Any]) -> list[Event]:
        if not watch.began:
            watch.saw(0)
        events = [decode(message.value) for message in batch]
        watch.seen += len(events)
        return events

    events = op.flat_map_batch("decode", messages, decoded)
    dicts = Dicts()
    WAYS[question.variant](events, Sink(found), dicts)
    cluster_main(flow, [], 0)
    watch.stop()
    for line, count in found:
        pin, kind, *minute = line.split("\t")
        if minute:
            key = int(pin), kind, int(minute[0])
            dicts.pins[key] = dicts.pins.get(key, 0) + count
        else:
            dicts.domains[pin, kind] = dicts.domains.get((pin, kind), 0) + count
    answer(watch, question, *dicts.lines())


def pin_key(event: Event) -> str:
    return f"{event.pin}\t{event.type}\t{event.time // MINUTE}"


def domain_key(event: Event) -> str:
    return f"{event.domain}\t{event.type}"


def by_count_final(events: Any, sink: Sink, _: Dicts) -> None:
    op.output("pins", op.count_final("count pins", events, pin_key), sink)
    op.output("domains", op.count_final("count domains", events, domain_key), sink)


class Shard(op.StatefulBatchLogic[Event, tuple[str, int], Any]):
    """Dicts under one key; they are given out at the end."""

    def __init__(self, state: dict[str, int] | None) -> None:
        self._counts = state or {}

    def on_batch(self, values: list[Event]) -> tuple[list[tuple[str, int]], bool]:
        counts = self._counts
        for event in values:
            key = pin_key(event)
            counts[key] = counts.get(key, 0) + 1
            key = domain_key(event)
            counts[key] = counts.get(key, 0) + 1
        return [], False

    def on_eof(self) -> tuple[list[tuple[str, int]], bool]:
        return list(self._counts.items()), True

    def snapshot(self) -> Any:
        return dict(self._counts)


def by_shard(events: Any, sink: Sink, _: Dicts) -> None:
    keyed: KeyedStream[Event] = op.key_on("shard", events, lambda event: str(event.pin % SHARDS))
    counted = op.stateful_batch("count", keyed, Shard)
    op.output("out", op.key_rm("unkey", counted), sink)


def by_flat(events: Any, sink: Sink, dicts: Dicts) -> None:
    def count(batch: list[Event]) -> list[Any]:
        for event in batch:
            dicts.count(event)
        return []

    op.output("out", op.flat_map_batch("count", events, count), sink)


WAYS = {"count_final": by_count_final, "shard": by_shard, "flat": by_flat}

if __name__ == "__main__":
    main()

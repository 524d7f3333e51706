"""Ours: a Faust agent over ``batches://``, undecoded record batches, the compiled scanner, compiled tables."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any, cast

import faust
import numpy as np

from bench.peers.answer import Question, Watch, answer
from bench.peers.engines.ours_decode import TYPES, Counting
from bench.peers.engines.ours_table import Tables
from operators.batch import Records, Source
from streams.memory import give_back
from streams.transport.batches import BatchTransport, batches_of, deliveries

#: The consumer's thread and the agent's share one core; else each may have its own.
ONE_CORE = "one worker, one core"
MOST_RECORDS = 20_000
FETCH_BYTES = 2 << 20
#: Batches that may wait for the agent: the counting is slower than the reading, and what waits is memory.
WAITING = 10


def warm_up() -> None:
    """Compile, or load what was compiled, before the clock runs."""
    event = b'{"type":"save","pin":%d,"domain":"a.example","time":0}'
    values: list[bytes | None] = [event % pin for pin in range(1, 5)]
    numbers = np.arange(len(values))
    for table in (Tables(slots=2), Tables()):
        Counting(table).count(Records.of(Source("", 0, 0, 3), numbers, numbers, values))


def main() -> None:
    question = Question.asked()
    logging.disable(logging.WARNING)
    give_back()
    asyncio.run(run(question))


async def run(question: Question) -> None:
    counting, watch, done = Counting(), Watch(), asyncio.Event()
    warm_up()
    if question.variant == ONE_CORE and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # threads that are started later inherit it
    if question.variant == "two workers":
        print("ready", flush=True)
        sys.stdin.readline()
    app = faust.App(
        question.group,
        broker=f"batches://{question.broker}",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_BYTES,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=question.scratch,
        loop=asyncio.get_running_loop(),
    )
    cast(BatchTransport, app.transport).batch_topics = {question.topic: MOST_RECORDS}
    following: dict[int, int] = {}

    async def handle(records: Records) -> None:
        # After a rebalance a batch may come again; what is counted counts once.
        partition = records.source.partition
        fresh = records.after(following.get(partition, -1))
        if fresh is None:
            return
        counting.count(fresh)
        following[partition] = fresh.source.last
        watch.saw(len(fresh))
        if watch.seen >= sum(question.totals[tp.partition] for tp in app.consumer.assignment()):
            watch.stop()
            done.set()

    async def failed(failure: BaseException) -> None:
        print(f"ours: {failure!r}", file=sys.stderr)

    async def read(stream: Any) -> None:
        await deliveries(stream, handle, failed)

    app.agent(batches_of(app, question.topic, waiting=WAITING), name="count")(read)
    await app.start()
    await done.wait()
    tables = counting.tables
    answer(
        watch,
        question,
        (f"{pin}\t{TYPES[kind]}\t{minute}\t{count}" for pin, kind, minute, count in tables.pins()),
        (f"{domain}\t{TYPES[kind]}\t{count}" for domain, kind, count in tables.domains()),
    )
    if question.variant == "two workers":
        await asyncio.to_thread(sys.stdin.readline)  # who leaves the group sets off a rebalance of the others
    await app.stop()


if __name__ == "__main__":
    main()

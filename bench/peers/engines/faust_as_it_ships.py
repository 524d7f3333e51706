"""Faust with nothing changed: an agent that takes one event a turn, counting in dicts or in Tables (in memory)."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import faust

from bench.peers.answer import MINUTE, Question, Watch, answer
from bench.peers.engines.dicts import Dicts, decode


async def run(question: Question) -> None:
    app = faust.App(
        question.group,
        broker=f"kafka://{question.broker}",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_partitions=question.partitions,
        web_enabled=False,
        datadir=question.scratch,
        loop=asyncio.get_running_loop(),
    )
    watch, dicts, done = Watch(), Dicts(), asyncio.Event()
    tables: Any = None
    if question.variant == "table":
        tables = app.Table("pins", default=int), app.Table("domains", default=int)

    async def read(stream: Any) -> None:
        async for value in stream:
            if watch.seen >= question.events:
                return
            event = decode(value)
            if tables is None:
                dicts.count(event)
            else:
                tables[0][f"{event.pin}\t{event.type}\t{event.time // MINUTE}"] += 1
                tables[1][f"{event.domain}\t{event.type}"] += 1
            watch.saw(1)
            if watch.seen == question.events:
                watch.stop()
                done.set()
                return

    app.agent(app.topic(question.topic, value_serializer="raw", key_serializer="raw"), name="count")(read)
    await app.start()
    await done.wait()
    if tables is None:
        answer(watch, question, *dicts.lines())
    else:
        answer(watch, question, *([f"{key}\t{count}" for key, count in table.items()] for table in tables))
    sys.stdout.flush()
    await asyncio.wait_for(app.stop(), 30)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(run(Question.asked()))

"""Slates for pinners who just acted: take who is due, build, emit. Nothing here waits for ClickHouse."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from operators.slate.record import Record
from streams.engine import Engine
from streams.feed_schedule import Due
from streams.persist import persist
from streams.slate_choices import choices_of
from streams.slate_memory import remember
from streams.slates import SlateRequest, build_slates, encode_slate

log = logging.getLogger(__name__)
#: Seconds between looks at the schedule while nobody is due.
IDLE = 0.010
#: With more than so many batches of pinners waiting, or somebody for so many seconds, it is a crowd: slates are made
#: from fewer candidates, and what can wait does.
CROWD, LATE = 2, 0.15
#: Batches in the making at a time.
TOGETHER = 2


async def run(engine: Engine, should_stop: Callable[[], bool]) -> None:
    """Build slates until told to stop. Never raises for one bad slate: it is logged and the next ones go on.

    While one batch waits for Milvus, Triton or Kafka, another is made; no pinner is in both, so that a later slate
    cannot go out before an earlier one.
    """
    making: dict[asyncio.Task[None], set[int]] = {}
    while not should_stop():
        # First a free hand, then who is due: those who come meanwhile are made together, which is cheaper.
        while len(making) == TOGETHER:
            await _first_of(making)
        due = engine.schedule.take(time.monotonic())
        if not due:
            engine.pace.crowd(time.monotonic(), too_many=False)
            await asyncio.sleep(IDLE)
            continue
        pinners = {entry.pinner for entry in due}
        while any(pinners & others for others in making.values()):
            await _first_of(making)
        began = time.monotonic()
        task = asyncio.create_task(_make(engine, due))
        making[task] = pinners
        if engine.pace.behind:
            await task
            await asyncio.sleep(engine.pace.rest(time.monotonic() - began))
    if making:
        await asyncio.wait(making)


async def _first_of(making: dict[asyncio.Task[None], set[int]]) -> None:
    done, _ = await asyncio.wait(making, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        del making[task]


async def _make(engine: Engine, due: list[Due]) -> None:
    now = time.monotonic()
    late = now - min(entry.first for entry in due) > LATE
    engine.pace.crowd(now, too_many=late or len(engine.schedule) > CROWD * engine.schedule.batch)
    try:
        await _emit(engine, due, busy=engine.pace.crowded)
    except Exception:
        engine.metrics.failed_slates(len(due))
        log.exception("slates for %s could not be built", [entry.pinner for entry in due])


async def _emit(engine: Engine, due: list[Due], *, busy: bool) -> None:
    requests = [SlateRequest(entry.pinner, entry.event_id, entry.logged, engine.state.now) for entry in due]
    keeper, records = engine.slate_writer.records, list[Record]()
    choices = choices_of(engine.settings.home)
    keeps = keeper.wants(choices.recording)
    slates = await build_slates(engine, requests, choices, busy=busy, records=records if keeps else None)
    messages = [encode_slate(slate) for slate in slates]
    for slate, message in zip(slates, messages, strict=True):
        engine.outputs.send("feed.candidates", slate.pinner, message)
    await persist("sending slates", engine.outputs.flush, engine.metrics)
    emitted = time.time()
    engine.metrics.freshness([emitted - entry.logged / 1000 for entry in due])
    for slate in slates:
        engine.metrics.slates(slate.degraded)
    engine.metrics.places(slates)
    engine.metrics.sent(slates)
    remember(engine.state, slates)
    engine.slate_writer.write(slates)
    keeper.write(slates, messages, records)

"""Slates for pinners who just acted: take who is due, build, emit. Nothing here waits for ClickHouse."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from streams.engine import Engine
from streams.feed_schedule import Due
from streams.persist import persist
from streams.slates import SlateRequest, build_slates, encode_slate

log = logging.getLogger(__name__)
#: Seconds between looks at the schedule while nobody is due.
IDLE = 0.010


async def run(engine: Engine, should_stop: Callable[[], bool]) -> None:
    """Build slates until told to stop. Never raises for one bad slate: it is logged and the next ones go on."""
    while not should_stop():
        due = engine.schedule.take(time.monotonic())
        if not due:
            await asyncio.sleep(IDLE)
            continue
        began = time.monotonic()
        try:
            await _emit(engine, due, busy=len(due) == engine.schedule.batch)
        except Exception:
            engine.metrics.failed_slates(len(due))
            log.exception("slates for %s could not be built", [entry.pinner for entry in due])
        await asyncio.sleep(engine.pace.rest(time.monotonic() - began))


async def _emit(engine: Engine, due: list[Due], *, busy: bool) -> None:
    requests = [SlateRequest(entry.pinner, entry.event_id, entry.logged, engine.state.now) for entry in due]
    slates = await build_slates(engine, requests, busy=busy)
    for slate in slates:
        engine.outputs.send("feed.candidates", slate.pinner, encode_slate(slate))
    await persist("sending slates", engine.outputs.flush, engine.metrics)
    emitted = time.time()
    engine.metrics.freshness([emitted - entry.logged / 1000 for entry in due])
    for slate in slates:
        engine.metrics.slates(slate.degraded)
    engine.slate_writer.write(slates)

"""When partitions are taken up: pinners who acted there shortly before and whose slate never went out are due again.

A slate goes to Kafka first and to the table ``slates`` then, so a crash between the two leaves one that is out and not
in the table. Such are found on the topic and put into the table, or the same trigger would get a second, other slate.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from functools import partial

import numpy as np

from operators.slate.slate import Slate, slate_id
from streams.engine import Engine
from streams.feed_schedule import Due
from streams.persist import persist
from streams.slate_refill import read_back
from streams.stores.protocols import StoreUnavailable

Partition = tuple[str, int]
log = logging.getLogger(__name__)
#: How far back a trigger may lie for its slate to be built after a restart.
RESUME_MINUTES = 15
#: The latest slates that are looked at: rows are written within seconds, so that few of them can be missing.
MOST_SENT = 2_000
#: Seconds for reading what went out; a slate that was not found by then is built again.
PATIENCE = 10.0


async def resume(engine: Engine, partitions: Collection[Partition]) -> None:
    """Put into the table what went out, and schedule what did not. Waits for ClickHouse as long as it takes.

    Only for events of these partitions: those of others are for the workers that read them.
    """
    if not partitions:
        return
    missing = await persist("resuming", partial(_unanswered, engine, partitions), engine.metrics)
    sent = await _sent(engine)
    if unkept := await persist("looking for slates", partial(_unkept, engine, sent), engine.metrics):
        engine.slate_writer.write(unkept)
    out, now = {slate.slate for slate in sent}, time.monotonic()
    for due in missing:
        if slate_id(due.pinner, due.event_id) not in out and engine.ledger.holds(due.source):
            engine.schedule.due(
                np.array([due.pinner]), np.array([due.event_id]), np.array([due.logged]), now, due.source
            )


async def _unanswered(engine: Engine, partitions: Collection[Partition]) -> list[Due]:
    """The last thing that pinners did, where no slate has it or a later one."""
    since = int(time.time() * 1000) - RESUME_MINUTES * 60_000
    acted = await engine.events.query(
        "SELECT pinner, max((logged, event_id, topic, partition)) AS last, last.1 AS at, last.2 AS event,"
        " last.3 AS topic_, last.4 AS partition_"
        " FROM engagement WHERE kind != 1 AND pinner != 0 AND logged > {since:Int64} GROUP BY pinner",
        {"since": since},
    )
    answered = await engine.events.query(
        "SELECT pinner, max(trigger_logged) AS at FROM slates WHERE trigger_logged > {since:Int64} GROUP BY pinner",
        {"since": since},
    )
    if not acted:
        return []
    last = dict(zip(answered["pinner"].tolist(), answered["at"].tolist(), strict=True)) if answered else {}
    columns = (acted[name].tolist() for name in ("pinner", "event", "at", "topic_", "partition_"))
    everyone = [
        Due(pinner, event, at, 0.0, 0.0, (topic, partition))
        for pinner, event, at, topic, partition in zip(*columns, strict=True)
    ]
    return [due for due in everyone if due.source in partitions and due.logged > last.get(due.pinner, 0)]


async def _unkept(engine: Engine, sent: Sequence[Slate]) -> list[Slate]:
    """Those that are not in the table: also of pinners who have acted again since."""
    if not sent:
        return []
    kept = await engine.events.query(
        "SELECT slate FROM slates WHERE has({sent:Array(Int64)}, slate)", {"sent": [slate.slate for slate in sent]}
    )
    known = set(kept["slate"].tolist()) if kept else set[int]()
    return [slate for slate in sent if slate.slate not in known]


async def _sent(engine: Engine) -> list[Slate]:
    """The latest slates on the topic, each once: the last. What is found in time counts."""
    found: dict[int, Slate] = {}
    now = int(time.time() * 1000)
    try:
        async with asyncio.timeout(PATIENCE):
            async for slates in read_back(engine.settings, now - RESUME_MINUTES * 60_000, now, MOST_SENT):
                found.update((slate.slate, slate) for slate in slates)
    except (TimeoutError, StoreUnavailable) as error:
        log.warning("what went out before the last stop could not all be read: %s", error or "out of time")
    return list(found.values())

"""The commit: the only place that knows in which order a batch of engagement becomes true.

Memory comes first, so that a slate need not wait for ClickHouse; it is a cache, and dies with the worker. The offset
comes last. A crash anywhere in between is finished by the next start (``docs/exactness.md``): rows may be written
again, dead letters may be sent again, and until step 4 Kafka delivers the batch again.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import numpy as np

from operators.batch import Engagement, Records, Reject, Source
from operators.decode import decode_engagement
from operators.events import Kind
from operators.rejection import Reason
from streams.dead_letters import encode_dead_letter
from streams.engine import Engine
from streams.persist import persist
from streams.tail import catch_up


async def commit_engagement(engine: Engine, records: Records) -> asyncio.Future[None] | None:
    """Take a batch of saves, clicks or impressions from undecoded records to folded, scheduled and being stored.

    The batch may be acknowledged (step 4, the caller's) when the future is done; at once when there is none.
    """
    topic, metrics = records.source.topic, engine.metrics
    partition = records.source[:2]
    taken = await persist("reading the ledger", partial(engine.ledger.last, partition), metrics)
    unseen = records.after(taken)
    if unseen is None:
        return engine.writer.pending(partition)
    if engine.folded.last.get(partition, -1) < taken:
        # Another worker had this partition: memory must hold what it wrote before it can know a duplicate.
        await persist("catching up", partial(catch_up, engine, partition, taken), metrics)
    await engine.writer.room()
    if not engine.ledger.holds(partition):
        # Given to another worker meanwhile, which reads these records itself: what is folded here must not be written.
        gone_elsewhere: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone_elsewhere.cancel()
        return gone_elsewhere
    source = unseen.source
    # Nothing awaits from here on to step 2: a batch is folded and handed to the writer, or neither.
    with metrics.batch_step(topic, "decode"):
        decoded = decode_engagement(unseen)
        fresh = engine.state.duplicates.admit(decoded.good.event_id)
        gone = engine.erased.mask(decoded.good.pinner)
        engagement = engine.state.catalogue.enrich(select(decoded.good, fresh & ~gone), engine.state.follows)
        engagement = engine.state.shown.attributed(engagement)

    # 1. Memory, and slates for whoever acted.
    with metrics.batch_step(topic, "fold"):
        engine.state.apply(engagement)
        metrics.engaged(engagement)
        engine.folded.last[partition] = source.last
        engine.pace.read(int(unseen.logged[-1]), int(time.time() * 1000))
        _schedule(engine, engagement)
    engine.ledger.take(partition, source.last)
    # 2. Raw rows, and with them every aggregate.
    stored = engine.writer.write(engagement)
    # 3. What could not be used, with its reason.
    rejects = decoded.rejects + [
        # Nothing is kept of somebody who asked to be erased.
        Reject(offset, Reason.ERASED_PINNER, "", None, logged)
        for offset, logged in zip(decoded.good.offset[gone].tolist(), decoded.good.logged[gone].tolist(), strict=True)
    ]
    if rejects:
        with metrics.batch_step(topic, "dead_letters"):
            await send_dead_letters(engine, source, rejects)

    counted = len(engagement)
    metrics.events(
        topic, counted=counted, duplicate=len(decoded.good) - counted - int(gone.sum()), rejected=len(rejects)
    )
    metrics.warnings(decoded.warnings)
    return stored


def select(engagement: Engagement, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Engagement:
    """The rows where ``mask`` is true."""
    if mask.all():
        return engagement
    columns = {name: getattr(engagement, name)[mask] for name in Engagement.__slots__ if name != "source"}
    return Engagement(source=engagement.source, **columns)


async def send_dead_letters(engine: Engine, source: Source, rejects: list[Reject]) -> None:
    """Emit what was set aside, and wait until the broker holds it."""
    for reject in rejects:
        key, value = encode_dead_letter(source, reject)
        engine.outputs.send("dead.letters", key, value)
        engine.metrics.dead_letters(reject.reason)
    await persist("sending dead letters", engine.outputs.flush, engine.metrics)


def _schedule(engine: Engine, engagement: Engagement) -> None:
    """Every pinner who did more than look is due for a slate, triggered by the latest thing they did."""
    acted = engagement.kind != Kind.IMPRESSION
    if acted.any():
        engine.schedule.due(
            engagement.pinner[acted],
            engagement.event_id[acted],
            engagement.logged[acted],
            time.monotonic(),
            engagement.source[:2],
        )

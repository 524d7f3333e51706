"""The commit: the only place that knows in which order a batch of engagement becomes true.

Memory comes first, so that a slate need not wait for ClickHouse; it is a cache, and dies with the worker. The offset
comes last. A crash anywhere in between is finished by the next start (``docs/exactness.md``): rows may be written
again, dead letters may be sent again, and until step 4 Kafka delivers the batch again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from operators.batch import ENGAGEMENT_COLUMNS, Decoded, Engagement, Records, Reject, Source
from operators.decode import decode_engagement
from operators.events import Kind
from operators.rejection import Reason
from streams.dead_letters import encode_dead_letter
from streams.engine import Engine
from streams.gathering import Gathered
from streams.persist import persist
from streams.tail import catch_up

Mask = NDArray[np.bool_]


async def commit_engagement(engine: Engine, records: Records) -> asyncio.Future[None] | None:
    """Take a batch of saves, clicks or impressions from undecoded records to folded, scheduled and being stored.

    The batch may be acknowledged (step 4, the caller's) when the future is done; at once when there is none.
    """
    metrics, partition = engine.metrics, records.source[:2]
    taken = await persist("reading the ledger", partial(engine.ledger.last, partition), metrics)
    unseen = records.after(taken)
    if unseen is None:
        return engine.gathering.pending(partition)
    if engine.folded.last.get(partition, -1) < taken and not engine.gathering.holds(partition):
        # Another worker had this partition: memory must hold what it wrote before it can know a duplicate.
        await persist("catching up", partial(catch_up, engine, partition, taken), metrics)
    await engine.gathering.room()
    await engine.writer.room()
    if not engine.ledger.holds(partition):
        # Given to another worker meanwhile, which reads these records itself: what is folded here must not be written.
        gone_elsewhere: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        gone_elsewhere.cancel()
        return gone_elsewhere
    # Nothing awaits from here on to step 2 but, for some milliseconds, the batch itself: it is folded and handed to the
    # writer, or neither.
    engine.ledger.take(partition, unseen.source.last)
    return engine.gathering.take(unseen, partial(_commit, engine))


def _commit(engine: Engine, batches: Sequence[Gathered]) -> None:
    """Steps 1 to 3 of batches that came together, each of which is told when it is stored."""
    metrics, decoded = engine.metrics, list[Decoded[Engagement]]()
    for each in batches:
        with metrics.batch_step(each.records.source.topic, "decode"):
            decoded.append(decode_engagement(each.records))

    # 1. Memory, and slates for whoever acted.
    with metrics.batch_step(batches[0].records.source.topic if len(batches) == 1 else "engagement", "fold"):
        good = _joined([each.good for each in decoded])
        fresh = engine.state.duplicates.admit(good.event_id)
        gone = engine.erased.mask(good.pinner)
        counted = fresh & ~gone
        engagement = engine.state.catalogue.enrich(select(good, counted), engine.state.follows)
        engagement = engine.state.shown.attributed(engagement)
        begins = np.cumsum([0, *(len(each.good) for each in decoded)])
        edges = np.concatenate([[0], np.cumsum(counted)])[begins]
        parts = _parted(engagement, edges, [each.good.source for each in decoded])
        engine.state.apply(engagement, parts)
        metrics.engaged(engagement)
        for each, part in zip(batches, parts, strict=True):
            engine.folded.last[each.partition] = part.source.last
            engine.pace.read(int(each.records.logged[-1]), int(time.time() * 1000))
            _schedule(engine, part)

    for each, found, part, (begin, end) in zip(batches, decoded, parts, pairwise(begins.tolist()), strict=True):
        erased = gone[begin:end]
        rejects = found.rejects + _of_erased(found.good, erased)
        # 2. Raw rows, and with them every aggregate. 3. What could not be used, with its reason.
        if rejects:
            engine.gathering.also(each.stored, engine.writer.write(part), _send(engine, part.source, rejects))
        else:
            engine.writer.write(part, each.stored)
        topic, duplicate = part.source.topic, len(found.good) - len(part) - int(erased.sum())
        metrics.events(topic, counted=len(part), duplicate=duplicate, rejected=len(rejects))
        metrics.warnings(found.warnings)


async def _send(engine: Engine, source: Source, rejects: list[Reject]) -> None:
    with engine.metrics.batch_step(source.topic, "dead_letters"):
        await send_dead_letters(engine, source, rejects)


def _of_erased(engagement: Engagement, erased: Mask) -> list[Reject]:
    """Nothing is kept of somebody who asked to be erased."""
    return [
        Reject(offset, Reason.ERASED_PINNER, "", None, logged)
        for offset, logged in zip(engagement.offset[erased].tolist(), engagement.logged[erased].tolist(), strict=True)
    ]


def _joined(batches: Sequence[Engagement]) -> Engagement:
    """All rows, under the name of the first batch."""
    if len(batches) == 1:
        return batches[0]
    columns = {name: np.concatenate([getattr(each, name) for each in batches]) for name in ENGAGEMENT_COLUMNS}
    return Engagement(source=batches[0].source, **columns)


def _parted(engagement: Engagement, edges: NDArray[np.int64], sources: Sequence[Source]) -> list[Engagement]:
    """What :func:`_joined` joined, each part under its own name: part ``j`` has the rows from ``edges[j]`` on."""
    if len(sources) == 1:
        return [engagement]
    return [
        Engagement(source=source, **{name: getattr(engagement, name)[begin:end] for name in ENGAGEMENT_COLUMNS})
        for source, (begin, end) in zip(sources, pairwise(edges.tolist()), strict=True)
    ]


def select(engagement: Engagement, mask: Mask) -> Engagement:
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

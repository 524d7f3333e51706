"""The commit: the only place that knows in which order a batch of engagement becomes true.

A crash between any two steps is finished by the next start (``docs/exactness.md``): steps 1 and 2 may
be repeated, step 3 is memory, and until step 4 Kafka delivers the batch again.
"""

from __future__ import annotations

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


async def commit_engagement(engine: Engine, records: Records) -> None:
    """Take a batch of saves, clicks or impressions from undecoded records to stored, folded and scheduled.

    Returns when the batch may be acknowledged (step 4, the caller's).
    """
    topic, metrics = records.source.topic, engine.metrics
    unseen = await persist("reading the ledger", partial(engine.ledger.unseen, records), metrics)
    if unseen is None:
        return
    source = unseen.source
    stored = await engine.ledger.last(source[:2])
    if engine.folded.last.get(source[:2], -1) < stored:
        # Another worker had this partition: memory must hold what it wrote before it can know a duplicate.
        await persist("catching up", partial(catch_up, engine, source[:2], stored), metrics)
    with metrics.batch_step(topic, "decode"):
        decoded = decode_engagement(unseen)
        # Marked as seen only with step 3: a batch that is not stored leaves no trace.
        fresh = engine.state.duplicates.fresh(decoded.good.event_id)
        gone = engine.erased.mask(decoded.good.pinner)
        engagement = engine.state.catalogue.enrich(select(decoded.good, fresh & ~gone), engine.state.follows)

    # 1. Raw rows, and with them every aggregate, under the batch's name.
    with metrics.batch_step(topic, "clickhouse"):
        if len(engagement):
            await persist("writing engagement", partial(_insert, engine, engagement), metrics)
        engine.ledger.stored(source)
    # 2. What could not be used, with its reason.
    rejects = decoded.rejects + [
        # Nothing is kept of somebody who asked to be erased.
        Reject(offset, Reason.ERASED_PINNER, "", None)
        for offset in decoded.good.offset[gone].tolist()
    ]
    if rejects:
        with metrics.batch_step(topic, "dead_letters"):
            await send_dead_letters(engine, source, rejects)
    # 3. Memory, and slates for whoever acted.
    with metrics.batch_step(topic, "fold"):
        engine.state.apply(engagement)
        engine.folded.last[source[:2]] = source.last
        _schedule(engine, engagement)

    counted = len(engagement)
    metrics.events(
        topic, counted=counted, duplicate=len(decoded.good) - counted - int(gone.sum()), rejected=len(rejects)
    )
    metrics.warnings(decoded.warnings)


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


async def _insert(engine: Engine, engagement: Engagement) -> None:
    source, rows = engagement.source, len(engagement)
    columns: dict[str, object] = {
        "topic": [source.topic] * rows,
        "partition": np.full(rows, source.partition, np.uint16),
        "first": np.full(rows, source.first, np.int64),
        "last": np.full(rows, source.last, np.int64),
    }
    columns |= {name: getattr(engagement, name) for name in Engagement.__slots__ if name != "source"}
    await engine.events.insert("engagement", columns, token=source.name)  # pyright: ignore[reportArgumentType]


def _schedule(engine: Engine, engagement: Engagement) -> None:
    """Every pinner who did more than look is due for a slate, triggered by the latest thing they did."""
    acted = np.flatnonzero(engagement.kind != Kind.IMPRESSION)[::-1]
    pinners, latest = np.unique(engagement.pinner[acted], return_index=True)
    rows, at = acted[latest], time.monotonic()
    for pinner, event, logged in zip(
        pinners.tolist(), engagement.event_id[rows].tolist(), engagement.logged[rows].tolist(), strict=True
    ):
        engine.schedule.due(pinner, event, logged, at)

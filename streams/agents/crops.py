"""Crops: what people cut out of images, as rows. Regions and weak labels are made from them when asked for."""

from __future__ import annotations

from functools import partial

import numpy as np

from operators.batch import Records, Reject
from operators.decode import decode_events
from operators.events import CropEvent
from operators.rejection import Reason
from streams.commit import send_dead_letters
from streams.engine import Engine
from streams.persist import persist
from streams.stores.protocols import Columns


async def handle(engine: Engine, records: Records) -> None:
    """One batch of the topic ``crops``. Every step may be repeated: a row is one by its pin and event."""
    source, metrics = records.source, engine.metrics
    decoded = decode_events(records)
    crops: list[tuple[int, int, CropEvent]] = [
        (offset, logged, event) for offset, logged, event in decoded.good if isinstance(event, CropEvent)
    ]
    erased = engine.erased.mask(np.array([event.pinner for _, _, event in crops], np.int64))
    rejects = decoded.rejects + [
        Reject(offset, Reason.ERASED_PINNER, "", None, logged)
        for (offset, logged, _), gone in zip(crops, erased, strict=True)
        if gone
    ]
    events = [event for (_, _, event), gone in zip(crops, erased, strict=True) if not gone]
    if events:
        rows = _rows(events)
        await persist("writing crops", partial(engine.events.insert, "crops", rows, token=source.name), metrics)
    if rejects:
        await send_dead_letters(engine, source, rejects)
    metrics.events("crops", counted=len(events), rejected=len(rejects))
    metrics.warnings(decoded.warnings)


def _rows(events: list[CropEvent]) -> Columns:
    columns: dict[str, list[object]] = {
        name: [getattr(event, name) for event in events] for name in ("event_id", "pin", "pinner", "time")
    }
    for edge, name in enumerate(("left", "top", "right", "bottom")):
        columns[name] = [event.box[edge] for event in events]
    return columns

"""Pinners: sign-ups, interests, follows; and erasing one everywhere."""

from __future__ import annotations

from functools import partial

from operators.batch import Records
from operators.decode import decode_events
from operators.events import PinnerEvent
from streams.commit import send_dead_letters
from streams.engine import Engine
from streams.erasure import erase_pinner
from streams.persist import persist
from streams.stores.protocols import Columns


async def handle(engine: Engine, records: Records) -> None:
    """One batch of the topic ``pinners``. Rows go in before memory; every step may be repeated."""
    source, metrics = records.source, engine.metrics
    decoded = decode_events(records)
    events = [event for _, _, event in decoded.good if isinstance(event, PinnerEvent)]
    for table, columns in (("pinners", _pinner_rows(events)), ("follows", _follow_rows(events))):
        if len(columns["version"]):
            await persist(f"writing {table}", partial(engine.events.insert, table, columns, token=source.name), metrics)
    for event in events:
        if event.type == "deleted":
            await erase_pinner(engine, int(event.pinner), event.time)
            continue
        if event.type == "signed_up":
            engine.erased.signed_up(int(event.pinner), event.time)
        engine.state.apply_pinner(event)
    if decoded.rejects:
        await send_dead_letters(engine, source, decoded.rejects)
    metrics.events("pinners", counted=len(events), rejected=len(decoded.rejects))
    metrics.warnings(decoded.warnings)


def _pinner_rows(events: list[PinnerEvent]) -> Columns:
    said = [event for event in events if event.type in ("signed_up", "interests", "deleted")]
    return {
        "pinner": [event.pinner for event in said],
        "version": [event.time for event in said],
        "deleted": [int(event.type == "deleted") for event in said],
        "interests": [event.interests for event in said],
    }


def _follow_rows(events: list[PinnerEvent]) -> Columns:
    pairs = [
        (event.pinner, followed, int(event.type == "followed"), event.time)
        for event in events
        if event.type in ("followed", "unfollowed")
        for followed in event.pinners
    ]
    names = ("follower", "followed", "active", "version")
    return {name: [pair[column] for pair in pairs] for column, name in enumerate(names)}

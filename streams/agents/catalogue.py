"""Pins: keep the newest version of each, and hand it on to vision."""

from __future__ import annotations

from functools import partial

import msgspec
import numpy as np

from operators.accepted import AcceptedPin
from operators.batch import Records, Reject
from operators.decode import decode_events
from operators.events import PinEvent
from operators.rejection import Reason
from streams.annotating import columns, describe
from streams.commit import send_dead_letters
from streams.engine import Engine
from streams.persist import persist
from streams.state import domain_id
from streams.stores.protocols import Columns
from streams.tail import look_up

ACCEPTED = "pins.accepted"
#: Pins that are asked for in one query: 20 bytes each, and ClickHouse reads queries of 256 kB.
ASKED = 5_000


async def handle(engine: Engine, records: Records) -> None:
    """One batch of the topic ``pins``: memory decides what is newest, then rows, then ``pins.accepted``.

    A batch that comes again is accepted again, so a crash before the end repeats the work and loses none.
    """
    source, metrics = records.source, engine.metrics
    decoded = decode_events(records)
    events = [(offset, event) for offset, _, event in decoded.good if isinstance(event, PinEvent)]
    erased = engine.erased.mask(np.array([event.pinner or 0 for _, event in events], np.int64))
    rejects = decoded.rejects + [
        Reject(offset, Reason.ERASED_PINNER, "", None) for (offset, _), gone in zip(events, erased, strict=True) if gone
    ]
    events = [event for event, gone in zip(events, erased, strict=True) if not gone]
    for start in range(0, len(events), ASKED):
        asked = {int(event.pin) for _, event in events[start : start + ASKED]}
        await persist("asking for newer versions", partial(look_up, engine, asked), metrics)
    newest = engine.state.apply_pins(events)
    accepted = _accepted(engine, [event for (_, event), is_newest in zip(events, newest, strict=True) if is_newest])
    if accepted:
        with metrics.batch_step("pins", "clickhouse"):
            rows = _rows(accepted)
            await persist("writing pins", partial(engine.events.insert, "pins", rows, token=source.name), metrics)
        with metrics.batch_step("pins", "annotations"):
            said = columns(await describe(engine, accepted))
            insert = partial(engine.events.insert, "pin_annotations", said, token=source.name)
            await persist("writing annotations", insert, metrics)
        for pin in accepted:
            engine.outputs.send(ACCEPTED, pin.pin, msgspec.json.encode(pin))
        await persist("handing pins to vision", engine.outputs.flush, metrics)
    if rejects:
        await send_dead_letters(engine, source, rejects)
    # An older version of a known pin is no error: it is read, and has no effect.
    metrics.events("pins", counted=len(accepted), duplicate=len(events) - len(accepted), rejected=len(rejects))
    metrics.warnings(decoded.warnings)


def _accepted(engine: Engine, events: list[PinEvent]) -> list[AcceptedPin]:
    created = engine.state.catalogue.created(np.array([event.pin for event in events], np.int64))
    return [
        AcceptedPin(
            pin=int(event.pin),
            version=event.time,
            deleted=event.type == "deleted",
            pinner=int(event.pinner or 0),
            board=int(event.board or 0),
            board_name=event.board_name,
            title=event.title,
            description=event.description,
            link=event.link,
            domain=event.domain,
            image=event.image,
            created=first,
        )
        for event, first in zip(events, created.tolist(), strict=True)
    ]


def _rows(pins: list[AcceptedPin]) -> Columns:
    columns: dict[str, list[object]] = {
        name: [getattr(pin, name) for pin in pins]
        for name in ("pin", "version", "pinner", "board", "title", "description", "link", "domain", "created")
    }
    columns["deleted"] = [int(pin.deleted) for pin in pins]
    columns["domain_id"] = [domain_id(pin.domain) for pin in pins]
    # Inline bytes travel on the topic; the table keeps where a picture came from, not the picture.
    columns["image"] = ["inline" if (pin.image or "").startswith("data:") else pin.image or "" for pin in pins]
    return columns

"""Vision: looks at the pins that the catalogue accepted."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from operators.accepted import AcceptedPin
from operators.annotations.confidence import Annotation
from operators.batch import Records, Reject
from operators.identity import MAX_ID
from operators.rejection import Reason
from operators.understood import UnderstoodObject, UnderstoodPin
from streams.annotating import look_around
from streams.commit import send_dead_letters
from streams.encoders.again import look_beside
from streams.encoders.following import IndexDropped, follow
from streams.engine import Engine, as_it_serves
from streams.images.fitting import Pixels
from streams.images.load import load_images
from streams.images.rejection import ImageRejected
from streams.persist import persist
from streams.stores.protocols import StoreUnavailable
from streams.tail import look_up
from streams.understanding import Understanding, record, understand

T = TypeVar("T")
log = logging.getLogger(__name__)
TOPIC, UNDERSTOOD = "pins.accepted", "pin.understood"
#: Pins whose pictures are in memory at once.
CHUNK = 32

#: What decoding raises, the narrower first, and what that means.
UNREADABLE: dict[type[Exception], Reason] = {
    msgspec.ValidationError: Reason.WRONG_TYPE,
    msgspec.DecodeError: Reason.BAD_JSON,
    UnicodeDecodeError: Reason.BAD_UTF8,
    RecursionError: Reason.BAD_JSON,
    OverflowError: Reason.BAD_ID,
}

_decoder = msgspec.json.Decoder(AcceptedPin)


async def handle(engine: Engine, records: Records) -> list[Reject]:
    """One batch of ``pins.accepted``: pictures → models → vectors and rows → ``pin.understood``.

    Waits for whatever part is gone; a pin whose picture will not do goes to the dead letters and
    stays without a vector. A pin is looked at in its newest version only. Returns what was set aside.
    """
    pins, rejects = _decode(records)
    asked = {pin.pin for _, pin in pins}
    await persist("asking for newer versions", partial(look_up, engine, asked), engine.metrics)
    pins = _current(engine, pins)
    superseded = len(records) - len(pins) - len(rejects)
    rows = {pin.pin: row for row, pin in pins}
    for start in range(0, len(pins), CHUNK):
        chunk = [pin for _, pin in pins[start : start + CHUNK]]
        for one in await _see(engine, chunk):
            if one.rejected is not None:
                row = rows[one.pin.pin]
                rejects.append(_reject(records, row, one.rejected.reason, one.rejected.detail))
    if rejects:
        await send_dead_letters(engine, records.source, rejects)
    engine.metrics.events(
        records.source.topic,
        counted=len(records) - superseded - len(rejects),
        duplicate=superseded,
        rejected=len(rejects),
    )
    return rejects


async def _see(engine: Engine, pins: Sequence[AcceptedPin]) -> list[Understanding]:
    """Understand, record and announce some pins, each of which appears once."""
    with engine.metrics.batch_step(TOPIC, "images"):
        images = await load_images(engine.settings, [None if pin.deleted else pin.image for pin in pins])
    while True:
        try:
            return await _look_at(as_it_serves(engine), pins, images)
        except IndexDropped as gone:
            # They waited for a part from before a cut-over until now.
            log.info("%d pins are looked at by another encoder: %s", len(pins), gone)
            await persist("reading which encoder serves", partial(follow, engine), engine.metrics)


async def _look_at(
    engine: Engine, pins: Sequence[AcceptedPin], images: Sequence[Pixels | ImageRejected | None]
) -> list[Understanding]:
    """As :func:`_see`, by one encoder. Raises IndexDropped, after which nothing of it is kept."""
    metrics = engine.metrics
    with metrics.batch_step(TOPIC, "triton"):
        # Asked for before the models are used, so that no vector carries a newer name than the model that made it.
        # Deletions alone need no model.
        versions = {"detector": "", "encoder": ""}
        if any(not (image is None or isinstance(image, ImageRejected)) for image in images):
            versions = await persist("asking for the models", _while_kept(engine, partial(_versions, engine)), metrics)

        async def look() -> list[Understanding]:
            with metrics.store("triton", "understand"):
                settings = engine.settings
                return await understand(engine.models, pins, images, settings.object_windows, settings.two_step)

        understood = await persist("understanding pins", _while_kept(engine, look), metrics)
    with metrics.batch_step(TOPIC, "stores"):
        recording = partial(record, engine, understood, versions["encoder"], versions.get("safety", ""))
        await persist("recording pins", _while_kept(engine, recording), metrics)
        await look_beside(engine, understood, images)
    with metrics.batch_step(TOPIC, "annotations"):
        living = [one for one in understood if not one.pin.deleted]
        said = await persist("annotating pins", partial(look_around, engine, living), metrics)
    if engine.pinsage is not None:
        engine.pinsage.arrived([one.pin.pin for one in understood])
    now = int(time.time() * 1000)
    for one in understood:
        if one.rejected is None:
            message = _message(one, said.get(one.pin.pin, []), versions, now)
            engine.outputs.send(UNDERSTOOD, one.pin.pin, msgspec.json.encode(message))
    await persist("announcing pins", engine.outputs.flush, metrics)
    seen = [one for one in understood if one.vector is not None]
    metrics.understood(len(seen), sum(len(one.objects) for one in seen), sum(one.unsafe is None for one in seen))
    return understood


def _while_kept(engine: Engine, attempt: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """What fails because the engine's encoder is dropped meanwhile raises IndexDropped, instead of being outlasted."""

    async def attempted() -> T:
        try:
            return await attempt()
        except StoreUnavailable:
            if engine.encoders is not None:
                await engine.encoders.require(engine.encoder)
            raise

    return attempted


async def _versions(engine: Engine) -> dict[str, str]:
    versions = await engine.models.versions()
    if missing := {"detector", "encoder"} - versions.keys():
        raise StoreUnavailable("triton", f"no version of {' and '.join(sorted(missing))} is ready")
    return versions


def _decode(records: Records) -> tuple[list[tuple[int, AcceptedPin]], list[Reject]]:
    """The last version of each pin with its row in the batch, and what cannot be read."""
    latest: dict[int, tuple[int, AcceptedPin]] = {}
    rejects: list[Reject] = []
    for row, value in enumerate(records.values):
        try:
            pin = _decoder.decode(value or b"")
            if not (1 <= pin.pin <= MAX_ID and abs(pin.version) <= MAX_ID):
                raise OverflowError(f"pin {pin.pin} or version {pin.version} is out of range")
        except tuple(UNREADABLE) as error:
            reason = next(reason for kind, reason in UNREADABLE.items() if isinstance(error, kind))
            rejects.append(_reject(records, row, reason, str(error)))
        else:
            if pin.pin not in latest or pin.version >= latest[pin.pin][1].version:
                latest[pin.pin] = row, pin
    return list(latest.values()), rejects


def _current(engine: Engine, pins: list[tuple[int, AcceptedPin]]) -> list[tuple[int, AcceptedPin]]:
    """Those that the catalogue knows no newer version of: one sent again later must not undo an update or deletion."""
    ids = np.array([pin.pin for _, pin in pins], np.int64)
    newest, gone = engine.state.catalogue.versions(ids), engine.state.catalogue.is_deleted(ids)
    return [
        (row, pin)
        for (row, pin), version, deleted in zip(pins, newest.tolist(), gone.tolist(), strict=True)
        if pin.version >= version and (pin.deleted or not deleted)
    ]


def _reject(records: Records, row: int, reason: Reason, detail: str) -> Reject:
    return Reject(int(records.offsets[row]), reason, detail, records.value(row), int(records.logged[row]))


def _message(one: Understanding, said: Sequence[Annotation], versions: dict[str, str], now: int) -> UnderstoodPin:
    objects = [
        UnderstoodObject(
            object=seen.object, label=seen.detection.label, confidence=seen.detection.confidence, box=seen.detection.box
        )
        for seen in one.objects
    ]
    return UnderstoodPin(
        pin=one.pin.pin,
        version=one.pin.version,
        deleted=one.pin.deleted,
        objects=objects,
        annotations=[each.phrase for each in said],
        confidences=[each.confidence for each in said],
        encoder=versions["encoder"],
        detector=versions["detector"] if one.detected else "",
        unsafe=one.unsafe,
        safety="" if one.unsafe is None else versions.get("safety", ""),
        time=now,
    )

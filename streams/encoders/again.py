"""Looking again: vectors of pins by an encoder beside the one that serves.

New pins go to every encoder as they come (:func:`look_beside`). Pins that are stored are looked at again from their
pictures (:func:`look_again`), in the boxes that are stored: ids and boxes of objects are the same in every index.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic, time_ns
from typing import NamedTuple

import numpy as np

from operators.accepted import AcceptedPin
from operators.identity import combined_id
from operators.vision.windows import windows
from streams.encoders.following import Encoder, IndexDropped, beside
from streams.engine import Engine
from streams.images.fitting import Pixels, crop
from streams.images.load import load_images
from streams.images.rejection import ImageRejected
from streams.persist import persist
from streams.stores.protocols import Detection, EventStore, StoreUnavailable
from streams.understanding import CROP_PADDING, MOST_OBJECTS, MOST_SIDE, SeenObject, Understanding, record_vectors

log = logging.getLogger(__name__)
#: Seconds that new pins wait for an encoder beside the serving one, and for which it then is not asked.
PATIENCE, REST = 60.0, 30.0
#: Pins whose picture is not kept (:mod:`streams.agents.catalogue`).
INLINE = "inline"

_PINS = """
SELECT v.pin AS pin, v.version AS version, v.blind AS blind, p.version AS newest, p.deleted AS deleted, p.image AS image
FROM (SELECT pin, version, empty(vector) AS blind FROM pin_vectors FINAL WHERE pin IN {pins:Array(Int64)}) AS v
INNER JOIN (SELECT pin, version, deleted, image FROM pins FINAL WHERE pin IN {pins:Array(Int64)}) AS p ON v.pin = p.pin
"""
_OBJECTS = """
SELECT object, pin, version, label, confidence, left, top, right, bottom FROM objects FINAL
WHERE pin IN {pins:Array(Int64)} AND label != '' ORDER BY pin, confidence DESC, object
"""
_UNSEEN = np.empty(0, np.float32)


class Looked(NamedTuple):
    """Pins that have their vectors, and pins whose picture cannot be had any more."""

    filled: int
    gone: int


async def look_beside(
    engine: Engine, understandings: Sequence[Understanding], images: Sequence[Pixels | ImageRejected | None]
) -> None:
    """Bring pins that were just recorded to every other encoder's index.

    One that fails holds nobody up: what it misses is noted and made up for later. Asked after the pins were recorded,
    so that a pin is either seen here or found by whoever fills the index.
    """

    async def others() -> list[Encoder]:
        return await persist("asking for other encoders", partial(beside, engine), engine.metrics)

    for other in await others():
        try:
            if other.rests_until > monotonic():
                raise StoreUnavailable("triton", "it failed a moment ago")
            async with asyncio.timeout(PATIENCE):
                await _bring(other, understandings, images)
        except (StoreUnavailable, TimeoutError, ValueError, IndexDropped) as error:
            if other.standing.model not in {each.standing.model for each in await others()}:
                continue  # its index is dropped since
            why = str(error) or f"it took more than {PATIENCE:g} s"
            log.warning("%d pins wait for %s: %s", len(understandings), other.standing.model, why)
            other.rests_until = max(other.rests_until, monotonic() + REST)
            pins = [one.pin.pin for one in understandings]
            await persist("noting missed pins", partial(note_missed, engine.events, other, pins), engine.metrics)


async def look_again(engine: Engine, other: Encoder, pins: Sequence[int], *, missed: bool = False) -> Looked:
    """Look at the pictures of stored pins with another encoder, and put what it sees into its index.

    A pin that changes meanwhile is noted, to be looked at once more. ``missed``: the index may hold what an earlier
    version of these pins showed, so that nothing is better where the picture is gone.

    Raises:
        StoreUnavailable: a part is gone; the same call may be repeated.
        ValueError: the index holds vectors of another length.
    """
    rows = await engine.events.query(_PINS, {"pins": list(pins)})
    columns = (
        [rows[name].tolist() for name in ("pin", "version", "blind", "newest", "deleted", "image")] if rows else []
    )
    versions: dict[int, int] = {}
    images: dict[int, str] = {}
    blind: list[int] = []
    lost: list[int] = []
    for pin, version, unseen, newest, deleted, image in zip(*columns, strict=True):
        versions[pin] = version
        if deleted or unseen:
            blind.append(pin)
        elif newest != version:
            continue  # its newer version is on its way through vision, which brings it here, too
        elif image in ("", INLINE):
            lost.append(pin)
        else:
            images[pin] = image
    loaded = dict(zip(images, await load_images(engine.settings, list(images.values())), strict=True))
    lost += [pin for pin, picture in loaded.items() if not isinstance(picture, np.ndarray)]
    there = {pin: picture for pin, picture in loaded.items() if isinstance(picture, np.ndarray)}
    seen = await _stored(engine, {pin: versions[pin] for pin in there})
    empty = blind + lost if missed else blind
    seen += [Understanding(AcceptedPin(pin=pin, version=versions[pin])) for pin in empty]
    if seen:
        await _bring(other, seen, [there.get(one.pin.pin) for one in seen])
    await _note_changed(engine.events, other, versions)
    return Looked(len(there), len(lost))


async def note_missed(events: EventStore, other: Encoder, pins: Iterable[int]) -> None:
    """Note that an encoder has to look at pins again. Raises StoreUnavailable."""
    missed, now = list(dict.fromkeys(pins)), time_ns() // 1_000_000
    await _note(events, other.standing.model, missed, [now] * len(missed), is_open=True)


async def make_up(engine: Engine, other: Encoder, most: int) -> int:
    """Look again at up to so many pins that were missed; returns how many there were. Raises as :func:`look_again`."""
    rows = await engine.events.query(
        "SELECT pin, changed FROM encoder_misses FINAL WHERE model = {model:String} AND open = 1"
        f" ORDER BY pin LIMIT {most}",
        {"model": other.standing.model},
    )
    if not rows:
        return 0
    pins: list[int] = rows["pin"].tolist()
    await look_again(engine, other, pins, missed=True)
    # Over what was read alone: one that was missed again meanwhile stays open.
    closed = [changed + 1 for changed in rows["changed"].tolist()]
    await _note(engine.events, other.standing.model, pins, closed, is_open=False)
    return len(pins)


async def _note(events: EventStore, model: str, pins: list[int], changed: list[int], *, is_open: bool) -> None:
    if pins:
        columns = {"model": [model] * len(pins), "pin": pins, "open": [int(is_open)] * len(pins), "changed": changed}
        await events.insert("encoder_misses", columns)


async def _note_changed(events: EventStore, other: Encoder, versions: dict[int, int]) -> None:
    """Vision may have brought a newer version to the index before an older one came here."""
    if not versions:
        return
    rows = await events.query(
        "SELECT pin, max(version) AS version FROM pin_vectors WHERE pin IN {pins:Array(Int64)} GROUP BY pin",
        {"pins": list(versions)},
    )
    pairs = zip(rows["pin"].tolist(), rows["version"].tolist(), strict=True) if rows else ()
    await note_missed(events, other, [pin for pin, version in pairs if versions[pin] != version])


async def _bring(
    other: Encoder, understandings: Sequence[Understanding], images: Sequence[Pixels | ImageRejected | None]
) -> None:
    seen = await _encoded(other, understandings, images)
    await record_vectors(other.vectors, seen)
    other.cache.drop(np.array([one.pin.pin for one in seen], np.int64))


async def _encoded(
    other: Encoder, understandings: Sequence[Understanding], images: Sequence[Pixels | ImageRejected | None]
) -> list[Understanding]:
    """The same pins, objects and windows with this encoder's vectors; what it refuses has none."""
    outcomes = list(understandings)
    looked = [
        (at, one, image)
        for at, (one, image) in enumerate(zip(understandings, images, strict=True))
        if one.vector is not None and isinstance(image, np.ndarray)
    ]
    parts: list[Pixels] = []
    for _, one, image in looked:
        parts += [image, *(crop(image, each.detection, CROP_PADDING) for each in one.objects)]
        parts += [crop(image, each.detection, 0.0) for each in one.windows]
    vectors = iter(await other.models.encode(parts))
    for at, one, _ in looked:
        whole = next(vectors)
        objects, cut = ([each._replace(vector=next(vectors)) for each in some] for some in (one.objects, one.windows))
        if not whole.size or np.isnan(whole).any():
            outcomes[at] = replace(one, vector=None, objects=[], windows=[])
        else:
            kept, left = ([each for each in some if not np.isnan(each.vector).any()] for some in (objects, cut))
            outcomes[at] = replace(one, vector=whole, objects=kept, windows=left)
    return outcomes


async def _stored(engine: Engine, versions: dict[int, int]) -> list[Understanding]:
    """What is stored of these pins in these versions: objects, and windows as they follow from them."""
    rows = await engine.events.query(_OBJECTS, {"pins": list(versions)}) if versions else {}
    names = ("object", "pin", "version", "label", "confidence", "left", "top", "right", "bottom")
    objects: dict[int, list[SeenObject]] = {pin: [] for pin in versions}
    for id_, pin, version, label, confidence, *box in (
        zip(*(rows[name].tolist() for name in names), strict=True) if rows else ()
    ):
        if version == versions[pin]:
            objects[pin].append(
                SeenObject(id_, Detection(label, confidence, (box[0], box[1], box[2], box[3])), _UNSEEN)
            )
    side = min(engine.settings.object_windows, MOST_SIDE)
    found: list[Understanding] = []
    for pin, version in versions.items():
        grid = windows(side, [one.detection.box for one in objects[pin]]) if objects[pin] else {}
        cut = [
            SeenObject(combined_id("object", pin, MOST_OBJECTS + place), Detection("", 0.0, box), _UNSEEN)
            for place, box in grid.items()
        ]
        found.append(Understanding(AcceptedPin(pin=pin, version=version), _UNSEEN, objects[pin], cut))
    return found

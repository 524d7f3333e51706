"""Understanding pins: objects and vectors of their images, and how that becomes true in every store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.accepted import AcceptedPin
from operators.annotations.words import Text, pin_text
from operators.identity import combined_id
from operators.rejection import Reason
from operators.vision.fingerprint import Fingerprints, fingerprint
from operators.vision.two_step import worth_a_look
from operators.vision.windows import windows
from streams import pin_safety
from streams.engine import Engine
from streams.images.fitting import Pixels, crop
from streams.images.rejection import ImageRejected
from streams.pin_pictures import keep
from streams.stores.protocols import Detection, EventStore, Models, VectorStore

Vector = NDArray[np.float32]

#: Objects less certain than this are left alone, and of the others only the most certain are kept.
#: MOST_OBJECTS may only grow: an update deletes the objects of an earlier version by their place among these.
LEAST_CONFIDENCE = 0.3
MOST_OBJECTS = 8
#: Windows a side (``operators/vision/windows.py``); their places come after those of objects, and may only grow, too.
MOST_SIDE = 4
#: Around an object this share of its size is kept: its surroundings help to tell what it is.
CROP_PADDING = 0.05
#: Pins that go through the models together. Several such groups at once keep both models busy.
GROUP = 8


class SeenObject(NamedTuple):
    """An object of a pin, its id stable for the pin and its rank in confidence; or a window, without a label."""

    object: int
    detection: Detection
    vector: Vector


@dataclass(frozen=True, slots=True)
class Understanding:
    """What is known of a pin's image; nothing for a pin that is deleted, has no image or one that was rejected."""

    pin: AcceptedPin
    vector: Vector | None = None
    objects: list[SeenObject] = field(default_factory=list)
    #: Parts of the picture that object search finds, too; they are in Milvus alone.
    windows: list[SeenObject] = field(default_factory=list)
    #: By which near-duplicates are found (``operators/vision/fingerprint.py``).
    fingerprint: Fingerprints | None = None
    #: How likely it is not safe for work, 0 … 1; None where the model could not be asked.
    unsafe: float | None = None
    rejected: ImageRejected | None = None
    #: Whether the detector was asked, which the pin's text may have spared it (``operators/vision/two_step.py``).
    detected: bool = True


async def understand(
    models: Models,
    pins: Sequence[AcceptedPin],
    images: Sequence[Pixels | ImageRejected | None],
    side: int = 0,
    likelihood: float = 0.0,
) -> list[Understanding]:
    """Detect and encode; the outcome of each pin, in order. ``images`` is as ``load_images`` gives it.

    Where something was detected, the picture is also cut into ``side`` × ``side`` windows (:data:`MOST_SIDE`). The
    detector looks where the pin's text makes something that it knows as likely as ``likelihood``; 0 is everywhere.

    Raises:
        StoreUnavailable: a model is gone; the same call may be repeated.
    """
    outcomes = [
        Understanding(pin, rejected=image if isinstance(image, ImageRejected) else None)
        for pin, image in zip(pins, images, strict=True)
    ]
    there = [(at, image) for at, image in enumerate(images) if isinstance(image, np.ndarray)]
    groups = [there[start : start + GROUP] for start in range(0, len(there), GROUP)]
    looking = asyncio.gather(*(_look(models, pins, group, side, likelihood) for group in groups))
    pictures = [image for _, image in there]
    seeing = asyncio.gather(looking, asyncio.to_thread(_fingerprints, pictures))
    (looked, prints), scores = await pin_safety.beside(seeing, models, pictures)
    for (at, _), answer, views, unsafe in zip(there, chain.from_iterable(looked), prints, scores, strict=True):
        outcomes[at] = answer if answer.vector is None else replace(answer, fingerprint=views, unsafe=unsafe)
    return outcomes


def _fingerprints(images: Sequence[Pixels]) -> list[Fingerprints]:
    return [fingerprint(image) for image in images]


async def _look(
    models: Models, pins: Sequence[AcceptedPin], group: list[tuple[int, Pixels]], side: int, likelihood: float
) -> list[Understanding]:
    images = [image for _, image in group]
    asked = [worth_a_look(_text(pins[at]), likelihood) for at, _ in group]
    answers = iter(await models.detect(list(compress(images, asked))))
    detections = [
        [each for each in next(answers) if each.confidence >= LEAST_CONFIDENCE][:MOST_OBJECTS] if wanted else []
        for wanted in asked
    ]
    # Nothing detected: a product alone, or a pattern; its parts are no scene.
    grids = [windows(min(side, MOST_SIDE), [one.box for one in found]) if found else {} for found in detections]
    crops: list[Pixels] = []
    for image, found, grid in zip(images, detections, grids, strict=True):
        crops += [crop(image, detection, CROP_PADDING) for detection in found]
        crops += [crop(image, Detection("", 0.0, box), 0.0) for box in grid.values()]
    vectors = await models.encode([*images, *crops])
    of_crops = iter(vectors[len(images) :])
    outcomes: list[Understanding] = []
    wholes = vectors[: len(images)]
    for (at, _), whole, found, grid, wanted in zip(group, wholes, detections, grids, asked, strict=True):
        pin = pins[at]
        objects = [
            SeenObject(combined_id("object", pin.pin, index), detection, next(of_crops))
            for index, detection in enumerate(found)
        ]
        parts = [
            SeenObject(combined_id("object", pin.pin, MOST_OBJECTS + place), Detection("", 0.0, box), next(of_crops))
            for place, box in grid.items()
        ]
        if not whole.size or np.isnan(whole).any():
            refused = ImageRejected(Reason.IMAGE_UNREADABLE, "the encoder refuses it")
            outcomes.append(Understanding(pin, rejected=refused))
        else:
            seen, cut = ([one for one in some if not np.isnan(one.vector).any()] for some in (objects, parts))
            outcomes.append(Understanding(pin, whole, seen, cut, detected=wanted))
    return outcomes


def _text(pin: AcceptedPin) -> Text:
    return pin_text(pin.title, pin.description, pin.link, pin.board_name)


async def record(engine: Engine, understandings: Sequence[Understanding], encoder: str, safety: str = "") -> None:
    """Make what was understood true: vectors, then rows, then memory. May be repeated; a pin appears once.

    A pin without a vector (deleted, no image, rejected) loses the one of its earlier version: it showed another
    picture. Rows of objects count when they carry the pin's newest version.

    Raises:
        StoreUnavailable: Milvus or ClickHouse is gone; the same call may be repeated.
    """
    with engine.metrics.store("milvus", "record"):
        await record_vectors(engine.vectors, understandings)
    with engine.metrics.store("clickhouse", "record"):
        await _record_rows(engine.events, understandings, encoder)
        prints = [(one.pin, one.fingerprint) for one in understandings]
        await keep(engine.state.pictures, engine.state.catalogue, engine.events, prints)
        judged = [(one.pin, one.vector is not None, one.unsafe) for one in understandings]
        await pin_safety.keep(engine.state.safety, engine.events, judged, safety)
    engine.vector_cache.drop(_ids([one for one in understandings if one.vector is None]))
    engine.vector_cache.put({one.pin.pin: one.vector for one in understandings if one.vector is not None})


async def record_vectors(vectors: VectorStore, understandings: Sequence[Understanding]) -> None:
    """Put vectors of pins and objects into an index, and take those away that an earlier version of a pin left there.

    May be repeated. Raises StoreUnavailable, and ValueError where the index holds vectors of another length.
    """
    seen = [one for one in understandings if one.vector is not None]
    blind = [one for one in understandings if one.vector is None]
    if blind:
        await vectors.delete("pins", _ids(blind))
    # By id, as ids follow from the pin: finding them by pin would wait for Milvus to catch up with itself.
    kept = {found.object for one in seen for found in (*one.objects, *one.windows)}
    places = range(MOST_OBJECTS + MOST_SIDE**2)
    slots = (combined_id("object", one.pin.pin, index) for one in understandings for index in places)
    await vectors.delete("objects", np.array([slot for slot in slots if slot not in kept], np.int64))
    if not seen:
        return
    whole = np.array([one.vector for one in seen], np.float32)
    await vectors.prepare(whole.shape[1])
    await vectors.upsert("pins", _ids(seen), whole, {"version": _versions(seen)})
    found = [(one.pin, each) for one in seen for each in (*one.objects, *one.windows)]
    rows = _object_rows(found)
    if kept:
        ids = np.array(rows.pop("object"), np.int64)
        crops = np.array([each.vector for _, each in found], np.float32)
        await vectors.upsert("objects", ids, crops, {name: np.array(values) for name, values in rows.items()})


async def _record_rows(events: EventStore, understandings: Sequence[Understanding], encoder: str) -> None:
    rows = _object_rows([(one.pin, found) for one in understandings for found in one.objects])
    gone = await _tombstones(events, [one.pin for one in understandings if one.pin.deleted])
    rows = {name: values + gone[name] for name, values in rows.items()}
    if rows["object"]:
        await events.insert("objects", rows)
    columns = {
        "pin": _ids(understandings),
        "version": _versions(understandings),
        # Empty where there is none: the tombstone of an earlier one.
        "encoder_version": ["" if one.vector is None else encoder for one in understandings],
        "vector": [[] if one.vector is None else one.vector.tolist() for one in understandings],
    }
    await events.insert("pin_vectors", columns)


def _object_rows(found: Sequence[tuple[AcceptedPin, SeenObject]]) -> dict[str, list[object]]:
    rows: dict[str, list[object]] = {
        "object": [seen.object for _, seen in found],
        "pin": [pin.pin for pin, _ in found],
        "version": [pin.version for pin, _ in found],
        "label": [seen.detection.label for _, seen in found],
        "confidence": [seen.detection.confidence for _, seen in found],
    }
    for edge, name in enumerate(("left", "top", "right", "bottom")):
        rows[name] = [seen.detection.box[edge] for _, seen in found]
    return rows


async def _tombstones(events: EventStore, pins: list[AcceptedPin]) -> dict[str, list[object]]:
    """Rows that take the place of every object of deleted pins: no label, no box, the deletion's version."""
    versions = {pin.pin: pin.version for pin in pins}
    rows: dict[str, list[object]] = {name: [] for name in _object_rows([])}
    if not versions:
        return rows
    held = await events.query(
        "SELECT DISTINCT object, pin FROM objects WHERE has({pins:Array(Int64)}, pin)", {"pins": list(versions)}
    )
    if not held:
        return rows
    rows["object"], rows["pin"] = held["object"].tolist(), held["pin"].tolist()
    rows["version"] = [versions[pin] for pin in held["pin"].tolist()]
    rows["label"] = [""] * len(rows["object"])
    for name in ("confidence", "left", "top", "right", "bottom"):
        rows[name] = [0.0] * len(rows["object"])
    return rows


def _ids(understandings: Sequence[Understanding]) -> NDArray[np.int64]:
    return np.array([one.pin.pin for one in understandings], np.int64)


def _versions(understandings: Sequence[Understanding]) -> NDArray[np.int64]:
    return np.array([one.pin.version for one in understandings], np.int64)

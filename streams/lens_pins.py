"""Lens on a live pin: what was seen in it, and vectors of it or of a part of it to search with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.vision.scenes import object_weights
from streams.engine import Engine
from streams.images.fitting import Pixels
from streams.lens_objects import SEARCH_SECONDS
from streams.lens_photo import WHOLE, Box, cut, picture_of
from streams.lens_query import LITTLE, QueryObject, area, covered
from streams.lens_recall import Recall
from streams.stores.protocols import StoreUnavailable

Vectors = NDArray[np.float32]

#: The objects of the version that was looked at last: that is the one whose vectors are held.
_OBJECTS = """
SELECT object, label, confidence, left, top, right, bottom FROM objects FINAL
WHERE pin = {pin:Int64} AND label != ''
  AND version = (SELECT max(version) FROM pin_vectors WHERE pin = {pin:Int64} AND notEmpty(vector))
ORDER BY confidence DESC, object
"""
_PICTURE = "SELECT image FROM pins FINAL WHERE pin = {pin:Int64} AND deleted = 0"


class PinObject(NamedTuple):
    """An object of a pin, by its id; ``box`` is of the pin's picture."""

    object: int
    label: str
    confidence: float
    box: Box


class Part(NamedTuple):
    """What to search with: objects, their vectors ``(q, d)``, and what each counts ``(q,)``."""

    objects: list[QueryObject]
    vectors: Vectors
    weights: NDArray[np.float64]


async def objects_of(engine: Engine, pin: int) -> list[PinObject]:
    """What was seen in a pin, most certain first; nothing before it is understood.

    Raises:
        StoreUnavailable: ClickHouse is gone.
    """
    rows = await engine.events.query(_OBJECTS, {"pin": pin})
    columns = (rows.get(name, ()) for name in ("object", "label", "confidence", "left", "top", "right", "bottom"))
    return [
        PinObject(int(id_), str(label), float(confidence), (float(left), float(top), float(right), float(bottom)))
        for id_, label, confidence, left, top, right, bottom in zip(*columns, strict=True)
    ]


async def picture(engine: Engine, pin: int) -> Pixels | None:
    """A pin's picture; None when it cannot be had (it was sent inline, or its address answers no more).

    Raises:
        StoreUnavailable: ClickHouse is gone.
    """
    rows = await engine.events.query(_PICTURE, {"pin": pin})
    reference = str(rows["image"][0]) if rows and len(rows["image"]) else ""
    return await picture_of(engine.settings, reference) if reference else None


async def of_objects(engine: Engine, pin: int, objects: Sequence[PinObject], *, whole: bool = False) -> Part:
    """Objects of a pin as they are held, and if ``whole`` the pin itself where they cover little of it.

    Objects that were seen a moment ago and have no vector yet are left out.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            vectors = await engine.vectors.fetch("objects", np.array([one.object for one in objects], np.int64))
            held = [one for one in objects if one.object in vectors]
            seen = [(QueryObject(one.label, one.confidence, one.box), vectors[one.object]) for one in held]
            if whole and covered([one.box for one in held]) < LITTLE:
                itself = await engine.vectors.fetch("pins", np.array([pin], np.int64))
                seen += [(QueryObject("", 1.0, WHOLE), vector) for vector in itself.values()]
    except TimeoutError:
        engine.vectors.circuit.too_slow()
        raise StoreUnavailable("milvus", f"no answer within {SEARCH_SECONDS:g} s") from None
    return _part(seen)


async def of_box(engine: Engine, recall: Recall, pixels: Pixels, box: Box) -> Part:
    """Whatever is inside a box of a picture.

    Raises:
        ImageRejected, StoreUnavailable: as :func:`streams.lens_query.understood`.
    """
    query, _, _ = await recall.understood(engine.models, cut(pixels, box))
    return _part([(QueryObject("", 1.0, box), query.whole)])


def _part(seen: list[tuple[QueryObject, Vectors]]) -> Part:
    objects = [one for one, _ in seen]
    weights = object_weights(
        np.array([one.confidence for one in objects], np.float32),
        np.array([area(one.box) for one in objects], np.float32),
    )
    vectors = np.stack([vector for _, vector in seen]) if seen else np.empty((0, 0), np.float32)
    return Part(objects, vectors, weights)

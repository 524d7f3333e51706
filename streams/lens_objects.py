"""Object search: query objects → nearest objects of all pins → the scenes that they stand in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.small_sets import contains
from operators.vision.rolled_up import first_of_each
from operators.vision.scenes import ObjectHits, rank_scenes
from streams.engine import Engine
from streams.lens_photo import WHOLE, Box
from streams.pin_safety import showable
from streams.stores.protocols import StoreUnavailable

Vectors = NDArray[np.float32]

#: Objects that each query object proposes for one scene in the answer: a scene has several, and some are gone.
DEPTH, LEAST_DEPTH, MOST_DEPTH = 6, 60, 1000
SEARCH_SECONDS = 2.0
EDGES = ("left", "top", "right", "bottom")


class ObjectHit(NamedTuple):
    """An object found: in which scene (a pin), where, and which query object it is like.

    ``object`` is 0 and ``label`` empty where the whole picture of a pin is what was found.
    """

    scene: int
    object: int
    label: str
    confidence: float
    box: Box
    similarity: float
    query: int


class SceneHit(NamedTuple):
    """A scene: ``score`` says how well it answers all query objects, ``hit`` is the object that says most for it."""

    score: float
    hit: ObjectHit


async def nearest_objects(
    engine: Engine, vectors: Vectors, k: int, labels: Collection[str] = (), without: Collection[int] = ()
) -> list[ObjectHit]:
    """The ``k`` nearest objects of each query ``(q, d)``, queries in order, best first.

    Args:
        labels: objects of these labels only.
        without: pins whose objects are left out, with those of their near-duplicates.

    Raises:
        StoreUnavailable: Milvus is gone or too slow.
    """
    # As JSON, a label is quoted as Milvus reads it.
    where = f"label in {json.dumps(sorted(labels), ensure_ascii=False)}" if labels else ""
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            near = await engine.vectors.search("objects", vectors, k, where, ("pin", "label", "confidence", *EDGES))
    except TimeoutError:
        engine.vectors.circuit.too_slow()
        raise StoreUnavailable("milvus", f"no answer within {SEARCH_SECONDS:g} s") from None
    pins = near.fields["pin"]
    shown = (near.ids > 0) & _shown(engine, pins, without)
    field = near.fields
    return [
        ObjectHit(
            int(pins[at]),
            int(near.ids[at]),
            str(field["label"][at]),
            float(field["confidence"][at]),
            (float(field["left"][at]), float(field["top"][at]), float(field["right"][at]), float(field["bottom"][at])),
            float(near.scores[at]),
            int(at[0]),
        )
        for at in zip(*np.nonzero(shown), strict=True)
    ]


async def nearest_pins(engine: Engine, vectors: Vectors, k: int, without: Collection[int] = ()) -> list[ObjectHit]:
    """As :func:`nearest_objects`, of whole pictures: each pin is one object that fills its picture."""
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            near = await engine.vectors.search("pins", vectors, k)
    except TimeoutError:
        engine.vectors.circuit.too_slow()
        raise StoreUnavailable("milvus", f"no answer within {SEARCH_SECONDS:g} s") from None
    shown = _shown(engine, near.ids, without)
    return [
        ObjectHit(int(near.ids[query, place]), 0, "", 1.0, WHOLE, float(near.scores[query, place]), int(query))
        for query, place in zip(*np.nonzero(shown), strict=True)
    ]


async def scenes(
    engine: Engine, vectors: Vectors, weights: NDArray[np.float64], k: int, without: Collection[int] = ()
) -> list[SceneHit]:
    """The ``k`` living scenes that answer query objects ``(q, d)`` best, one of each picture, best first.

    Raises:
        StoreUnavailable: Milvus is gone or too slow.
    """
    depth = min(max(LEAST_DEPTH, DEPTH * k), MOST_DEPTH)
    found = await nearest_objects(engine, vectors, depth, without=without)
    ranked = rank_scenes(
        ObjectHits(
            np.array([hit.query for hit in found], np.intp),
            np.array([hit.scene for hit in found], np.int64),
            np.array([hit.similarity for hit in found], np.float32),
        ),
        weights,
        len(found),
    )
    rows = first_of_each(engine.state.pictures.canonicals(ranked.scenes))[:k]
    return [
        SceneHit(score, found[row])
        for score, row in zip(ranked.scores[rows].tolist(), ranked.best[rows].tolist(), strict=True)
    ]


def by_picture(engine: Engine, hits: Sequence[ObjectHit]) -> dict[int, ObjectHit]:
    """The first hit of each picture, by its canonical pin, in order."""
    first: dict[int, ObjectHit] = {}
    pictures = engine.state.pictures.canonicals(np.array([hit.scene for hit in hits], np.int64))
    for picture, hit in zip(pictures.tolist(), hits, strict=True):
        first.setdefault(picture, hit)
    return first


def _shown(engine: Engine, pins: Ints, without: Collection[int]) -> NDArray[np.bool_]:
    """Which of these pins may be shown, and show another picture than those ``without``; any shape."""
    flat = pins.ravel()
    pictures = engine.state.pictures.canonicals
    same = contains(pictures(flat), pictures(np.array(list(without), np.int64)))
    return (showable(engine, flat) & ~same).reshape(pins.shape)

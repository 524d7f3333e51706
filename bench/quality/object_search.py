"""Object search on real rooms: given a product's photo, are its real rooms among the first?

``rooms.json`` says which products really stand in which of 102 rooms. Rooms are looked at by the engine's own code
(detector and encoder of the real Triton, objects and windows as they are indexed) and products as Lens looks at a
photo; nearest vectors are found exactly, so that the index's misses do not count. Recall@10 is the share of a
product's rooms among the first ten, averaged over products.

Windows, how many and whether to gate them, and how a scene's score is made were chosen on the products of one half
(CRC-32 of the id even, *validation*); the other half is *test*. The rooms are for evaluation only and never ship.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.quality.figure import Figure, Given
from operators.accepted import AcceptedPin
from operators.vision.scenes import ObjectHits, rank_scenes
from streams.images.decode import decode_now
from streams.images.fitting import Pixels
from streams.lens_objects import LEAST_DEPTH
from streams.lens_photo import WHOLE, cut
from streams.lens_query import Query, understood
from streams.settings import Settings
from streams.stores.triton import TritonModels
from streams.understanding import Understanding, understand

RATIO = 1.5


class Size(NamedTuple):
    """How many rooms and products, and among how many of the first a room has to be."""

    rooms: int
    products: int
    at: int


#: All of it takes minutes; a fifth of the rooms and some of their products show the same, less exactly. Two places are
#: as hard with a fifth of the rooms as ten with all.
WHOLE_SET, SAMPLE = Size(102, 1016, 10), Size(20, 40, 2)


class Rooms:
    """The first rooms, the products that stand in them, and where each product stands."""

    def __init__(self, folder: Path, size: Size) -> None:
        """``folder`` holds ``rooms.json``; pictures are named relative to the folder above."""
        read = json.loads((folder / "rooms.json").read_text())
        rooms = read["rooms"][: size.rooms]
        images = {row["id"]: row["image"] for row in read["products"]}
        self.scenes = [_pixels(folder.parent / room["image"]) for room in rooms]
        inside = [{name for name in room["products"] if name in images} for room in rooms]
        # In the order of their checksums: a sample that is nobody's choice.
        names = sorted(set().union(*inside), key=lambda name: zlib.crc32(name.encode()))[: size.products]
        self.products = [_pixels(folder.parent / images[name]) for name in names]
        self.truth = [{place for place, those in enumerate(inside) if name in those} for name in names]
        self.validation = np.array([zlib.crc32(name.encode()) % 2 == 0 for name in names])


class Found(NamedTuple):
    """Way of searching → recall of each product ``(n,)``; which products are validation; how much was indexed."""

    recalls: dict[str, NDArray[np.float64]]
    validation: NDArray[np.bool_]
    rooms: int
    vectors_a_room: float

    def mean(self, way: str, split: str) -> float:
        """Recall of ``validation``, ``test`` or ``all`` products."""
        rows = {"validation": self.validation, "test": ~self.validation, "all": np.ones_like(self.validation)}[split]
        return float(self.recalls[way][rows].mean())


async def measured(settings: Settings, folder: Path, size: Size) -> Found:
    """Every way of searching on the same understanding. Raises StoreUnavailable."""
    rooms = Rooms(folder, size)
    models = TritonModels(settings)
    try:
        pins = [AcceptedPin(pin=place + 1, version=1) for place in range(len(rooms.scenes))]
        scenes = await understand(models, pins, rooms.scenes, settings.object_windows)
        queries = [await understood(models, cut(photo, WHOLE)) for photo in rooms.products]
    finally:
        await models.close()
    bare = [replace(scene, windows=[]) for scene in scenes]
    ways = {
        "whole image": [_by_wholes(query, scenes) for query in queries],
        "detected objects alone": [_by_objects(query, bare, size.at) for query in queries],
        "object search": [_by_objects(query, scenes, size.at) for query in queries],
    }
    held = 1 + sum(len(one.objects) + len(one.windows) for one in scenes) / len(scenes)
    recalls = {name: _recall(rankings, rooms.truth, size.at) for name, rankings in ways.items()}
    return Found(recalls, rooms.validation, len(scenes), held)


def figures(given: Given) -> list[Figure]:
    """Recall of each way, and how many times that of whole images object search has."""
    size = SAMPLE if given.quick else WHOLE_SET
    found = asyncio.run(measured(given.triton, given.folder("rooms"), size))
    rows: list[Figure] = []
    for split in ("validation", "test", "all"):
        asked = {"validation": found.validation, "test": ~found.validation}.get(split, found.validation | True)
        over = f"{asked.sum()} products, {found.rooms} rooms, {found.vectors_a_room:.1f} vectors a room"
        rows += [
            Figure("objects", f"recall@{size.at}, {way}", split, (found.mean(way, split),), over)
            for way in found.recalls
        ]
        ratio = found.mean("object search", split) / found.mean("whole image", split)
        rows.append(Figure("objects", "object search ÷ whole image", split, (ratio,), over, least=RATIO))
    return rows


def _pixels(file: Path) -> Pixels:
    return decode_now(file.read_bytes())


def _recall(rankings: list[list[int]], truth: list[set[int]], at: int) -> NDArray[np.float64]:
    """Of each product the share of its rooms (at most ``at``) among the first."""
    return np.array(
        [len(rooms & set(ranking[:at])) / min(at, len(rooms)) for ranking, rooms in zip(rankings, truth, strict=True)]
    )


def _by_wholes(query: Query, scenes: list[Understanding]) -> list[int]:
    wholes = np.stack([scene.vector for scene in scenes if scene.vector is not None])
    return np.argsort(-(wholes @ query.whole), kind="stable").tolist()


def _by_objects(query: Query, scenes: list[Understanding], at: int) -> list[int]:
    """As ``streams.lens_objects.scenes`` does, on exact neighbours."""
    held = [(place, one.vector) for place, scene in enumerate(scenes) for one in (*scene.objects, *scene.windows)]
    of, vectors = np.array([place for place, _ in held]), np.stack([vector for _, vector in held])
    cosines = query.vectors @ vectors.T
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :LEAST_DEPTH]
    hits = ObjectHits(
        np.repeat(np.arange(len(near)), near.shape[1]), of[near.ravel()], np.take_along_axis(cosines, near, 1).ravel()
    )
    return rank_scenes(hits, query.weights, at).scenes.tolist()

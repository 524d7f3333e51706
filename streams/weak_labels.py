"""Weak labels of live crops: regions that people cropped, looked up among the objects that vision knows.

Crops (ClickHouse) → regions → their pixels → encoder → nearest objects of other pins (Milvus) → a vote of those
objects' labels. Asked for by ``training/weak_labels.py``; no slate waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.vision.regions import regions
from operators.vision.weak_labels import NONE, Voting, inverse_frequency, vote
from streams.images.fitting import Pixels, crop
from streams.images.load import load_images
from streams.settings import Settings
from streams.stores.protocols import Detection, EventStore, Models, VectorStore
from streams.understanding import CROP_PADDING

#: Crops of one pin that are looked at, the newest: regions take time that grows with their cube.
MOST_CROPS = 300
#: Objects asked for beyond those that vote, as those of the same pin do not.
SPARE = 16

Box = tuple[float, float, float, float]


class WeakLabel(msgspec.Struct, frozen=True):
    """What a region shows; ``image`` is where its picture is, ``crops`` how many people's crops made it."""

    pin: int
    image: str
    width: int
    height: int
    box: Box
    crops: int
    label: str
    score: float
    margin: float


class Stores(NamedTuple):
    """The parts that are asked."""

    settings: Settings
    events: EventStore
    vectors: VectorStore
    models: Models


class _Region(NamedTuple):
    pin: int
    image: str
    pixels: Pixels
    box: Box
    crops: int


async def cropped_pins(events: EventStore, least: int) -> list[int]:
    """Living pins with at least so many crops, and a picture that can be looked at again. Raises StoreUnavailable."""
    rows = await events.query(
        "SELECT pin FROM crops FINAL WHERE pin IN "
        "(SELECT pin FROM pins FINAL WHERE deleted = 0 AND image NOT IN ('', 'inline')) "
        "GROUP BY pin HAVING count() >= {least:UInt64} ORDER BY pin",
        {"least": least},
    )
    return rows["pin"].tolist() if rows else []


async def weak_labels(stores: Stores, pins: Sequence[int], voting: Voting, margin: float) -> list[WeakLabel]:
    """Labels of the regions of these pins that win by more than ``margin``. A picture that is gone has none.

    Raises:
        StoreUnavailable: a part is gone; the same call may be repeated.
    """
    found = await _regions(stores, pins)
    if not found:
        return []
    names, frequency = await _labels(stores.events, voting.rarity)
    vectors = await stores.models.encode(
        [crop(region.pixels, Detection("", 1.0, region.box), CROP_PADDING) for region in found]
    )
    # Windows have no label, so they cannot vote.
    near = await stores.vectors.search("objects", vectors, voting.neighbours + SPARE, 'label != ""')
    known = await _objects(stores.events, near.ids)
    own = np.array([region.pin for region in found])
    there = np.isin(near.ids, list(known))
    of = [[known.get(object_, ("", 0.0, 0)) for object_ in row] for row in near.ids.tolist()]
    others = np.array([[pin for _, _, pin in row] for row in of], np.int64) != own[:, None]
    similarities = np.where(there & others, near.scores.astype(np.float64), -np.inf)
    categories = np.array([[names.get(label, NONE) for label, _, _ in row] for row in of], np.int64)[..., None]
    confidences = np.array([[confidence for _, confidence, _ in row] for row in of])[..., None]
    votes = vote(similarities, categories, confidences, frequency, voting)
    words = list(names)
    return [
        WeakLabel(
            region.pin,
            region.image,
            region.pixels.shape[1],
            region.pixels.shape[0],
            region.box,
            region.crops,
            words[int(votes.labels[row])],
            float(votes.scores[row]),
            float(votes.margins[row]),
        )
        for row, region in enumerate(found)
        if votes.kept(margin)[row]
    ]


async def _regions(stores: Stores, pins: Sequence[int]) -> list[_Region]:
    rows = await stores.events.query(
        "SELECT pin, left, top, right, bottom FROM crops FINAL WHERE has({pins:Array(Int64)}, pin) "
        f"ORDER BY pin, time DESC, event_id LIMIT {MOST_CROPS} BY pin",
        {"pins": list(pins)},
    )
    images = await stores.events.query(
        "SELECT pin, image FROM pins FINAL WHERE has({pins:Array(Int64)}, pin) AND deleted = 0", {"pins": list(pins)}
    )
    if not rows or not images:
        return []
    of_pin: dict[int, str] = dict(zip(images["pin"].tolist(), images["image"].tolist(), strict=True))
    loaded = await load_images(stores.settings, list(of_pin.values()))
    boxes = np.stack([rows[name] for name in ("left", "top", "right", "bottom")], 1).astype(np.float64)
    found: list[_Region] = []
    for (pin, image), pixels in zip(of_pin.items(), loaded, strict=True):
        if isinstance(pixels, np.ndarray):
            cut = regions(boxes[rows["pin"] == pin])
            found += [
                _Region(pin, image, pixels, (box[0], box[1], box[2], box[3]), crops)
                for box, crops in zip(cut.boxes.tolist(), cut.crops.tolist(), strict=True)
            ]
    return found


async def _labels(events: EventStore, rarity: float) -> tuple[dict[str, int], NDArray[np.float64]]:
    """Every label that objects have, in order of its name, and its weight by how rare it is."""
    rows = await events.query(
        "SELECT label, count() AS n FROM objects FINAL WHERE label != '' GROUP BY label ORDER BY label"
    )
    if not rows:
        return {}, np.empty(0)
    items = np.repeat(np.arange(len(rows["label"])), rows["n"].astype(np.int64))
    names = {label: place for place, label in enumerate(rows["label"].tolist())}
    return names, inverse_frequency(items[:, None], len(names), rarity)


async def _objects(events: EventStore, ids: NDArray[np.int64]) -> dict[int, tuple[str, float, int]]:
    """Object → label, confidence, pin."""
    wanted: list[Any] = np.unique(ids[ids > 0]).tolist()
    if not wanted:
        return {}
    rows = await events.query(
        "SELECT object, label, confidence, pin FROM objects FINAL WHERE object IN {ids:Array(Int64)} AND label != ''",
        {"ids": wanted},
    )
    if not rows:
        return {}
    columns = [rows[name].tolist() for name in ("object", "label", "confidence", "pin")]
    return {object_: (label, confidence, pin) for object_, label, confidence, pin in zip(*columns, strict=True)}

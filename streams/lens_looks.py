"""Similar Looks and Shop the Look: what is in a pin, found in other pins.

Similar Looks (Visual Search at Pinterest, KDD 2015): dots on what is worn, each leads to things of the same kind.
Shop the Look (KDD 2020): a scene taken apart, products for each kind of thing in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from operators.fusion import fuse
from operators.vision.colours import Palette, palette_distance, salient_palette
from streams.engine import Engine
from streams.images.fitting import Pixels
from streams.images.load import load_images
from streams.lens_objects import ObjectHit, by_picture, nearest_objects, nearest_pins
from streams.lens_photo import cut
from streams.lens_pins import PinObject, of_objects

#: What people wear or carry, as detectors name it: COCO's labels, then those of clothing photos. A person is an outfit.
_WORN = (
    "person backpack umbrella handbag tie suitcase hat shirt t-shirt longsleeve blouse top dress skirt pants jeans "
    "shorts outwear coat jacket shoes shoe boot sneaker bag belt scarf glove sunglasses watch"
)
WORN = frozenset(_WORN.split())
#: A likeness this close is taken for the very product.
EXACT = 0.9
#: Products of a category whose colours are looked at: each is a picture to fetch.
PALETTES = 12
PICTURE_SECONDS = 3.0
_PICTURES = "SELECT pin, image FROM pins FINAL WHERE has({pins:Array(Int64)}, pin) AND deleted = 0"


class Dot(NamedTuple):
    """An object of the pin, and what is like it in other pins, best first."""

    object: PinObject
    hits: list[ObjectHit]


class Product(NamedTuple):
    """A pin that shows such a product; ``colours`` is the distance of its palette (ΔE), None where it is not known."""

    hit: ObjectHit
    exact: bool
    colours: float | None


class Shelf(NamedTuple):
    """Products for the objects of one label in the scene."""

    label: str
    objects: list[PinObject]
    products: list[Product]


async def similar_looks(engine: Engine, pin: int, objects: Sequence[PinObject], n: int) -> list[Dot]:
    """For each object that is worn or carried, ``n`` pins with one of the same label.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    worn = [one for one in objects if one.label in WORN]
    return list(await asyncio.gather(*(_dot(engine, pin, one, n) for one in worn)))


async def shop_the_look(
    engine: Engine, pin: int, objects: Sequence[PinObject], scene: Pixels | None, n: int
) -> tuple[list[Shelf], list[str]]:
    """For each label in a scene ``n`` products of other pins, and what had to be done without.

    The very product comes first (:data:`EXACT`), then what is alike in style and in colour: places by cosine and
    places by distance of palettes are joined (reciprocal rank fusion).

    Args:
        scene: the pin's picture; without it colours are left out.

    Raises:
        StoreUnavailable: Milvus or ClickHouse is gone.
    """
    labels = list(dict.fromkeys(one.label for one in objects))
    of_label = {label: [one for one in objects if one.label == label] for label in labels}
    found = dict(
        zip(labels, await asyncio.gather(*(_products(engine, pin, of_label[each]) for each in labels)), strict=True)
    )
    wanted = {hit.scene for hits in found.values() for hit in hits[:PALETTES]}
    pictures = {} if scene is None else await _pictures(engine, wanted)
    shelves = [
        await asyncio.to_thread(_shelf, label, of_label[label], found[label], scene, pictures, n) for label in labels
    ]
    return shelves, ["palette"] if labels and wanted and not pictures else []


async def _dot(engine: Engine, pin: int, one: PinObject, n: int) -> Dot:
    part = await of_objects(engine, pin, [one])
    # An object is found several times in one pin: a pair of shoes.
    hits = await nearest_objects(engine, part.vectors, 4 * n, [one.label], without=[pin])
    return Dot(one, list(by_picture(engine, hits).values())[:n])


async def _products(engine: Engine, pin: int, objects: list[PinObject]) -> list[ObjectHit]:
    """Objects of the same label, and pins that as a whole look like one; the likest first, each pin once."""
    part = await of_objects(engine, pin, objects)
    objects_like, pins_like = await asyncio.gather(
        nearest_objects(engine, part.vectors, 4 * PALETTES, [objects[0].label], without=[pin]),
        nearest_pins(engine, part.vectors, 2 * PALETTES, without=[pin]),
    )
    likest = sorted([*objects_like, *pins_like], key=lambda hit: -hit.similarity)
    return list(by_picture(engine, likest).values())


async def _pictures(engine: Engine, pins: set[int]) -> dict[int, Pixels]:
    """The pictures that can be had in time."""
    rows = await engine.events.query(_PICTURES, {"pins": sorted(pins)})
    if not rows:
        return {}
    try:
        async with asyncio.timeout(PICTURE_SECONDS):
            loaded = await load_images(engine.settings, [str(image) for image in rows["image"]])
    except TimeoutError:
        return {}
    paired = zip(rows["pin"].tolist(), loaded, strict=True)
    return {pin: pixels for pin, pixels in paired if isinstance(pixels, np.ndarray)}


def _shelf(
    label: str,
    objects: list[PinObject],
    hits: list[ObjectHit],
    scene: Pixels | None,
    pictures: Mapping[int, Pixels],
    n: int,
) -> Shelf:
    colours: dict[int, float] = {}
    if scene is not None:
        own = [_palette(scene, one) for one in objects]
        for hit in hits[:PALETTES]:
            if hit.scene in pictures:
                other = _palette(pictures[hit.scene], hit)
                colours[hit.scene] = min(palette_distance(one, other) for one in own)
    exact = [hit for hit in hits if hit.similarity >= EXACT]
    alike = np.array([hit.scene for hit in hits if hit.similarity < EXACT], np.int64)
    near = np.array(sorted((pin for pin in alike.tolist() if pin in colours), key=colours.__getitem__), np.int64)
    of_pin = {hit.scene: hit for hit in hits}
    ordered = [*exact, *(of_pin[pin] for pin in fuse([alike, near], len(alike)).ids.tolist())]
    return Shelf(label, objects, [Product(hit, hit.similarity >= EXACT, colours.get(hit.scene)) for hit in ordered[:n]])


def _palette(pixels: Pixels, one: PinObject | ObjectHit) -> Palette:
    left, top, right, bottom = one.box
    # A box that the detector drew may be a line.
    return salient_palette(cut(pixels, (left, top, right, bottom)).pixels)

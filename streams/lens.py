"""Lens: a photo in, pins out, from three ways of searching blended by what was understood of the photo.

Visual search finds pins whose picture looks alike, object search finds scenes with such objects, image search turns
what is seen into words and searches those. ``docs/lens.md`` says how much each of them gives, and why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

import msgspec

from operators.vision.blender import SOURCES as BLENDED
from operators.vision.blender import Blend, Seen, blend, blend_ratios
from operators.vision.colours import to_rgb
from streams.engine import Engine, as_it_serves
from streams.images.fitting import Pixels
from streams.lens_objects import ObjectHit, by_picture, nearest_pins, scenes
from streams.lens_photo import Box, Sent, cut
from streams.lens_query import Query, QueryObject, area
from streams.lens_recall import Recall
from streams.lens_text import text
from streams.stores.protocols import StoreUnavailable

#: Pins that each source proposes for one in the answer, as some are found by several.
DEPTH = 3
#: Said of a photo that is not searched with.
REFUSED = "the photo is likely not safe for work: nothing was searched"


class PhotoObject(msgspec.Struct, frozen=True):
    """An object of the photo; ``box`` is left, top, right, bottom as fractions of the whole picture."""

    label: str
    confidence: float
    box: Box


class Swatch(msgspec.Struct, frozen=True):
    """A salient colour, ``#rrggbb``, and its share of what is salient."""

    hex: str
    share: float


class LensHit(msgspec.Struct, frozen=True):
    """A pin that was found. ``similarity`` is the source's own scale: a cosine, or for ``text`` what words score.

    ``box`` is where in the pin's picture the likeness is: around the ``object`` (with its ``label``), or the whole
    picture where ``object`` is 0. ``query`` is the object of the photo, counted from 0, that it is like; null for the
    photo as a whole.
    """

    pin: int
    source: str
    similarity: float
    box: Box
    object: int
    label: str
    query: int | None


class Lens(msgspec.Struct, frozen=True):
    """What was understood of a photo, and what it found, best first.

    ``box`` is the part of the picture that was looked at. ``light``, ``sharpness`` and ``quality`` are 0 … 1, as is
    ``unsafe``: how likely the photo is not safe for work, null where that is unknown; with one above the engine's
    threshold nothing is searched, and ``reasons`` say so. ``ratios`` add up to 1 over the sources; ``reasons`` explain
    them. ``degraded`` names what could not be asked, ``models`` who looked; ``remembered`` is true for a photo seen
    before. ``milliseconds`` is what each stage took: ``fetch`` (of a reference), ``understand`` (of which ``decode``,
    ``colours`` beside ``detect``, then ``encode``; none of these for a photo that is remembered), ``search`` (of which
    ``visual``, ``objects`` and ``text`` side by side) and ``blend``.
    """

    box: Box
    objects: list[PhotoObject]
    palette: list[Swatch]
    light: float
    sharpness: float
    quality: float
    blurred: bool
    dark: bool
    unsafe: float | None
    category: str
    category_confidence: float
    ratios: dict[str, float]
    reasons: list[str]
    hits: list[LensHit]
    degraded: list[str]
    models: dict[str, str]
    milliseconds: dict[str, float]
    remembered: bool


Source = Callable[[Engine, Query, int, int], Awaitable[list[ObjectHit]]]


async def visual(engine: Engine, query: Query, _pinner: int, k: int) -> list[ObjectHit]:
    """Pins whose whole picture looks like the whole photo. Raises StoreUnavailable."""
    return await nearest_pins(engine, query.whole[None], k)


async def objects(engine: Engine, query: Query, _pinner: int, k: int) -> list[ObjectHit]:
    """Scenes that have the photo's objects in them. Raises StoreUnavailable."""
    return [scene.hit for scene in await scenes(engine, query.vectors, query.weights, k)]


SOURCES: Mapping[str, Source] = {"visual": visual, "objects": objects, "text": text}


async def look(engine: Engine, recall: Recall, picture: bytes | Pixels, box: Box, pinner: int, n: int) -> Lens:
    """Understand the part of a picture inside ``box``, and find up to ``n`` pins for it that may be shown.

    Args:
        picture: as it was sent, which is decoded only when it was not seen before; or its pixels.
        pinner: whose taste words are searched with; 0 for nobody.

    Raises:
        ImageRejected: the picture cannot be read, or the encoder refuses it.
        StoreUnavailable: the encoder is gone, or no source could be asked.
    """
    began = perf_counter()
    engine = as_it_serves(engine)
    query, models, remembered = await recall.understood(
        engine.models, Sent(picture, box) if isinstance(picture, bytes) else cut(picture, box)
    )
    after_looking = perf_counter()
    refused = query.unsafe is not None and query.unsafe > engine.settings.unsafe_above
    nothing = {name: list[ObjectHit]() for name in SOURCES}, dict[str, float]()
    found, asking = nothing if refused else await _asked(engine, query, pinner, n)
    after_asking = perf_counter()
    mix = _mixed(query, area(box), found)
    of_source = {name: by_picture(engine, hits) for name, hits in found.items()}
    order = blend({name: list(hits) for name, hits in of_source.items()}, mix.ratios, n)
    hits = [_shown(of_source[source][picture], source, query) for picture, source in order]
    done = perf_counter()
    colours = to_rgb(query.palette.lab).tolist()
    category, sure = query.category
    return Lens(
        box=box,
        objects=[PhotoObject(one.label, one.confidence, one.box) for one in query.seen],
        palette=[
            Swatch("#{:02x}{:02x}{:02x}".format(*colour), float(share))
            for colour, share in zip(colours, query.palette.weights, strict=True)
        ],
        light=query.quality.light,
        sharpness=query.quality.sharpness,
        quality=query.quality.quality,
        blurred=query.quality.blurred,
        dark=query.quality.dark,
        unsafe=query.unsafe,
        category=category,
        category_confidence=sure,
        ratios=mix.ratios,
        reasons=[*mix.reasons, *[REFUSED] * refused],
        hits=hits,
        degraded=sorted({*BLENDED} - {*found} | {*query.left_out}),
        models=models,
        milliseconds={
            "understand": round((after_looking - began) * 1000, 3),
            **({} if remembered else query.milliseconds),
            "search": round((after_asking - after_looking) * 1000, 3),
            **asking,
            "blend": round((done - after_asking) * 1000, 3),
        },
        remembered=remembered,
    )


async def _asked(
    engine: Engine, query: Query, pinner: int, n: int
) -> tuple[dict[str, list[ObjectHit]], dict[str, float]]:
    """What each source that could be asked found, and the milliseconds that each took.

    Raises StoreUnavailable when none could.
    """
    took: dict[str, float] = {}

    async def ask(name: str) -> list[ObjectHit] | StoreUnavailable:
        began = perf_counter()
        try:
            return await SOURCES[name](engine, query, pinner, n * DEPTH)
        except StoreUnavailable as gone:
            engine.metrics.store_error(gone.part)
            return gone
        finally:
            took[name] = round((perf_counter() - began) * 1000, 3)

    answers = dict(zip(SOURCES, await asyncio.gather(*map(ask, SOURCES)), strict=True))
    found = {name: answer for name, answer in answers.items() if isinstance(answer, list)}
    if not found:
        raise next(answer for answer in answers.values() if isinstance(answer, StoreUnavailable))
    return found, took


def _mixed(query: Query, looked_at: float, found: Mapping[str, list[ObjectHit]]) -> Blend:
    """Ratios of the sources that answered; ``looked_at`` is the share of the picture that shares are of."""
    category, sure = query.category
    seen = Seen(
        tuple(one.confidence for one in query.seen),
        tuple(area(one.box) / looked_at for one in query.seen),
        query.quality.quality,
        category,
        sure,
    )
    return blend_ratios(seen, tuple(found))


def _shown(hit: ObjectHit, source: str, query: Query) -> LensHit:
    like: QueryObject | None = query.objects[hit.query] if source == "objects" else None
    # The photo as a whole, where it is a query object, is the last of them and no detected one.
    of = hit.query if like is not None and like.label else None
    return LensHit(hit.scene, source, hit.similarity, hit.box, hit.object, hit.label, of)

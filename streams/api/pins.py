"""GET /v1/pins/{pin}: what is known of a pin, what was seen in its image, and how it fares."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from numpy.typing import NDArray

from streams.api.answers import answer, identity, known
from streams.api.catalogue import living
from streams.api.counts import Counts, Rates, history
from streams.api.problems import unavailable
from streams.api.stats import PinQuality, pin_quality, unsafe_of
from streams.engine import Engine


class SeenObject(msgspec.Struct):
    """An object of the image; ``box`` is left, top, right, bottom as fractions of its width and height."""

    object: int
    label: str
    confidence: float
    box: tuple[float, float, float, float]


class Summary(msgspec.Struct):
    """How a pin fares; ``/v1/stats/pins/{pin}`` has it hour by hour."""

    totals: Counts
    rates: Rates
    quality: PinQuality


class Pin(msgspec.Struct):
    """A pin as its newest event has it. 0 stands for no pinner or board; times are milliseconds since the epoch.

    ``understood`` is true when this very version has been through the detector and the encoder. ``canonical`` is the
    earliest pin of the same picture, itself included, and ``duplicates`` how many others there are. ``unsafe`` is how
    likely its picture is not safe for work, 0 … 1; null where that is unknown.
    """

    pin: int
    version: int
    created: int
    pinner: int
    board: int
    title: str
    description: str
    link: str
    domain: str
    image: str
    understood: bool
    canonical: int
    duplicates: int
    unsafe: float | None
    objects: list[SeenObject]
    stats: Summary


_FACTS = """
SELECT version, created, pinner, board, title, description, link, domain, image,
       (SELECT max(version) FROM pin_vectors WHERE pin = {pin:Int64} AND notEmpty(vector)) AS encoded
FROM pins FINAL WHERE pin = {pin:Int64} AND deleted = 0
"""
_OBJECTS = """
SELECT object, label, confidence, left, top, right, bottom
FROM objects FINAL WHERE pin = {pin:Int64} AND version = {version:Int64} ORDER BY confidence DESC, object
"""


async def describe(engine: Engine, pin: int) -> Pin:
    """Everything about a living pin. Raises StoreUnavailable without ClickHouse, Problem while a new pin is written."""
    facts = await engine.events.query(_FACTS, {"pin": pin})
    if not facts or not len(facts["version"]):
        raise unavailable(f"Pin {pin} has just arrived and is still being written.")
    row = {name: column[0] for name, column in facts.items()}
    seen = await engine.events.query(_OBJECTS, {"pin": pin, "version": int(row["version"])})
    counted = await history(engine.events, "engagement_by_pin", "pin", pin, since=engine.state.now)
    same = engine.state.pictures.group(pin)
    return Pin(
        pin=pin,
        version=int(row["version"]),
        created=int(row["created"]),
        pinner=int(row["pinner"]),
        board=int(row["board"]),
        title=str(row["title"]),
        description=str(row["description"]),
        link=str(row["link"]),
        domain=str(row["domain"]),
        image=str(row["image"]),
        understood=int(row["encoded"]) == int(row["version"]),
        canonical=same[0],
        duplicates=len(same) - 1,
        unsafe=unsafe_of(engine, pin),
        objects=[_object(seen, index) for index in range(len(seen.get("object", ())))],
        stats=Summary(counted.totals, counted.rates, pin_quality(engine, pin)),
    )


def _object(rows: dict[str, NDArray[Any]], index: int) -> SeenObject:
    left, top, right, bottom = (float(rows[side][index]) for side in ("left", "top", "right", "bottom"))
    return SeenObject(
        int(rows["object"][index]),
        str(rows["label"][index]),
        float(rows["confidence"][index]),
        (left, top, right, bottom),
    )


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request)
        return answer(await describe(engine, living(engine, identity(request, "pin"))))

    return [web.get("/v1/pins/{pin}", get)]

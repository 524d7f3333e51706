"""GET /v1/pins/{pin}/annotations: phrases that say what a pin is about, and its interests."""

from __future__ import annotations

import msgspec
from aiohttp import web

from streams.api.answers import answer, identity, known
from streams.api.catalogue import living
from streams.api.problems import unavailable
from streams.engine import Engine
from streams.pin_words import Stage


class PinAnnotation(msgspec.Struct):
    """A phrase and how sure it is, 0 … 1."""

    phrase: str
    confidence: float


class PinInterest(msgspec.Struct):
    """A node of the interest taxonomy, such as ``home/furniture/sofas``, and how sure it is, 0 … 1."""

    interest: str
    confidence: float


class Annotations(msgspec.Struct):
    """What a pin is about, surest first. ``neighbours`` is true when what was seen and neighbours had their say."""

    pin: int
    version: int
    neighbours: bool
    annotations: list[PinAnnotation]
    interests: list[PinInterest]


_NEWEST = """
SELECT stage, version, phrases, confidences, interests, interest_scores FROM pin_annotations FINAL
WHERE pin = {pin:Int64} ORDER BY version DESC, stage DESC LIMIT 1
"""


async def annotations_of(engine: Engine, pin: int) -> Annotations:
    """The newest annotations of a pin. Raises StoreUnavailable without ClickHouse, Problem while they are written."""
    rows = await engine.events.query(_NEWEST, {"pin": pin})
    if not rows:
        raise unavailable(f"Pin {pin} has just arrived and is still being annotated.")
    row = {name: column[0] for name, column in rows.items()}
    return Annotations(
        pin=pin,
        version=int(row["version"]),
        neighbours=int(row["stage"]) == Stage.SEEN,
        annotations=[
            PinAnnotation(str(phrase), float(confidence))
            for phrase, confidence in zip(row["phrases"], row["confidences"], strict=True)
        ],
        interests=[
            PinInterest(str(name), float(score))
            for name, score in zip(row["interests"], row["interest_scores"], strict=True)
        ],
    )


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request)
        return answer(await annotations_of(engine, living(engine, identity(request, "pin"))))

    return [web.get("/v1/pins/{pin}/annotations", get)]

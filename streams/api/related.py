"""GET /v1/pins/{pin}/related: pins that people put beside this one, act on with it, or that look or read like it."""

from __future__ import annotations

import msgspec
from aiohttp import web

from streams.api.answers import answer, choices, identity, integer, known
from streams.api.catalogue import living
from streams.engine import Engine
from streams.related import RelatedPin, related
from streams.related_sources import SOURCES

#: Pins in the answer.
N, MOST = 25, 200


class Related(msgspec.Struct):
    """Related pins, best first. ``degraded`` names sources that could not be asked.

    ``slate`` names the list: events that come of it carry it, with ``surface`` ``related``.
    """

    pin: int
    slate: int
    items: list[RelatedPin]
    degraded: list[str]


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request, "n", "sources")
        n = integer(request, "n", N, 1, MOST)
        sources = choices(request, "sources", SOURCES)
        pin = living(engine, identity(request, "pin"))
        found = await related(engine, pin, n, sources)
        return answer(Related(pin, found.slate, found.pins, found.degraded))

    return [web.get("/v1/pins/{pin}/related", get)]

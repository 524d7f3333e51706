"""GET /v1/pins/{pin}/related: pins that look like this one, and pins that people put beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import numpy as np
from aiohttp import web

from operators.fusion import fuse
from streams.api.answers import answer, choices, identity, integer, known
from streams.api.catalogue import living
from streams.engine import Engine
from streams.stores.protocols import StoreUnavailable

#: Pins in the answer.
N, MOST = 25, 200
#: Pins that each source proposes for one in the answer, so that both have a say and deleted ones can go.
DEPTH = 4
SOURCE_SECONDS = 2.0


class RelatedPin(msgspec.Struct):
    """A related pin; ``score`` joins the sources by their ranks, ``sources`` has each one's own score."""

    pin: int
    score: float
    sources: dict[str, float]


class Related(msgspec.Struct):
    """Related pins, best first. ``degraded`` names sources that could not be asked."""

    pin: int
    items: list[RelatedPin]
    degraded: list[str]


#: Pins with scores, best first.
Ranking = dict[int, float]


async def _visual(engine: Engine, pin: int, k: int) -> Ranking:
    """Neighbours of the pin's vector in Milvus, by cosine; none before the pin is understood."""
    vectors = await engine.vectors.fetch("pins", np.array([pin], np.int64))
    if pin not in vectors:
        return {}
    near = await engine.vectors.search("pins", vectors[pin][None, :].astype(np.float32), k + 1)
    found = zip(near.ids[0].tolist(), near.scores[0].tolist(), strict=True)
    return {other: score for other, score in found if other not in (0, pin)}


async def _boards(engine: Engine, pin: int, k: int) -> Ranking:
    """Pins on the same boards, from memory."""
    found = engine.state.board_graph.related(np.array([pin], np.int64), np.ones(1), k)
    return dict(zip(found.pins.tolist(), found.scores.tolist(), strict=True))


SOURCES: dict[str, Callable[[Engine, int, int], Awaitable[Ranking]]] = {"visual": _visual, "boards": _boards}


async def related(engine: Engine, pin: int, sources: list[str], n: int) -> Related:
    """Up to ``n`` living pins from the ``sources`` (names of ``SOURCES``) that answer in time.

    Raises StoreUnavailable when none of them does.
    """

    async def ask(source: str) -> Ranking | StoreUnavailable:
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                return await SOURCES[source](engine, pin, n * DEPTH)
        except StoreUnavailable as gone:
            return gone
        except TimeoutError:
            return StoreUnavailable(source, f"no answer within {SOURCE_SECONDS:g} s")

    answers = dict(zip(sources, await asyncio.gather(*map(ask, sources)), strict=True))
    failures = {source: found for source, found in answers.items() if isinstance(found, StoreUnavailable)}
    if len(failures) == len(answers):
        raise next(iter(failures.values()))
    rankings = {source: found for source, found in answers.items() if not isinstance(found, StoreUnavailable)}

    catalogue = engine.state.catalogue
    proposed = [np.fromiter(ranking, np.int64, len(ranking)) for ranking in rankings.values()]
    fused = fuse([pins[catalogue.known(pins) & ~catalogue.is_deleted(pins)] for pins in proposed], n)
    items = [
        RelatedPin(other, score, {source: ranking[other] for source, ranking in rankings.items() if other in ranking})
        for other, score in zip(fused.ids.tolist(), fused.scores.tolist(), strict=True)
    ]
    return Related(pin, items, sorted(failures))


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request, "n", "sources")
        n = integer(request, "n", N, 1, MOST)
        sources = choices(request, "sources", SOURCES)
        pin = living(engine, identity(request, "pin"))
        return answer(await related(engine, pin, sources, n))

    return [web.get("/v1/pins/{pin}/related", get)]

"""GET /v1/pinners/{pinner}/interests: what a pinner is interested in, by what they did and by what they chose."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import msgspec
import numpy as np
from aiohttp import web

from operators.interests.medoids import DAY_MS, LAMBDA
from streams.api.answers import answer, identity, known
from streams.api.problems import Problem
from streams.engine import Engine, as_it_serves
from streams.interest_cache import latest, load
from streams.stores.protocols import StoreUnavailable

#: Topics that are told.
MOST = 32
VECTORS_SECONDS = 1.0


class Medoid(msgspec.Struct):
    """A group of actions: the pin that stands for it, what it weighs, how many and when (ms)."""

    pin: int
    importance: float
    actions: int
    since: int
    latest: int


class Topic(msgspec.Struct):
    """A topic of the taxonomy; its ``weight`` is the share of all, ``since`` (ms) the earliest action that counts."""

    topic: str
    weight: float
    since: int


class Chosen(msgspec.Struct):
    """What the pinner chose, and when (ms)."""

    topics: list[str]
    since: int


class PinnerInterests(msgspec.Struct):
    """Most important first. ``degraded`` names what could not be asked: ``milvus`` or ``clickhouse``."""

    pinner: int
    medoids: list[Medoid]
    topics: list[Topic]
    chosen: Chosen | None
    degraded: list[str]


_INTERESTS = """
SELECT pin, argMax(interests, (version, stage)) AS nodes, argMax(interest_scores, (version, stage)) AS scores
FROM pin_annotations WHERE pin IN ({pins}) GROUP BY pin
"""


async def interests_of(engine: Engine, pinner: int) -> PinnerInterests:
    """Interests of this moment. Raises Problem 404 for a pinner of whom nothing is known."""
    engine = as_it_serves(engine)
    choice = engine.state.chosen.of(pinner)
    if not choice.topics and not engine.state.recent.last_active(pinner):
        raise Problem(404, "not-found", f"No pinner {pinner}: nothing they did or chose is known.")
    degraded: list[str] = []
    try:
        async with asyncio.timeout(VECTORS_SECONDS):
            await load(engine, [pinner])
    except (StoreUnavailable, TimeoutError):
        degraded.append("milvus")
    found = engine.vector_cache.interests.of(engine, pinner, engine.state.now)
    try:
        topics = await _topics(engine, pinner)
    except StoreUnavailable:
        topics = []
        degraded.append("clickhouse")
    columns = (column.tolist() for column in (found.pins, *found.interests[1:]))
    return PinnerInterests(
        pinner=pinner,
        medoids=[Medoid(*each) for each in zip(*columns, strict=True)],
        topics=topics,
        chosen=Chosen(list(choice.topics), choice.since) if choice.topics else None,
        degraded=degraded,
    )


async def _topics(engine: Engine, pinner: int) -> list[Topic]:
    """Topics of the pins acted on lately, each action counting e^(−λ days) times how sure the topic is."""
    pins, times = latest(engine, pinner)
    if not len(pins):
        return []
    rows = await engine.events.query(_INTERESTS.replace("{pins}", ", ".join(map(str, pins.tolist()))))
    when = dict(zip(pins.tolist(), times.tolist(), strict=True))
    weights, since = defaultdict[str, float](float), dict[str, int]()
    for pin, nodes, scores in zip(rows["pin"].tolist(), rows["nodes"], rows["scores"], strict=True) if rows else ():
        faded = float(np.exp(-LAMBDA * max(engine.state.now - when[pin], 0) / DAY_MS))
        for node, score in zip(nodes, scores, strict=True):
            weights[str(node)] += faded * float(score)
            since[str(node)] = min(since.get(str(node), when[pin]), when[pin])
    total = sum(weights.values())
    best = sorted(weights.items(), key=lambda each: (-each[1], each[0]))[:MOST]
    return [Topic(node, round(weight / total, 6), since[node]) for node, weight in best]


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request)
        return answer(await interests_of(engine, identity(request, "pinner")))

    return [web.get("/v1/pinners/{pinner}/interests", get)]

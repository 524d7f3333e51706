"""GET /health and /ready: is the process alive, and what can it do right now?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Literal

import msgspec
from aiohttp import web

from streams.api.answers import answer, known
from streams.api.kafka import reach
from streams.api.problems import Problem
from streams.engine import Engine

#: Seconds that a part has to answer, and for which its answer is believed.
PATIENCE = 2.0
BELIEVED = 1.0

Rung = Literal["whole", "unranked", "no-neighbours", "memory"]

#: The ladder, best rung first: a rung holds when all of its parts are there.
RUNGS: tuple[tuple[Rung, frozenset[str]], ...] = (
    ("whole", frozenset({"clickhouse", "kafka", "milvus", "triton"})),
    ("unranked", frozenset({"clickhouse", "kafka", "milvus"})),  # popularity order; no new pins understood
    ("no-neighbours", frozenset({"clickhouse", "kafka"})),  # feeds and related pins without visual neighbours
    ("memory", frozenset()),  # feeds from hot state; events wait in Kafka, nothing is counted
)
#: From these parts down, the worker still answers but cannot do its work.
NEEDED = frozenset({"clickhouse", "kafka"})


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct):
    """The rung of the ladder that the worker stands on, and each part: ``up``, or what it said instead."""

    rung: Rung
    parts: dict[str, str]


def rung(up: frozenset[str]) -> Rung:
    """The best rung of the ladder that these parts carry."""
    return next(name for name, parts in RUNGS if parts <= up)


async def _state(probe: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            await probe()
    except TimeoutError:
        return f"no answer within {PATIENCE:g} s"
    except Exception as error:
        return str(error) or type(error).__name__
    return "up"


def routes(engine: Engine) -> list[web.RouteDef]:
    probes: dict[str, Callable[[], Awaitable[object]]] = {
        "clickhouse": lambda: engine.events.query("SELECT 1 AS one"),
        "kafka": lambda: reach(engine.settings.kafka_bootstrap),
        "milvus": lambda: engine.vectors.count("pins"),
        "triton": lambda: engine.models.versions(),
    }
    asking = asyncio.Lock()
    states: dict[str, str] = {}
    asked = -BELIEVED

    async def parts() -> dict[str, str]:
        """States of all parts; however many callers ask, the parts are asked once a second."""
        nonlocal asked
        async with asking:
            if monotonic() - asked >= BELIEVED:
                found = await asyncio.gather(*(_state(probe) for probe in probes.values()))
                states.update(zip(probes, found, strict=True))
                asked = monotonic()
        return states

    async def health(request: web.Request) -> web.Response:
        known(request)
        return answer(Alive())

    async def ready(request: web.Request) -> web.Response:
        known(request)
        found = await parts()
        up = frozenset(part for part, state in found.items() if state == "up")
        body = Readiness(rung(up), found)
        if NEEDED - up:
            gone = ", ".join(sorted(NEEDED - up))
            raise Problem(
                503, "not-ready", f"{gone}: no answer. `pinstream doctor` says more.", more=msgspec.structs.asdict(body)
            )
        return answer(body)

    return [web.get("/health", health), web.get("/ready", ready)]

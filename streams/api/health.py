"""GET /health and /ready: is the process alive, and what can it do right now?"""

from __future__ import annotations

from typing import Literal

import msgspec
from aiohttp import web

from streams.api.answers import answer, known
from streams.api.problems import Problem
from streams.engine import Engine
from streams.ladder import NEEDED, UP, Ladder, Rung, rung
from streams.slate_spec import refused, spec_of


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct):
    """The rung of the ladder that the worker stands on, and each part: ``up``, or what it said instead.

    ``waiting`` is what waits in memory for ClickHouse: rows of ``engagement``, and ``slates``. ``corrupt`` has, for
    each partition (``topic:partition``) that stands still, why its next batch cannot be read. ``spec`` is the version
    that slates are made with, and ``spec_refused`` what is wrong with the one that is there now, if it is not that.
    """

    rung: Rung
    parts: dict[str, str]
    waiting: dict[str, int]
    corrupt: dict[str, str]
    spec: str
    spec_refused: str


def routes(engine: Engine) -> list[web.RouteDef]:
    ladder = Ladder(engine)

    async def health(request: web.Request) -> web.Response:
        known(request)
        return answer(Alive())

    async def ready(request: web.Request) -> web.Response:
        known(request)
        found = await ladder.look()
        up = frozenset(part for part, state in found.items() if state == UP)
        waiting = {"engagement": engine.writer.waiting, "slates": engine.slate_writer.waiting}
        spec, wrong = spec_of(engine.settings, engine.metrics), refused(engine.settings)
        body = Readiness(rung(up), found, waiting, engine.corrupt, spec.version, wrong)
        if NEEDED - up:
            gone = ", ".join(sorted(NEEDED - up))
            raise Problem(
                503, "not-ready", f"{gone}: no answer. `pinstream doctor` says more.", more=msgspec.structs.asdict(body)
            )
        return answer(body)

    return [web.get("/health", health), web.get("/ready", ready)]

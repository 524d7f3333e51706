"""GET /v1/feed/{pinner}: a slate built now, from what is known this moment."""

from __future__ import annotations

import time

from aiohttp import web
from msgspec.structs import replace

from operators.identity import combined_id
from operators.slate.slate import Slate
from streams.api.answers import answer, identity, integer, known
from streams.engine import Engine
from streams.slate_choices import choices_of
from streams.slate_memory import remember
from streams.slates import SlateRequest, build_slates

#: Pins in the slate.
N, MOST = 25, 100


class Feed(Slate, frozen=True, kw_only=True):
    """A slate as on ``feed.candidates``, triggered by the request itself; it is neither emitted nor stored.

    ``trigger_age_ms`` is how long before ``now`` (stream time) the pinner last did something; null for one who
    never did.
    """

    trigger_age_ms: int | None


async def build(engine: Engine, pinner: int, n: int) -> Feed:
    """A slate of at most ``n`` pins. Never raises for a part that is gone: ``degraded`` names it."""
    clock = time.time_ns() // 1_000_000
    now = engine.state.now or clock
    last = engine.state.recent.last_active(pinner)
    choices = choices_of(engine.settings.home)
    [slate] = await build_slates(
        engine,
        [SlateRequest(pinner, combined_id("request", pinner, clock), clock, now)],
        replace(choices, ordering=replace(choices.ordering, size=n)),
    )
    engine.metrics.slates(slate.degraded)
    engine.metrics.places([slate])
    remember(engine.state, [slate])
    fields = {name: getattr(slate, name) for name in Slate.__struct_fields__}
    fields["features"] = b""  # nothing learns from an answer that is not stored
    return Feed(**fields, trigger_age_ms=now - last if last > 0 else None)


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request, "n")
        n = integer(request, "n", N, 1, MOST)
        return answer(await build(engine, identity(request, "pinner"), n))

    return [web.get("/v1/feed/{pinner}", get)]

"""GET /metrics: everything counted, for Prometheus."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from streams.engine import Engine


def routes(engine: Engine) -> list[web.RouteDef]:
    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=engine.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/metrics", metrics)]

"""Counting: every answer is in the metrics, also those to bytes that are no request and never reach a route."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from streams.api.problems import Handler
from streams.metrics import Metrics

#: Where a request keeps the route that takes it.
ROUTE = web.RequestKey("route", str)


@web.middleware
async def name_route(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep the route as the document has it (``/v1/pins/{pin}``): a path as it was asked for may be anything."""
    resource = request.match_info.route.resource
    request[ROUTE] = resource.canonical if resource is not None else ""
    return await handler(request)


def counting(metrics: Metrics) -> type[AbstractAccessLogger]:
    """An access logger that logs nothing and counts: aiohttp tells it of every answer, whoever gave it."""

    class Counting(AbstractAccessLogger):
        def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
            metrics.request(request.get(ROUTE, ""), response.status)

    return Counting


#: aiohttp asks its logger only where it was given something to write to.
NOTHING = logging.getLogger(__name__)

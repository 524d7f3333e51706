"""The HTTP server: puts the capabilities together, and runs them inside the worker."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streams.api import (
    events,
    feed,
    health,
    interests,
    lens,
    looks,
    metrics,
    openapi,
    pin_annotations,
    pins,
    related,
    search,
    security,
    slates,
    stats,
)
from streams.api.connections import IDLE_SECONDS, Listener
from streams.api.counting import NOTHING, counting, name_route
from streams.api.problems import TIMEOUT, Handler, problems
from streams.engine import Engine

log = logging.getLogger(__name__)

#: Largest request body, in bytes: a pin may carry its image inline.
LARGEST_BODY = 16 << 20
#: Seconds that requests under way get to finish when the worker stops.
LAST_WORDS = 5.0


class _NotOurFault(logging.Filter):
    """Bytes that are no HTTP get their 400 without a traceback: whoever sends them must not fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_http_log = logging.getLogger(f"{__name__}.http")
_http_log.addFilter(_NotOurFault())

CAPABILITIES = (
    *(feed, slates, pins, pin_annotations, related, interests, lens, looks, search, stats),
    *(events, health, metrics, openapi),
)  # fmt: skip


@web.middleware
async def _in_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    async with asyncio.timeout(TIMEOUT):
        return await handler(request)


def make_app(engine: Engine) -> web.Application:
    """The application with every route of ``docs/api.md``.

    Raises:
        ValueError: ``settings.host`` is not loopback and there is no token.
    """
    security.refuse_open_host(engine.settings)
    token = engine.settings.api_token
    guard = security.bearer(token) if token else security.own_name
    app = web.Application(middlewares=[name_route, problems, guard, _in_time], client_max_size=LARGEST_BODY)
    app.on_response_prepare.append(security.add_headers)
    for capability in CAPABILITIES:
        app.add_routes(capability.routes(engine))
    return app


class ApiServer:
    """The API of one worker: ``start`` listens, ``stop`` lets requests under way finish first."""

    def __init__(self, engine: Engine) -> None:
        settings = engine.settings
        self._runner = web.AppRunner(
            make_app(engine),
            access_log=NOTHING,
            access_log_class=counting(engine.metrics),
            logger=_http_log,
            handle_signals=False,
            keepalive_timeout=IDLE_SECONDS,
        )
        self._host, self._port = settings.host, settings.port("api")

    @property
    def address(self) -> str:
        """Where it listens, for people."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Raises OSError naming the setting when the port is taken."""
        await self._runner.setup()
        site = Listener(self._runner, self._host, self._port, shutdown_timeout=LAST_WORDS)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise OSError(
                error.errno, f"{self.address} is taken ({error.strerror}). Set PINSTREAM_PORT_API to a free port."
            ) from None
        log.info("The API listens on %s", self.address)

    async def stop(self) -> None:
        await self._runner.cleanup()

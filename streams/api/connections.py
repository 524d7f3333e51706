"""Connections: how many there may be, and how long one may do nothing. What is left open must not keep others out.

aiohttp closes a connection that sends no whole request head in time, however slowly it trickles (``IDLE_SECONDS``), and
reads no further ahead than a few pipelined requests. Here is what it leaves to others: the number of connections, and
callers who do not read their answers.
"""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web

#: Seconds between requests, and for the head of one to arrive.
IDLE_SECONDS = 15.0
#: Above so many, the longest open are closed, busy ones after their answer; at twice as many, new ones are turned away.
MOST_CONNECTIONS = 500
#: Seconds that an answer may lie unread.
UNREAD_SECONDS = 20.0
BACKLOG = 1024


class Listener(web.BaseSite):
    """A listening port of a runner with a bounded number of connections."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, *, shutdown_timeout: float) -> None:
        super().__init__(runner, shutdown_timeout=shutdown_timeout, backlog=BACKLOG)
        self._host, self._port = host, port

    @property
    def name(self) -> str:
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Raises OSError when the port is taken."""
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, self._host, self._port, backlog=BACKLOG)
        for each in self._server.sockets:
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; what is accepted inherits it
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNREAD_SECONDS * 1000))

    def _accept(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None, "the runner was set up"
        open_ = server.connections  # the longest open first
        for connection in open_[: max(0, len(open_) + 1 - MOST_CONNECTIONS)]:
            # aiohttp has no word for it in public, and its close() leaves an idle connection open and deaf.
            if connection._request_in_progress:  # pyright: ignore[reportPrivateUsage]
                connection.close()
            else:
                connection.force_close()
        return _Refusal() if len(open_) >= 2 * MOST_CONNECTIONS else server()


class _Refusal(asyncio.Protocol):
    """Hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()

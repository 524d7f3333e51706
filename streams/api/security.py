"""Security: who may listen to whom. Loopback is open to this machine; anywhere else needs a token."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from aiohttp import web

from streams.api.problems import Handler, Problem
from streams.settings import Settings

#: What probes and Prometheus read; it holds counts and states, nothing about a person.
OPEN = frozenset({"/health", "/ready", "/metrics"})

HEADERS = {
    "Server": "pinstream",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Does this host name or address mean this machine alone?"""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def refuse_open_host(settings: Settings) -> None:
    """Raises ValueError when the API would listen beyond this machine without a token."""
    if not is_loopback(settings.host) and not settings.api_token:
        raise ValueError(
            f"The API will not listen on {settings.host} without a token: anybody who reaches it could post events. "
            "Set PINSTREAM_API_TOKEN to a long secret (`openssl rand -hex 32`), or PINSTREAM_HOST=127.0.0.1."
        )


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: security headers on every answer."""
    response.headers.update(HEADERS)


def bearer(token: str):
    """Middleware: every path but the open ones needs ``Authorization: Bearer <token>``."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path not in OPEN and not hmac.compare_digest(given, expected):
            raise Problem(
                401,
                "unauthorized",
                "This needs the header 'Authorization: Bearer <PINSTREAM_API_TOKEN>'.",
                headers={"WWW-Authenticate": 'Bearer realm="pinstream"'},
            )
        return await handler(request)

    return check


@web.middleware
async def own_name(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Without a token, answer only to loopback names: a web page that rebinds its own name to 127.0.0.1 is refused."""
    host = request.host
    name = host[: host.rindex(":")] if ":" in host and not host.endswith("]") else host
    if not is_loopback(name):
        raise Problem(
            421, "misdirected", f"This is not {name!r}. Ask for localhost, or set PINSTREAM_API_TOKEN to serve by name."
        )
    return await handler(request)

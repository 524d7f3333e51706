"""Problems: every error leaves as an RFC 9457 document, whoever raised it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Any

import msgspec
from aiohttp import web

from streams.stores.protocols import StoreUnavailable

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: No answer takes longer than this, in seconds.
TIMEOUT = 20.0


class ProblemDocument(msgspec.Struct, kw_only=True):
    """What went wrong (RFC 9457). ``type`` names the problem for programs; some problems have further members."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


class Problem(Exception):
    """An error to tell the caller about. ``kind`` names it for programs, ``detail`` explains it to people."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.more = dict(headers or {}), dict(more or {})


def unavailable(detail: str, retry_after: float = 1.0, part: str = "") -> Problem:
    """An outside part is gone: 503, and when to come back (whole seconds, as HTTP wants)."""
    more = {"part": part} if part else None
    return Problem(503, "unavailable", detail, headers={"Retry-After": str(max(1, ceil(retry_after)))}, more=more)


def _response(request: web.Request, problem: Problem) -> web.Response:
    document = ProblemDocument(
        type=f"urn:pinstream:problem:{problem.kind}",
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        instance=request.path_qs,
    )
    body = {**problem.more, **msgspec.structs.asdict(document)}
    return web.Response(
        status=problem.status,
        body=msgspec.json.encode(body),
        content_type="application/problem+json",
        headers=problem.headers,
    )


def _of_http_error(error: web.HTTPException) -> Problem:
    """aiohttp's own errors (unknown path, wrong method, body too large …) in our words."""
    kinds = {404: "not-found", 405: "method-not-allowed", 413: "too-large", 415: "media-type"}
    details = {404: "Nothing is here. GET /v1/openapi.json lists what there is."}
    headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
    detail = details.get(error.status) or error.text or error.reason
    return Problem(error.status, kinds.get(error.status, "invalid-request"), detail, headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into a problem document; what nobody foresaw is logged and becomes a bare 500."""
    try:
        return await handler(request)
    except Problem as problem:
        return _response(request, problem)
    except web.HTTPException as error:
        return _response(request, _of_http_error(error))
    except StoreUnavailable as error:
        return _response(request, unavailable(str(error), error.retry_after, error.part))
    except TimeoutError:
        return _response(request, unavailable(f"No answer within {TIMEOUT:g} s."))
    except (ConnectionError, web.RequestPayloadError):  # the caller left, or sent less than it promised
        return _response(request, Problem(400, "invalid-request", "The request body broke off."))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return _response(request, Problem(500, "internal", "This is a fault of the engine; its log says more."))

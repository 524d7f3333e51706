"""Answers: JSON out, and strictly checked paths and queries in."""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from aiohttp import web

from operators.identity import stable_id
from streams.api.problems import Problem

#: Longest id in a path, in characters.
LONGEST_ID = 512


def answer(body: msgspec.Struct, status: int = 200) -> web.Response:
    """A JSON answer: one of the structs that ``streams.api.openapi`` describes; NaN becomes null."""
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


def identity(request: web.Request, name: str) -> int:
    """The id in the path, an integer or any other text, as a 63-bit integer. Raises Problem 400."""
    text = request.match_info[name]
    if len(text) > LONGEST_ID:
        raise Problem(400, "invalid-parameter", f"{name} is longer than {LONGEST_ID} characters.")
    try:
        return stable_id(text)
    except ValueError as error:  # also text that is not valid Unicode
        raise Problem(400, "invalid-parameter", f"{name}: {error}") from None


def known(request: web.Request, *names: str) -> None:
    """Refuse query parameters that mean nothing here, or come twice. Raises Problem 400."""
    for name in request.query:
        if name not in names:
            allowed = ", ".join(names) or "none"
            raise Problem(400, "invalid-parameter", f"Unknown query parameter {name!r}; known here: {allowed}.")
        if len(request.query.getall(name)) > 1:
            raise Problem(400, "invalid-parameter", f"{name} is given more than once.")


def integer(request: web.Request, name: str, default: int, lowest: int, highest: int) -> int:
    """An integer of the query within bounds. Raises Problem 400."""
    text = request.query.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10 and lowest <= int(text) <= highest:
        return int(text)
    raise Problem(400, "invalid-parameter", f"{name} must be an integer from {lowest} to {highest}, not {text!r}.")


def choices(request: web.Request, name: str, allowed: Collection[str]) -> list[str]:
    """A comma-separated subset of ``allowed``; all of it when not given. Raises Problem 400."""
    text = request.query.get(name)
    if text is None:
        return list(allowed)
    chosen = list(dict.fromkeys(text.split(",")))
    wrong = [one for one in chosen if one not in allowed]
    if wrong:
        raise Problem(400, "invalid-parameter", f"{name}: {wrong[0]!r} is none of {', '.join(allowed)}.")
    return chosen

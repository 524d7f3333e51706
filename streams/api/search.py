"""GET /v1/search: living pins by words, in the order of a pinner's taste when one is named."""

from __future__ import annotations

import msgspec
from aiohttp import web

from operators.identity import stable_id
from streams.api.answers import LONGEST_ID, answer, integer, known
from streams.api.problems import Problem
from streams.engine import Engine, as_it_serves
from streams.text_search import taste_of, text_search

#: Pins in the answer, and characters of a query.
N, MOST, LONGEST = 25, 200, 500


class Hit(msgspec.Struct):
    """A pin that was found; scores of one answer compare, those of two do not."""

    pin: int
    score: float


class Search(msgspec.Struct):
    """Pins, best first. ``personal`` is true when the pinner's taste had its say."""

    q: str
    personal: bool
    items: list[Hit]


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request, "q", "n", "pinner")
        q, n = _query(request), integer(request, "n", N, 1, MOST)
        pinner = _pinner(request)
        mine = as_it_serves(engine)
        taste = await taste_of(mine, pinner) if pinner else None
        found = await text_search(mine, {q: 1.0}, n, taste)
        pairs = zip(found.pins.tolist(), found.scores.tolist(), strict=True)
        return answer(Search(q, taste is not None, [Hit(pin, score) for pin, score in pairs]))

    return [web.get("/v1/search", get)]


def _query(request: web.Request) -> str:
    q = request.query.get("q", "")
    if not 1 <= len(q) <= LONGEST:
        raise Problem(400, "invalid-parameter", f"q, the words to look for, has 1 to {LONGEST} characters.")
    return q


def _pinner(request: web.Request) -> int:
    """The pinner's id, 0 when none is named. Raises Problem 400."""
    text = request.query.get("pinner")
    if text is None:
        return 0
    if len(text) > LONGEST_ID:
        raise Problem(400, "invalid-parameter", f"pinner is longer than {LONGEST_ID} characters.")
    try:
        return stable_id(text)
    except ValueError as error:
        raise Problem(400, "invalid-parameter", f"pinner: {error}") from None

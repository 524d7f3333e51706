"""GET /v1/stats/{pins|pinners|domains}/{id}: what was counted, and how good it is."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from aiohttp import web

from operators.domain import domain_of
from streams.api.answers import answer, identity, integer, known
from streams.api.counts import HOUR_MS, Counts, History, group_totals, history
from streams.api.problems import Problem
from streams.engine import Engine
from streams.state import domain_id

#: Hours shown one by one: a week unless asked otherwise, ten years at most.
HOURS, MOST_HOURS = 7 * 24, 87_600
#: Pins of a group that are named: a picture may be pinned many thousand times.
PINS_NAMED = 100


class PinQuality(msgspec.Struct):
    """Quality of a pin (``docs/quality.md``) among all, its owner's followers and everybody else.

    ``exposure`` is the examined impressions that still count, after position and decay.
    """

    all: float
    followers: float
    wider: float
    exposure: float


class PinnerQuality(msgspec.Struct):
    """Quality of a pinner (``docs/quality.md``): the whole, and the parts that it is made of."""

    quality: float
    posts: float
    received: float
    given: float


class DomainQuality(msgspec.Struct):
    """Quality of a domain (``docs/quality.md``): how well its images perform."""

    quality: float


class PictureGroup(msgspec.Struct):
    """Pins that show the same picture (``docs/near-duplicates.md``), and what was done with all of them together.

    ``pins`` are the earliest hundred of ``size``, the canonical one first.
    """

    pins: list[int]
    size: int
    totals: Counts


class PinStats(History):
    """A pin: what was done with it, and with it and its near-duplicates (``group``).

    ``unsafe`` is how likely its picture is not safe for work, 0 … 1; null where that is unknown.
    """

    pin: int
    quality: PinQuality
    unsafe: float | None
    group: PictureGroup


class PinnerStats(msgspec.Struct):
    """A pinner: what they did (``given``), and what was done with their pins (``received``)."""

    pinner: int
    quality: PinnerQuality
    given: History
    received: History


class DomainStats(History):
    """A domain: what was done with its pins."""

    domain: str
    quality: DomainQuality


def pin_quality(engine: Engine, pin: int) -> PinQuality:
    """Quality of one pin as of stream time."""
    found = engine.state.quality.pins(np.array([pin], np.int64), engine.state.now)
    return PinQuality(*(float(part[0]) for part in (found.all, found.followers, found.wider, found.exposure)))


def unsafe_of(engine: Engine, pin: int) -> float | None:
    """Score of a pin's picture, None where it is unknown."""
    score = float(engine.state.safety.scores(np.array([pin], np.int64))[0])
    return None if math.isnan(score) else score


def routes(engine: Engine) -> list[web.RouteDef]:
    store, state = engine.events, engine.state

    def since(request: web.Request) -> int:
        """Start of the first hour to show, counted back from stream time."""
        known(request, "hours")
        hours = integer(request, "hours", HOURS, 1, MOST_HOURS)
        return (state.now // HOUR_MS - hours + 1) * HOUR_MS

    async def pins(request: web.Request) -> web.Response:
        pin = identity(request, "pin")
        found = await history(store, "engagement_by_pin", "pin", pin, since(request))
        same = state.pictures.group(pin)
        group = PictureGroup(same[:PINS_NAMED], len(same), await group_totals(store, same))
        return answer(
            PinStats(
                found.totals, found.rates, found.hours, pin, pin_quality(engine, pin), unsafe_of(engine, pin), group
            )
        )

    async def pinners(request: web.Request) -> web.Response:
        pinner, first = identity(request, "pinner"), since(request)
        given = await history(store, "engagement_by_pinner", "pinner", pinner, first)
        received = await history(store, "engagement_by_owner", "owner", pinner, first)
        found = state.quality.owners(np.array([pinner], np.int64), state.now)
        quality = PinnerQuality(*(float(part[0]) for part in (found.quality, found.posts, found.received, found.given)))
        return answer(PinnerStats(pinner, quality, given, received))

    async def domains(request: web.Request) -> web.Response:
        name = domain_of(request.match_info["domain"])
        if not name:
            raise Problem(400, "invalid-parameter", "This is not the name of a web domain, such as example.com.")
        domain = domain_id(name)
        found = await history(store, "engagement_by_domain", "domain", domain, since(request))
        quality = float(state.quality.domains(np.array([domain], np.int64), state.now)[0])
        return answer(DomainStats(found.totals, found.rates, found.hours, name, DomainQuality(quality)))

    return [
        web.get("/v1/stats/pins/{pin}", pins),
        web.get("/v1/stats/pinners/{pinner}", pinners),
        web.get("/v1/stats/domains/{domain}", domains),
    ]

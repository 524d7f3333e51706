"""GET /v1/openapi.json: the API described from the very types that it answers with (OpenAPI 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from operators.events import EVENTS
from streams.api import (
    events,
    feed,
    health,
    interests,
    lens,
    looks,
    pin_annotations,
    pins,
    related,
    search,
    slates,
    stats,
)  # fmt: skip
from streams.api.answers import known
from streams.api.problems import ProblemDocument
from streams.engine import Engine
from streams.settings import PROJECT

REF = "#/components/schemas/{name}"
Schema = dict[str, Any]


def _query(name: str, about: str, **schema: Any) -> Schema:
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


@dataclass(frozen=True)
class Operation:
    """One route: what it is for, what it takes and the struct that it answers with."""

    path: str
    about: str
    answers: type[msgspec.Struct] | str
    query: tuple[Schema, ...] = ()
    problems: tuple[int, ...] = ()
    method: str = "get"
    status: int = 200
    takes: type[msgspec.Struct] | None = None


_HOURS = _query(
    "hours",
    "Latest hours, one by one.",
    type="integer",
    minimum=1,
    maximum=stats.MOST_HOURS,
    default=stats.HOURS,
)
_N_FEED = _query("n", "Pins in the slate.", type="integer", minimum=1, maximum=feed.MOST, default=feed.N)
_N_RELATED = _query("n", "Related pins.", type="integer", minimum=1, maximum=related.MOST, default=related.N)
_N_LENS = _query("n", "Pins in the answer.", type="integer", minimum=1, maximum=lens.MOST, default=lens.N)
_N_EACH = _query("n", "Pins for each object.", type="integer", minimum=1, maximum=looks.MOST_EACH, default=looks.N_EACH)
_BOX = _query("box", "left,top,right,bottom: fractions of the picture's width and height.", type="string")
_OBJECT = _query("object", "One object of the pin, counted from 0.", type="integer", minimum=0)
_SOURCES = _query("sources", "Comma-separated subset of " + ", ".join(related.SOURCES) + ".", type="string")
_Q = _query("q", "Words to look for.", type="string", minLength=1, maxLength=search.LONGEST) | {"required": True}
_N_SEARCH = _query("n", "Pins.", type="integer", minimum=1, maximum=search.MOST, default=search.N)
_ABOUT = _query("pin", "Say what became of this pin.", type="string", minLength=1)
_PINNER = _query("pinner", "In the order of this pinner's taste.", type="string", minLength=1)

OPERATIONS = (
    Operation("/v1/feed/{pinner}", "A slate built now, with why each pin is in it.", feed.Feed, (_N_FEED,), (503,)),
    Operation("/v1/slates/{slate}", "A slate that went out.", slates.StoredSlate, (), (404, 503)),
    Operation(
        "/v1/slates/{slate}/explain", "Why it is as it is, made again from its record.", slates.ExplainedSlate,
        (_ABOUT,), (404, 410, 503),
    ),
    Operation("/v1/pins/{pin}", "A pin: facts, objects and counts.", pins.Pin, (), (404, 410, 503)),
    Operation("/v1/pins/{pin}/related", "Pins like it.", related.Related, (_N_RELATED, _SOURCES), (404, 410, 503)),
    Operation("/v1/pins/{pin}/objects", "Objects seen in it.", looks.PinObjects, (), (404, 410, 503)),
    Operation(
        "/v1/pins/{pin}/similar", "Scenes with such objects: all, one of them, or what is in a box.", looks.Similar,
        (_N_LENS, _OBJECT, _BOX), (404, 410, 413, 422, 503),
    ),
    Operation(
        "/v1/pins/{pin}/similar-looks", "Dots on what is worn, and its like.", looks.SimilarLooks,
        (_N_EACH,), (404, 410, 503),
    ),
    Operation(
        "/v1/pins/{pin}/shop-the-look", "Products for a scene, by category.", looks.ShopTheLook,
        (_N_EACH,), (404, 410, 503),
    ),
    Operation(
        "/v1/lens", "A photo in, pins out. The parameters are for a photo sent as it is.", lens.Lens,
        (_N_LENS, _BOX, _PINNER), (408, 413, 415, 422, 503), "post", takes=lens.LensRequest,
    ),
    Operation(
        "/v1/pins/{pin}/annotations", "Phrases and interests that say what it is about.", pin_annotations.Annotations,
        (), (404, 410, 503),
    ),
    Operation(
        "/v1/pinners/{pinner}/interests", "What a pinner is interested in.", interests.PinnerInterests, (), (404, 503)
    ),
    Operation("/v1/search", "Pins by words.", search.Search, (_Q, _N_SEARCH, _PINNER)),
    Operation("/v1/stats/pins/{pin}", "Counts and quality of a pin.", stats.PinStats, (_HOURS,), (503,)),
    Operation("/v1/stats/pinners/{pinner}", "Counts and quality of a pinner.", stats.PinnerStats, (_HOURS,), (503,)),
    Operation("/v1/stats/domains/{domain}", "Counts and quality of a domain.", stats.DomainStats, (_HOURS,), (503,)),
    Operation(
        "/v1/events/{topic}", "Post events; 202 when Kafka holds them.", events.Receipt,
        (), (404, 408, 413, 415, 422, 503), "post", 202,
    ),
    Operation("/v1/openapi.json", "This document.", "application/json"),
    Operation("/health", "Is the process alive?", health.Alive),
    Operation("/ready", "Can the worker do its work, and what does it do without?", health.Readiness, (), (503,)),
    Operation("/metrics", "Everything counted, for Prometheus.", "text/plain"),
)  # fmt: skip

_ID = "A 63-bit integer, or any other text (mapped as docs/events.md says)."
_PARAMETERS = {
    "pinner": {"description": _ID, "schema": {"type": "string", "minLength": 1}},
    "pin": {"description": _ID, "schema": {"type": "string", "minLength": 1}},
    "slate": {"description": "The id of a slate, an integer.", "schema": {"type": "string", "minLength": 1}},
    "domain": {"description": "A web domain, such as example.com.", "schema": {"type": "string", "minLength": 1}},
    "topic": {"description": "Which kind of event.", "schema": {"enum": list(EVENTS)}},
}


def document() -> Schema:
    """The whole OpenAPI 3.1 document."""
    structs = [one.answers for one in OPERATIONS if not isinstance(one.answers, str)]
    structs += [one.takes for one in OPERATIONS if one.takes]
    _, schemas = msgspec.json.schema_components([*structs, *EVENTS.values(), ProblemDocument], ref_template=REF)
    paths: Schema = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PinStream",
            "version": "1",
            "summary": "Feeds, related pins and statistics of a live stream of pins, saves and clicks.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas,
        },
    }


def _described(operation: Operation) -> Schema:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    path = [{"name": name, "in": "path", "required": True, **_PARAMETERS[name]} for name in names]
    open_to_all = not operation.path.startswith("/v1")
    codes = (*((400,) if path or operation.query else ()), *(() if open_to_all else (401,)), *operation.problems)
    described: Schema = {
        "summary": operation.about,
        "parameters": [*path, *operation.query],
        "responses": {
            str(operation.status): {"description": "Done.", "content": _content(operation.answers)},
            **{str(code): _PROBLEM for code in sorted(codes)},
        },
    }
    if operation.method == "post":
        described["requestBody"] = {
            "required": True,
            "content": _photo(operation.takes) if operation.takes else _events(),
        }
    if open_to_all:
        described["security"] = []
    return described


_PROBLEM = {
    "description": "A problem document (RFC 9457).",
    "content": {"application/problem+json": {"schema": {"$ref": REF.format(name=ProblemDocument.__name__)}}},
}


def _content(answers: type[msgspec.Struct] | str) -> Schema:
    if isinstance(answers, str):
        return {answers: {"schema": {"type": "object" if answers == "application/json" else "string"}}}
    return {"application/json": {"schema": {"$ref": REF.format(name=answers.__name__)}}}


def _events() -> Schema:
    one = {"anyOf": [{"$ref": REF.format(name=event.__name__)} for event in EVENTS.values()]}
    array = {"type": "array", "items": one, "minItems": 1, "maxItems": events.MOST_EVENTS}
    return {
        events.JSON: {"schema": {"anyOf": [one, array]}},
        events.LINES: {"schema": {"type": "string", "description": "One event a line."}},
    }


def _photo(described: type[msgspec.Struct]) -> Schema:
    picture = {"schema": {"type": "string", "format": "binary"}}
    return {lens.JSON: {"schema": {"$ref": REF.format(name=described.__name__)}}, f"{lens.IMAGES}*": picture}


def routes(_engine: Engine) -> list[web.RouteDef]:
    body = msgspec.json.encode(document())

    async def openapi(request: web.Request) -> web.Response:
        known(request)
        return web.Response(body=body, content_type="application/json")

    return [web.get("/v1/openapi.json", openapi)]


def text() -> str:
    """What stands in ``docs/openapi.json``; ``python -m streams.api.openapi`` writes it."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2).decode() + "\n"


if __name__ == "__main__":
    (PROJECT / "docs" / "openapi.json").write_text(text())

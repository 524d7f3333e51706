"""GET /v1/slates/{slate}: a slate that went out, and why it is as it is."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from aiohttp import web

from operators.identity import stable_id
from operators.slate.choices import Choices
from operators.slate.explanation import (
    FilterTold,
    PinTold,
    PlaceTold,
    SourceTold,
    filters_told,
    pin_told,
    places_told,
    sources_told,
    told_in_words,
)
from operators.slate.slate import Probabilities, Stage
from streams.api.answers import LONGEST_ID, answer, identity, known
from streams.api.problems import Problem
from streams.engine import Engine
from streams.slate_replay import NoRecord, NoSlate, Replay, recorded, replay
from streams.slate_trace import traced


class StoredPlace(msgspec.Struct, frozen=True):
    """One place, as ClickHouse has it. ``propensity`` is null for slates from before it was logged."""

    pin: int
    score: float
    sources: list[str]
    probabilities: Probabilities | None
    propensity: float | None
    explored: bool


class StoredSlate(msgspec.Struct, frozen=True):
    """A slate that went out. ``recorded`` says whether what it was made from is kept, so that it can be explained."""

    slate: int
    pinner: int
    trigger_event: int
    trigger_logged: int
    emitted: int
    items: list[StoredPlace]
    models: dict[str, str]
    degraded: list[str]
    seed: int
    stages: list[Stage]
    recorded: bool


class ExplainedSlate(msgspec.Struct, frozen=True):
    """Why a slate is as it is. ``reproduced`` says that it was made again just now, and not one bit differed;
    ``difference`` is the first one where one did. ``pin`` is what was asked about, null where nothing was.
    """

    slate: int
    pinner: int
    trigger_event: int
    now: int
    emitted: int
    seed: int
    words: list[str]
    spec: str
    models: dict[str, str]
    degraded: list[str]
    fallback: list[str]
    choices: Choices
    sources: list[SourceTold]
    filters: list[FilterTold]
    places: list[PlaceTold]
    pin: PinTold | None
    reproduced: bool
    difference: str


async def stored(engine: Engine, slate: int) -> StoredSlate:
    """What ClickHouse has of a slate. Raises NoSlate and StoreUnavailable."""
    rows = await engine.events.query(
        "SELECT pinner, trigger_event, trigger_logged, emitted, pins, sources, scores, propensities, explored,"
        " degraded, versions, seed, stages, arrayMap(each -> length(each), probabilities) AS widths,"
        " arrayFlatten(probabilities) AS expected,"
        " (SELECT count() FROM slate_records WHERE slate = {slate:Int64}) AS recorded"
        " FROM slates WHERE slate = {slate:Int64} ORDER BY emitted DESC LIMIT 1",
        {"slate": slate},
    )
    if not rows:
        raise NoSlate(slate)
    row = {name: column[0] for name, column in rows.items()}
    return StoredSlate(
        slate=slate,
        **{name: int(row[name]) for name in ("pinner", "trigger_event", "trigger_logged", "emitted", "seed")},
        items=_places(row),
        models=msgspec.json.decode(row["versions"], type=dict[str, str]),
        degraded=[str(each) for each in row["degraded"]],
        stages=msgspec.json.decode(row["stages"], type=list[Stage]),
        recorded=int(row["recorded"]) > 0,
    )


def _places(row: dict[str, Any]) -> list[StoredPlace]:
    pins, widths = row["pins"], [int(width) for width in row["widths"]]
    expected, ends = row["expected"], np.cumsum([0, *widths]).tolist()
    logged = len(row["propensities"]) == len(pins)
    return [
        StoredPlace(
            int(pin),
            float(row["scores"][at]),
            [name for name in str(row["sources"][at]).split(",") if name],
            Probabilities(*map(float, expected[ends[at] : ends[at + 1]])) if widths[at] else None,
            float(row["propensities"][at]) if logged else None,
            bool(row["explored"][at]) if logged else False,
        )
        for at, pin in enumerate(pins)
    ]


def explained(made: Replay, pin: int | None) -> ExplainedSlate:
    """A slate made again, taken apart."""
    record, again = made.recorded.record, made.replayed
    spec, slate = made.recorded.spec, again.slate
    about = None
    if pin is not None:
        about = traced(pin_told(record, again, pin, spec.names), record, again, spec)
    return ExplainedSlate(
        slate=slate.slate,
        pinner=slate.pinner,
        trigger_event=slate.trigger_event,
        now=slate.now,
        emitted=slate.emitted,
        seed=slate.seed,
        words=told_in_words(record, again, made.difference),
        spec=record.header.spec,
        models=slate.models,
        degraded=slate.degraded,
        fallback=slate.fallback,
        choices=record.header.choices,
        sources=sources_told(record, again),
        filters=filters_told(again),
        places=places_told(again, spec.names),
        pin=about,
        reproduced=not made.difference,
        difference=made.difference,
    )


def routes(engine: Engine) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        known(request)
        try:
            return answer(await stored(engine, identity(request, "slate")))
        except NoSlate as absent:
            raise Problem(404, "unknown-slate", str(absent)) from None

    async def explain(request: web.Request) -> web.Response:
        known(request, "pin")
        slate, pin = identity(request, "slate"), _pin(request)
        try:
            found = await recorded(engine.events, slate, engine.settings.transforms)
            return answer(explained(replay(found), pin))
        except NoSlate as absent:
            raise Problem(404, "unknown-slate", str(absent)) from None
        except NoRecord as gone:
            raise Problem(410, "no-record", str(gone)) from None

    return [web.get("/v1/slates/{slate}", get), web.get("/v1/slates/{slate}/explain", explain)]


def _pin(request: web.Request) -> int | None:
    text = request.query.get("pin")
    if text is None:
        return None
    try:
        if len(text) > LONGEST_ID:
            raise ValueError(f"longer than {LONGEST_ID} characters")
        return stable_id(text)
    except ValueError as error:
        raise Problem(400, "invalid-parameter", f"pin: {error}") from None

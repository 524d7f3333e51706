"""Slates for several pinners at once: sources → filters → features → ranker → ordering.

Each stage is timed and counted. What fails or runs out of time is named in the slate's ``degraded``; the slate goes
out without it. Definitions: ``docs/slates.md``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.relevance import SAVES
from operators.slate.candidates import PERSONAL, Candidates, Floats, Found, merge
from operators.slate.choices import Choices
from operators.slate.features import Signals, features
from operators.slate.filters import Question, apply
from operators.slate.ordering import order
from operators.slate.rows import rows
from operators.slate.slate import Item, Probabilities, Slate, encode, slate_id
from operators.slate.utility import unranked, utility
from streams.engine import Engine
from streams.slate_choices import choices_of
from streams.slate_signals import ask_of, joined, signals
from streams.slate_sources import ASK_MILVUS, SOURCES, Ask
from streams.slate_stages import Stages

T = TypeVar("T")
#: JSON of a slate for the topic ``feed.candidates``, and columns of many for the table ``slates``.
encode_slate, slate_rows = encode, rows


class SlateRequest(NamedTuple):
    """Who is to get a slate, which event asked for it and when Kafka had it (ms), and stream time (ms)."""

    pinner: int
    trigger_event: int
    trigger_logged: int
    now: int


@dataclass
class _Draft:
    """A slate in the making."""

    request: SlateRequest
    ask: Ask
    candidates: Candidates
    owners: Ints
    domains: Ints
    #: Seen before: these only fill places that are left over.
    repeats: NDArray[np.bool_]
    dropped: dict[str, Ints]
    popular: bool


async def build_slates(
    engine: Engine, requests: Sequence[SlateRequest], choices: Choices | None = None, *, busy: bool = False
) -> list[Slate]:
    """One slate for each request, in order: one search of Milvus and one call of the ranker for all of them.

    ``choices`` default to ``slates.toml`` in the home folder; when ``busy``, slates are made from fewer candidates.
    Never raises for a part that is gone.
    """
    if not requests:
        return []
    choices = choices or choices_of(engine.settings.home)
    stages = Stages(engine.metrics, len(requests))
    if busy and choices.busy_candidates < choices.candidates:
        choices = msgspec.structs.replace(choices, candidates=choices.busy_candidates)
        stages.leave_out("candidates")
    with stages.stage("seeds") as seeds:
        asks = await _asks(engine, requests, choices, stages)
        seeds.went_out = [len(ask.seeds) for ask in asks]
    with stages.stage("sources") as sources:
        found = await _found(engine, asks, choices, stages)
        sources.went_out = [sum(len(each[row]) for each in found.values()) for row in range(len(requests))]
    with stages.stage("filters", sources.went_out) as filters:
        proposed = [{name: each[row] for name, each in found.items()} for row in range(len(requests))]
        drafts = await _in_turns(partial(_draft, engine, choices), requests, asks, proposed)
        filters.went_out = [len(draft.candidates) for draft in drafts]
    with stages.stage("features", filters.went_out):
        everything = np.concatenate([draft.candidates.pins for draft in drafts])
        loading = engine.vector_cache.load(everything)
        await stages.within("vectors", choices.vectors_seconds, loading, engine.vectors.circuit)
        known = joined(await _in_turns(partial(_signals, engine), drafts))
    with stages.stage("ranker", filters.went_out):
        probabilities, models = await _ranked(engine, features(known), choices, stages)
        parts = _parts(drafts)
        if probabilities is None:
            scores = [unranked(known.quality[part], known.scores[part]) for part in parts]
        else:
            scores = [utility(probabilities[part], choices.weights) for part in parts]
    with stages.stage("ordering", filters.went_out) as ordering:
        placed = await _in_turns(partial(_placed, engine, choices), drafts, scores)
        ordering.went_out = [len(rows) for rows in placed]
    emitted = int(time.time() * 1000)
    slates: list[Slate] = []
    for number, (draft, part) in enumerate(zip(drafts, parts, strict=True)):
        expected = None if probabilities is None else probabilities[part]
        items = _items(draft, placed[number], scores[number], expected)
        slates.append(_slate(draft, placed[number], items, models, stages, number, emitted, choices))
    return slates


async def _asks(engine: Engine, requests: Sequence[SlateRequest], choices: Choices, stages: Stages) -> list[Ask]:
    """The latest saves of each pinner, with their vectors."""
    latest = np.concatenate([engine.state.recent.saved(request.pinner, SAVES).pins for request in requests])
    loading = engine.vector_cache.load(latest)
    await stages.within("vectors", choices.vectors_seconds, loading, engine.vectors.circuit)
    return [ask_of(engine.state, engine.vector_cache, each.pinner, each.now, choices) for each in requests]


async def _found(engine: Engine, asks: Sequence[Ask], choices: Choices, stages: Stages) -> dict[str, list[Found]]:
    """Every source at once, each within its time; one that fails is named and left out."""
    answers = await asyncio.gather(
        *(
            stages.within(
                f"source.{name}",
                choices.source_seconds,
                source(engine, asks),
                engine.vectors.circuit if name in ASK_MILVUS else None,
            )
            for name, source in SOURCES.items()
        )
    )
    return {name: answer for name, answer in zip(SOURCES, answers, strict=True) if answer is not None}


def _draft(engine: Engine, choices: Choices, request: SlateRequest, ask: Ask, found: dict[str, Found]) -> _Draft:
    """What may be shown. A slate that would be short is filled with popular pins, then with repeats."""
    candidates = merge(found, choices.candidates)
    popular = not any(len(found[name]) for name in PERSONAL if name in found)
    question = _question(engine, request.pinner, candidates.pins)
    keep, dropped = apply(question)
    size = choices.ordering.size
    if np.count_nonzero(keep) < size:
        more = engine.state.quality.leaders(choices.candidates, ask.now).pins
        newest = engine.state.catalogue.newest(choices.candidates)
        added = np.setdiff1d(np.concatenate([more, newest]), candidates.pins)
        if len(added):
            popular = True
            unscored = np.full((len(added), candidates.scores.shape[1]), np.nan, np.float32)
            candidates = Candidates(
                np.concatenate([candidates.pins, added]), np.concatenate([candidates.scores, unscored])
            )
            question = _question(engine, request.pinner, candidates.pins)
            keep, dropped = apply(question)
    repeats = np.zeros(len(candidates), np.bool_)
    if np.count_nonzero(keep) < size and "seen" in dropped:
        repeats = np.isin(candidates.pins, dropped["seen"])
        keep |= repeats
    kept = candidates.take(keep)
    domains = engine.state.catalogue.domains(kept.pins)
    return _Draft(request, ask, kept, question.owners[keep], domains, repeats[keep], dropped, popular)


def _question(engine: Engine, pinner: int, pins: Ints) -> Question:
    catalogue, recent = engine.state.catalogue, engine.state.recent
    return Question(
        pinner=pinner,
        pins=pins,
        owners=catalogue.owners(pins),
        known=catalogue.known(pins),
        deleted=catalogue.is_deleted(pins),
        seen=recent.seen(pinner),
        saved=pins[recent.has_saved(pinner, pins)],
        hidden=recent.hidden(pinner),
    )


def _signals(engine: Engine, draft: _Draft) -> Signals:
    return signals(engine.state, engine.vector_cache, draft.ask, draft.candidates, draft.owners, draft.domains)


async def _ranked(
    engine: Engine, table: Floats, choices: Choices, stages: Stages
) -> tuple[Floats | None, dict[str, str]]:
    """Probabilities and the versions that gave them; None when the ranker does not answer in time."""
    if not len(table):
        return np.empty((0, 4), np.float32), {}

    async def ask() -> tuple[Floats, dict[str, str]]:
        # One after the other: while the ranker rests, nothing is asked at all.
        return await engine.models.rank(table), await engine.models.versions()

    answer = await stages.within("ranker", choices.rank_seconds, ask(), engine.models.circuit)
    if answer is None:
        return None, {}
    probabilities, versions = answer
    return probabilities, {name: version for name, version in versions.items() if name in ("ranker", "encoder")}


def _placed(engine: Engine, choices: Choices, draft: _Draft, scores: Floats) -> NDArray[np.intp]:
    # A pin that was deleted while the ranker was asked must not go out.
    rows = np.flatnonzero(~engine.state.catalogue.is_deleted(draft.candidates.pins))
    pins = draft.candidates.pins[rows]
    chosen = order(
        scores[rows],
        lambda some: engine.vector_cache.held(pins[some])[0],
        draft.owners[rows],
        draft.domains[rows],
        seed=_seed(draft.request),
        ordering=choices.ordering,
        last=draft.repeats[rows],
    )
    return rows[chosen]


async def _in_turns(work: Callable[..., T], *columns: Sequence[Any]) -> list[T]:
    """``work`` of each row; whatever else this worker does has its turn in between."""
    out: list[T] = []
    for row in zip(*columns, strict=True):
        out.append(work(*row))
        await asyncio.sleep(0)
    return out


def _parts(drafts: Sequence[_Draft]) -> list[slice]:
    """Where each slate's candidates stand in the table of all."""
    ends = np.cumsum([len(draft.candidates) for draft in drafts]).tolist()
    return [slice(end - len(draft.candidates), end) for draft, end in zip(drafts, ends, strict=True)]


def _items(draft: _Draft, rows: NDArray[np.intp], scores: Floats, probabilities: Floats | None) -> list[Item]:
    items: list[Item] = []
    for row in rows.tolist():
        expected = None if probabilities is None else Probabilities(*probabilities[row].tolist())
        pin, sources = int(draft.candidates.pins[row]), draft.candidates.sources_of(row)
        items.append(Item(pin, float(scores[row]), sources, expected))
    return items


def _slate(
    draft: _Draft,
    rows: NDArray[np.intp],
    items: list[Item],
    models: dict[str, str],
    stages: Stages,
    number: int,
    emitted: int,
    choices: Choices,
) -> Slate:
    request = draft.request
    used = {"popular": draft.popular, "repeats": bool(draft.repeats[rows].any())}
    return Slate(
        slate=slate_id(request.pinner, request.trigger_event),
        pinner=request.pinner,
        trigger_event=request.trigger_event,
        now=request.now,
        trigger_logged=request.trigger_logged,
        emitted=emitted,
        freshness_ms=emitted - request.trigger_logged,
        items=items,
        models=models,
        degraded=list(stages.degraded),
        fallback=[name for name, leant_on in used.items() if leant_on],
        seed=_seed(request),
        stages=stages.of(number),
        dropped={name: len(pins) for name, pins in draft.dropped.items()},
        dropped_pins={name: pins[: choices.explained].tolist() for name, pins in draft.dropped.items()},
    )


def _seed(request: SlateRequest) -> int:
    return slate_id(request.pinner, request.trigger_event) & 0xFFFFFFFF

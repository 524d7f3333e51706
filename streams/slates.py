"""Slates for several pinners at once: sources → filters → features → ranker → ordering.

Each stage is timed and counted. What fails or runs out of time is named in the slate's ``degraded``; the slate goes
out without it. Definitions: ``docs/slates.md``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import numpy as np

from operators.catalogue import Facts
from operators.linchpin.errors import RunError
from operators.relevance import SAVES
from operators.slate.arrange import arranged
from operators.slate.candidates import Floats, Found
from operators.slate.choices import Choices
from operators.slate.exploration import Newness, Places
from operators.slate.features import Signals
from operators.slate.making import Made, items_of, seed_of, slate_of
from operators.slate.record import Record
from operators.slate.rows import rows
from operators.slate.slate import Slate, encode, with_features
from operators.slate.utility import unranked
from streams.engine import Engine, as_it_serves
from streams.interest_cache import latest
from streams.pin_safety import showable
from streams.slate_choices import choices_of
from streams.slate_drafts import Draft, SlateRequest, drafts_of, parts_of
from streams.slate_recording import Kernels, Known, Placed, record_of
from streams.slate_signals import ask_of, known_of, relevances
from streams.slate_sources import ASK_MILVUS, SOURCES
from streams.slate_sources.ask import Ask
from streams.slate_spec import SlateSpec, spec_of
from streams.slate_stages import Stages
from streams.stores.protocols import Ranked

T = TypeVar("T")
#: JSON of a slate for the topic ``feed.candidates``, and columns of many for the table ``slates``.
encode_slate, slate_rows = encode, rows
#: How old what Triton said of its models may be: which encoder made the vectors, for the slate's record.
VERSIONS_SECONDS = 1.0


async def build_slates(
    engine: Engine,
    requests: Sequence[SlateRequest],
    choices: Choices | None = None,
    *,
    busy: bool = False,
    records: list[Record] | None = None,
) -> list[Slate]:
    """One slate for each request, in order: one search of Milvus and one call of the ranker for all of them.

    ``choices`` default to ``slates.toml`` in the home folder; when ``busy``, slates are made from fewer candidates.
    To ``records`` is added what each slate was made from.
    Never raises for a part that is gone; ValueError when the requests are of different moments.
    """
    if not requests:
        return []
    engine = as_it_serves(engine)
    choices = choices or choices_of(engine.settings.home)
    spec = spec_of(engine.settings, engine.metrics)
    stages = Stages(engine.metrics, len(requests))
    if busy and choices.busy_candidates < choices.candidates:
        steps = choices.walk_steps * choices.busy_candidates // choices.candidates
        choices = msgspec.structs.replace(choices, candidates=choices.busy_candidates, walk_steps=steps)
        stages.leave_out("candidates")
    with stages.stage("seeds") as seeds:
        asks = await _asks(engine, requests, choices, stages)
        seeds.went_out = [len(ask.seeds) for ask in asks]
    with stages.stage("sources") as sources:
        found = await _found(engine, asks, choices, stages)
        sources.went_out = [sum(len(each[row]) for each in found.values()) for row in range(len(requests))]
    with stages.stage("filters", sources.went_out) as filters:
        drafts = drafts_of(engine.state, requests, asks, found, choices, engine.settings.unsafe_above)
        filters.went_out = [len(draft.candidates) for draft in drafts]
    with stages.stage("features", filters.went_out):
        candidates = [draft.candidates for draft in drafts]
        everything = np.concatenate([each.pins for each in candidates])
        loading = engine.vector_cache.load(everything)
        await stages.within("vectors", choices.vectors_seconds, loading, engine.vectors.circuit)
        closeness = await _in_turns(partial(_relevances, engine), drafts)
        facts = Facts.joined([draft.facts for draft in drafts])
        known, newness = known_of(engine.state, asks, candidates, facts, closeness)
        table = _computed(stages, lambda: spec.features(known))
    with stages.stage("ranker", filters.went_out):
        probabilities, models = await _ranked(engine, table, choices, stages)
        worth = _worth(spec, known, probabilities, choices, stages)
        if worth is None:
            probabilities, models = None, {}
        else:
            models = {**models, "spec": spec.version} if models else {}
        parts = parts_of(candidates)
        scores = [unranked(known.quality[part], known.scores[part]) if worth is None else worth[part] for part in parts]
    with stages.stage("ordering", filters.went_out) as ordering:
        rate = engine.state.quality.rate
        placed = await _in_turns(
            partial(_placed, engine, choices, rate), drafts, scores, [newness.take(part) for part in parts]
        )
        ordering.went_out = [len(each.places.rows) for each in placed]
    emitted = int(time.time() * 1000)
    slates: list[Slate] = []
    for number, (draft, part) in enumerate(zip(drafts, parts, strict=True)):
        expected = None if probabilities is None else probabilities[part]
        made = Made(draft.request.trigger_logged, emitted, stages.of(number))
        slate = _slate(draft, placed[number].places, scores[number], expected, models, stages.degraded, made, choices)
        if table is not None and expected is not None:
            slate = with_features(slate, table[part][placed[number].places.rows])
        slates.append(slate)
        if records is not None:
            seen = Known(known.take(part), newness.take(part), expected, rate)
            records.append(record_of(draft, seen, placed[number], slate, spec.version, choices))
    return slates


async def _asks(engine: Engine, requests: Sequence[SlateRequest], choices: Choices, stages: Stages) -> list[Ask]:
    """The latest saves of each pinner, with their vectors."""
    saved = [engine.state.recent.saved(request.pinner, SAVES).pins for request in requests]
    acted = [latest(engine, request.pinner)[0] for request in requests]
    loading = engine.vector_cache.load(np.concatenate([*saved, *acted]))
    await stages.within("vectors", choices.vectors_seconds, loading, engine.vectors.circuit)
    state, cache = engine.state, engine.vector_cache
    return [
        ask_of(state, cache, each.pinner, each.now, choices, seed_of(each.pinner, each.trigger_event))
        for each in requests
    ]


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


def _relevances(engine: Engine, draft: Draft) -> tuple[Floats, Floats]:
    return relevances(draft.ask, engine.vector_cache, draft.candidates.pins)


def _computed(stages: Stages, compute: Callable[[], Floats]) -> Floats | None:
    """What the spec computes; None when one of its transforms fails."""
    try:
        return compute()
    except RunError as wrong:
        stages.leave_out("spec", str(wrong))
        return None


def _worth(
    spec: SlateSpec, known: Signals, probabilities: Floats | None, choices: Choices, stages: Stages
) -> Floats | None:
    """The utility of each candidate; None without the ranker, and where none can be told of one of them."""
    if probabilities is None:
        return None
    worth = _computed(stages, lambda: spec.utility(known, probabilities, choices.weights))
    if worth is not None and not np.isfinite(worth).all():
        stages.leave_out("spec", "the utility of a pin is missing or infinite: IfMissing gives it a value")
        return None
    return worth


async def _ranked(
    engine: Engine, table: Floats | None, choices: Choices, stages: Stages
) -> tuple[Floats | None, dict[str, str]]:
    """Probabilities and the versions that gave them; None when the ranker does not answer in time."""
    if table is None:
        return None, {}
    if not len(table):
        return np.empty((0, 4), np.float32), {}

    async def ask() -> tuple[Ranked, dict[str, str]]:
        # One after the other: while the ranker rests, nothing is asked at all.
        return await engine.models.rank(table), await engine.models.versions(VERSIONS_SECONDS)

    answer = await stages.within("ranker", choices.rank_seconds, ask(), engine.models.circuit)
    if answer is None:
        return None, {}
    ranked, versions = answer
    encoder = {"encoder": versions["encoder"]} if "encoder" in versions else {}
    return ranked.probabilities, {**encoder, "ranker": ranked.version}


def _placed(engine: Engine, choices: Choices, rate: float, draft: Draft, scores: Floats, newness: Newness) -> Placed:
    # A pin that was deleted, or judged, while the ranker was asked must not go out.
    shown = showable(engine, draft.candidates.pins)
    rows = np.flatnonzero(shown)
    pins = draft.candidates.pins[rows]
    kernels = Kernels(lambda pool: engine.vector_cache.held(pins[pool])[0])
    places = arranged(
        scores[rows],
        kernels,
        draft.facts.owners[rows],
        draft.facts.domains[rows],
        draft.repeats[rows],
        newness.take(rows),
        rate=rate,
        seed=draft.ask.seed,
        choices=choices,
    )
    return Placed(places.of(rows), shown, kernels.near(places.base))


async def _in_turns(work: Callable[..., T], *columns: Sequence[Any]) -> list[T]:
    """``work`` of each row; whatever else this worker does has its turn in between."""
    out: list[T] = []
    for row in zip(*columns, strict=True):
        out.append(work(*row))
        await asyncio.sleep(0)
    return out


def _slate(
    draft: Draft,
    places: Places,
    scores: Floats,
    probabilities: Floats | None,
    models: dict[str, str],
    degraded: Sequence[str],
    made: Made,
    choices: Choices,
) -> Slate:
    return slate_of(
        made,
        pinner=draft.request.pinner,
        trigger_event=draft.request.trigger_event,
        now=draft.request.now,
        items=items_of(draft.candidates, places, scores, probabilities),
        repeats=draft.repeats[places.rows],
        popular=draft.popular,
        models=models,
        degraded=list(degraded),
        shares=draft.blend.shares,
        dropped=draft.dropped,
        explained=choices.explained,
    )

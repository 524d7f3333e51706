"""Where candidates come from. A source takes all pinners of a batch at once and finds pins for each.

A new source is a new callable in :data:`SOURCES`, and its name at the end of ``operators.slate.candidates.SOURCES``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.graph.pixie import Walking
from operators.slate.candidates import NOTHING, Floats, Found
from operators.slate.choices import DAY_MS, Choices
from operators.small_sets import best_scores, contains
from streams.engine import Engine

#: Milliseconds after which a pin is half as fresh.
FRESH_HALF_LIFE = 3 * DAY_MS
#: Followed pinners that one slate looks at, and pins of each.
FOLLOWED, PINS_OF_EACH = 50, 20
#: Walks shorter than the paper's (α = 0.5) found more of what pinners saved next: ``docs/graph.md``.
HOW = Walking(steps=20_000, restart=0.8)


@dataclass(frozen=True, slots=True)
class Ask:
    """One pinner, and what to start from."""

    pinner: int
    now: int  # stream time, milliseconds
    seeds: Ints  # (s,) the latest saves, newest first, each pin once
    weights: NDArray[np.float64]  # (s,), 1 for a save of this moment, halved with every half-life
    vectors: Floats  # (s, d) of the seeds, zero rows where Milvus has none
    taste: Floats  # (d,) L2-normalised, or zero where unknown
    activity: float  # saves lately, each counting its weight
    choices: Choices
    #: What chance starts from; the slate tells it.
    seed: int = 0


Source = Callable[[Engine, Sequence[Ask]], Awaitable[list[Found]]]


async def visual(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What looks like the latest saves: one search of Milvus for the seeds of all pinners. Score: largest cosine.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    rows = [np.flatnonzero(ask.vectors.any(axis=1)) for ask in asks]
    if not any(len(each) for each in rows):
        return [NOTHING] * len(asks)
    queries = np.concatenate([ask.vectors[each] for ask, each in zip(asks, rows, strict=True) if len(each)])
    seeds = np.concatenate([ask.seeds[each] for ask, each in zip(asks, rows, strict=True)])
    near = await engine.vector_cache.neighbours.near(seeds, queries, asks[0].choices.neighbours)
    found: list[Found] = []
    begin = 0
    for ask, each in zip(asks, rows, strict=True):
        ids, scores = near.ids[begin : begin + len(each)].ravel(), near.scores[begin : begin + len(each)].ravel()
        begin += len(each)
        real = ids > 0
        found.append(best_of(ids[real], scores[real], ask.choices.source_limit, without=ask.seeds))
    return found


async def boards(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What stands on the same boards as the latest saves, from the live board graph."""
    found: list[Found] = []
    for ask in asks:
        related = engine.state.board_graph.related(ask.seeds, ask.weights, ask.choices.source_limit)
        found.append(Found(related.pins, related.scores.astype(np.float32)))
    return found


async def walks(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What random walks from the latest saves visit most: Pixie over the live board graph. Score: boosted visits.

    Walks of several pinners are taken one by one, and the worker does what else is due in between.
    """
    found: list[Found] = []
    for ask in asks:
        how = replace(HOW, steps=ask.choices.walk_steps)
        walked = engine.state.board_graph.walk(ask.seeds, ask.weights, ask.choices.source_limit, ask.seed, how)
        found.append(Found(walked.pins, walked.scores.astype(np.float32)))
        await asyncio.sleep(0)
    return found


async def trending(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What everybody engages with in these hours; the same for all pinners of the batch."""
    # Not before the newest event: scores of what is yet to come would grow without a bound.
    now = max(engine.state.now, *(ask.now for ask in asks))
    top = engine.state.trending.top(asks[0].choices.source_limit, now)
    return [Found(top.pins, top.scores.astype(np.float32))] * len(asks)


async def fresh(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """The newest pins, so that none waits for its first engagement. Score: 1 when new, halved every three days."""
    catalogue = engine.state.catalogue
    pins = catalogue.newest(asks[0].choices.source_limit)
    return [Found(pins, freshness(catalogue.created(pins), ask.now)) for ask in asks]


async def followed(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """The newest pins of followed pinners, scored by freshness."""
    state = engine.state
    found: list[Found] = []
    for ask in asks:
        owners = state.follows.followed_by(ask.pinner)[:FOLLOWED].tolist()
        if not owners:
            found.append(NOTHING)
            continue
        pins = np.concatenate([state.catalogue.pins_of(owner, PINS_OF_EACH) for owner in owners])
        found.append(best_of(pins, freshness(state.catalogue.created(pins), ask.now), ask.choices.source_limit))
    return found


async def pinsage(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What lies near the latest saves in PinSage's space: looks, words and neighbourhood in one. Score: largest cosine.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    seeds = np.concatenate([ask.seeds for ask in asks])
    if engine.pinsage is None or not len(seeds):
        return [NOTHING] * len(asks)
    near = await engine.pinsage.near(engine, seeds, asks[0].choices.neighbours)
    found: list[Found] = []
    begin = 0
    for ask in asks:
        part = slice(begin, begin + len(ask.seeds))
        begin = part.stop
        real = near.ids[part] > 0
        limit = ask.choices.source_limit
        found.append(best_of(near.ids[part][real], near.scores[part][real], limit, without=ask.seeds))
    return found


SOURCES: Mapping[str, Source] = {
    source.__name__: source for source in (visual, boards, trending, fresh, followed, walks, pinsage)
}
#: The others ask memory alone.
ASK_MILVUS = frozenset({"visual"})


def freshness(created: Ints, now: int) -> Floats:
    """``(n,)``: 1 for a pin of this moment, halved every :data:`FRESH_HALF_LIFE`."""
    return np.exp2(-np.maximum(now - created, 0) / FRESH_HALF_LIFE).astype(np.float32)


def best_of(pins: Ints, scores: Floats, k: int, without: Ints | None = None) -> Found:
    """The ``k`` best, each pin once with its best score; equal scores by id."""
    if without is not None:
        stays = ~contains(pins, without)
        pins, scores = pins[stays], scores[stays]
    pins, scores = best_scores(pins, scores)
    order = np.lexsort((pins, -scores))[:k]
    return Found(pins[order], scores[order])

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
from operators.interests.medoids import SAMPLED, sample
from operators.slate.candidates import NOTHING, Floats, Found
from operators.slate.choices import DAY_MS, Choices
from operators.small_sets import best_scores, contains
from streams.engine import Engine
from streams.topic_pins import pins_of_topics

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


async def together(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What goes with the latest saves by the streamed model of saves. Score: its members' standardised scores, blended.

    A model that has learnt nothing yet answers from neighbours on the live graph.
    """
    found: list[Found] = []
    for ask in asks:
        best = engine.state.together.recommend(ask.seeds, ask.choices.source_limit) if len(ask.seeds) else None
        found.append(NOTHING if best is None else Found(best.pins, best.scores.astype(np.float32)))
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


async def interests(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What looks like the medoids of a pinner's interests, drawn by importance: PinnerSage. Score: largest cosine.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    known = [engine.vector_cache.interests.of(engine, ask.pinner, ask.now) for ask in asks]
    drawn = [sample(each.interests.importance, SAMPLED, ask.seed) for ask, each in zip(asks, known, strict=True)]
    if not any(map(len, drawn)):
        return [NOTHING] * len(asks)
    pins = np.concatenate([each.pins[rows] for each, rows in zip(known, drawn, strict=True)])
    queries = np.concatenate([each.vectors[rows] for each, rows in zip(known, drawn, strict=True) if len(rows)])
    near = await engine.vector_cache.neighbours.near(pins, queries, asks[0].choices.neighbours)
    found: list[Found] = []
    begin = 0
    for ask, each, rows in zip(asks, known, drawn, strict=True):
        part = slice(begin, begin + len(rows))
        begin += len(rows)
        ids, scores = near.ids[part].ravel(), near.scores[part].ravel()
        real = ids > 0
        found.append(best_of(ids[real], scores[real], ask.choices.source_limit, without=each.actions))
    return found


async def next_actions(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What others did next after what the pinner did last, learned from every action as it comes."""
    found: list[Found] = []
    for ask in asks:
        acted = engine.state.recent.actions(ask.pinner)
        pause = (ask.now - int(acted.times[0])) / 1000 if len(acted.times) else 0.0
        come = engine.state.next_actions.next(acted.pins, pause, ask.choices.source_limit)
        found.append(Found(come.items, come.scores.astype(np.float32)))
        await asyncio.sleep(0)
    return found


async def topics(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """Pins and boards of the topics that the pinner chose, e.g. at sign-up, before anything is known of them."""
    found: list[Found] = []
    for ask in asks:
        found.append(pins_of_topics(engine, engine.state.chosen.of(ask.pinner).topics, ask.now, ask.choices))
        await asyncio.sleep(0)
    return found


SOURCES: Mapping[str, Source] = {
    **{
        each.__name__: each for each in (visual, boards, trending, fresh, followed, walks, pinsage, together, interests)
    },
    "next": next_actions,
    "topics": topics,
}
#: The others ask memory alone.
ASK_MILVUS = frozenset({"visual", "pinsage", "interests"})


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

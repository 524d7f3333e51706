"""Sources of candidates that ask memory alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps

import numpy as np

from operators.batch import Ints
from operators.graph.pixie import Walking
from operators.slate.candidates import NOTHING, Floats, Found
from operators.slate.choices import DAY_MS
from streams.engine import Engine
from streams.slate_sources.ask import Ask, Source
from streams.slate_sources.best import best_of
from streams.topic_pins import pins_of_topics

#: Milliseconds after which a pin is half as fresh.
FRESH_HALF_LIFE = 3 * DAY_MS
#: Followed pinners that one slate looks at, and pins of each.
FOLLOWED, PINS_OF_EACH = 50, 20
#: Walks shorter than the paper's (α = 0.5) found more of what pinners saved next: ``docs/graph.md``.
HOW = Walking(steps=20_000, restart=0.8)


def one_by_one(find: Callable[[Engine, Ask], Found]) -> Source:
    """A source that takes one pinner after the other; the worker does what else is due in between."""

    @wraps(find)
    async def source(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
        found: list[Found] = []
        for ask in asks:
            found.append(find(engine, ask))
            await asyncio.sleep(0)
        return found

    return source


async def boards(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What stands on the same boards as the latest saves, from the live board graph."""
    found: list[Found] = []
    for ask in asks:
        related = engine.state.board_graph.related(ask.seeds, ask.weights, ask.choices.source_limit)
        found.append(Found(related.pins, related.scores.astype(np.float32)))
    return found


@one_by_one
def walks(engine: Engine, ask: Ask) -> Found:
    """What random walks from the latest saves visit most: Pixie over the live board graph. Score: boosted visits."""
    how = replace(HOW, steps=ask.choices.walk_steps)
    walked = engine.state.board_graph.walk(ask.seeds, ask.weights, ask.choices.source_limit, ask.seed, how)
    return Found(walked.pins, walked.scores.astype(np.float32))


@one_by_one
def together(engine: Engine, ask: Ask) -> Found:
    """What goes with the latest saves by the streamed model of saves. Score: its members' standardised scores, blended.

    A model that has learnt nothing yet answers from neighbours on the live graph.
    """
    if not len(ask.seeds):
        return NOTHING
    best = engine.state.together.recommend(ask.seeds, ask.choices.source_limit)
    return Found(best.pins, best.scores.astype(np.float32))


@one_by_one
def next_actions(engine: Engine, ask: Ask) -> Found:
    """What others did next after what the pinner did last, learned from every action as it comes."""
    acted = engine.state.recent.actions(ask.pinner)
    pause = (ask.now - int(acted.times[0])) / 1000 if len(acted.times) else 0.0
    come = engine.state.next_actions.next(acted.pins, pause, ask.choices.source_limit)
    return Found(come.items, come.scores.astype(np.float32))


@one_by_one
def topics(engine: Engine, ask: Ask) -> Found:
    """Pins and boards of the topics that the pinner chose, e.g. at sign-up, before anything is known of them."""
    return pins_of_topics(engine, engine.state.chosen.of(ask.pinner).topics, ask.now, ask.choices)


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


def freshness(created: Ints, now: int) -> Floats:
    """``(n,)``: 1 for a pin of this moment, halved every :data:`FRESH_HALF_LIFE`."""
    return np.exp2(-np.maximum(now - created, 0) / FRESH_HALF_LIFE).astype(np.float32)

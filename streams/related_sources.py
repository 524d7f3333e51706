"""Where related pins come from. A source takes one pin and finds pins, best first, with scores of its own.

A new source is a new callable in :data:`SOURCES`, and a line in ``operators.related.blend.WEIGHTS``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import numpy as np

from operators.related.wording import question
from operators.slate.candidates import NOTHING, Found
from streams.engine import Engine
from streams.pinsage_related import pinsage
from streams.slate_sources.best import best_of
from streams.slate_sources.memory import HOW

Source = Callable[[Engine, int, int], Awaitable[Found]]


async def boards(engine: Engine, pin: int, k: int) -> Found:
    """Pins that stand on the same boards, from the live board graph."""
    found = engine.state.board_graph.related(np.array([pin], np.int64), np.ones(1), k)
    return Found(found.pins, found.scores.astype(np.float32))


async def walks(engine: Engine, pin: int, k: int) -> Found:
    """Pins that random walks from this one visit most: Pixie over the live board graph. One graph, one answer."""
    found = engine.state.board_graph.walk(np.array([pin], np.int64), np.ones(1), k, seed=pin, how=HOW)
    return Found(found.pins, found.scores.astype(np.float32))


async def pin2vec(engine: Engine, pin: int, k: int) -> Found:
    """Pins that are acted on in the same sessions: the nearest vectors of Pin2Vec, popular ones a little nearer."""
    found = engine.state.pin2vec.nearest(np.array([pin], np.int64), np.ones(1), k)
    return Found(found.pins, found.scores)


async def visual(engine: Engine, pin: int, k: int) -> Found:
    """Pins that look alike, by cosine; none before the pin is understood. Raises StoreUnavailable."""
    itself = np.array([pin], np.int64)
    await engine.vector_cache.load(itself)
    vectors, known = engine.vector_cache.held(itself)
    if not known.all():
        return NOTHING
    near = await engine.vectors.search("pins", vectors.astype(np.float32), k + 1)
    real = near.ids[0] > 0
    return best_of(near.ids[0][real], near.scores[0][real], k, without=itself)


async def words(engine: Engine, pin: int, k: int) -> Found:
    """Pins whose words say the same: the pin's own words, and those that were seen in it, searched for."""
    itself = np.array([pin], np.int64)
    index = engine.state.texts.index
    asked = question(index.words_of(itself))
    if not asked:
        return NOTHING
    hits = index.search(asked, k + 1)
    return best_of(hits.pins, hits.scores.astype(np.float32), k, without=itself)


SOURCES: Mapping[str, Source] = {source.__name__: source for source in (boards, visual, walks, pin2vec, words, pinsage)}

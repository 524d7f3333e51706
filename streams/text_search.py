"""Text search: pins that may be shown by phrases, from memory, in the order of a pinner's taste when it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from operators.annotations.words import BREAK, word_id, words
from operators.batch import Ints
from operators.relevance import SAVES, taste
from operators.slate.candidates import NOTHING, Found
from streams.engine import Engine
from streams.pin_safety import showable
from streams.stores.protocols import StoreUnavailable

#: Words of a query that are looked for.
MOST_WORDS = 64
#: Pins that a taste may choose from for one in the answer, and what full agreement with it adds to a score.
DEPTH, TASTE = 4, 0.5
#: Seconds that vectors are waited for; without them the order is that of the words.
VECTORS_SECONDS = 1.0


async def text_search(
    engine: Engine, phrases: Mapping[str, float], k: int, taste: NDArray[np.float32] | None = None
) -> Found:
    """The ``k`` pins that may be shown and match ``phrases`` (phrase → weight > 0) best; unknown words find nothing.

    ``taste`` ``(d,)``, L2-normalised, lifts pins that are like what a pinner saves: a score grows by half of the
    cosine's share. Without Milvus it has no effect.
    """
    wanted = [each for phrase, weight in phrases.items() for each in _runs(phrase, weight)]
    personal = taste is not None and bool(taste.any())
    pins, scores = _shown(engine, wanted, k * DEPTH if personal else k)
    if not len(pins):
        return NOTHING
    if personal and taste is not None:
        scores = scores * (1.0 + TASTE * np.maximum(0.0, await _cosines(engine, pins, taste)))
    best = np.lexsort((pins, -scores))[:k]
    return Found(pins[best], scores[best].astype(np.float32))


async def taste_of(engine: Engine, pinner: int) -> NDArray[np.float32] | None:
    """What a pinner saves lately, ``(d,)`` L2-normalised; None when it is not known, or Milvus is gone."""
    saves = engine.state.recent.saved(pinner, SAVES)
    if not len(saves.pins) or not await _load(engine, saves.pins):
        return None
    wish = taste(saves.times, engine.vector_cache.held(saves.pins)[0])
    length = float(np.linalg.norm(wish))
    return (wish / length).astype(np.float32) if length else None


async def _cosines(engine: Engine, pins: Ints, taste: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each pin with a taste, 0 where either is unknown."""
    if not await _load(engine, pins) or engine.vector_cache.dimension != len(taste):
        return np.zeros(len(pins))
    return np.nan_to_num(engine.vector_cache.cosines(pins, taste[None])[:, 0]).astype(np.float64)


async def _load(engine: Engine, pins: Ints) -> bool:
    try:
        async with asyncio.timeout(VECTORS_SECONDS):
            await engine.vector_cache.load(pins)
    except (StoreUnavailable, TimeoutError):
        return False
    return True


def _shown(engine: Engine, wanted: Sequence[tuple[Ints, float]], k: int) -> tuple[Ints, NDArray[np.float64]]:
    """At least the ``k`` best that may be shown, and what they score; fewer when there are no more."""
    depth = k
    while True:
        hits = engine.state.texts.index.search(wanted, depth)
        shown = showable(engine, hits.pins)
        if np.count_nonzero(shown) >= k or len(hits.pins) < depth:
            return hits.pins[shown], hits.scores[shown]
        depth *= 4


def _runs(phrase: str, weight: float) -> Iterator[tuple[Ints, float]]:
    """The words of a phrase, in as many runs as it has breaks."""
    run: list[int] = []
    for _, word in zip(range(MOST_WORDS), words(phrase), strict=False):
        if word != BREAK:
            run.append(word_id(word))
        elif run:
            yield np.array(run, np.int64), weight
            run = []
    if run:
        yield np.array(run, np.int64), weight

"""Sources of candidates that ask Milvus: what lies near pins that the pinner acted on. Score: largest cosine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.batch import Ints
from operators.interests.medoids import SAMPLED, sample
from operators.slate.candidates import NOTHING, Floats, Found
from streams.engine import Engine
from streams.slate_sources.ask import Ask
from streams.slate_sources.best import best_of
from streams.stores.protocols import Neighbours


async def visual(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What looks like the latest saves: one search of Milvus for the seeds of all pinners.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    rows = [np.flatnonzero(ask.vectors.any(axis=1)) for ask in asks]
    seeds = [ask.seeds[each] for ask, each in zip(asks, rows, strict=True)]
    vectors = [ask.vectors[each] for ask, each in zip(asks, rows, strict=True)]
    return await _alike(engine, asks, seeds, vectors, without=[ask.seeds for ask in asks])


async def interests(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What looks like the medoids of a pinner's interests, drawn by importance: PinnerSage.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    known = [engine.vector_cache.interests.of(engine, ask.pinner, ask.now) for ask in asks]
    drawn = [sample(each.interests.importance, SAMPLED, ask.seed) for ask, each in zip(asks, known, strict=True)]
    pins = [each.pins[rows] for each, rows in zip(known, drawn, strict=True)]
    vectors = [each.vectors[rows] for each, rows in zip(known, drawn, strict=True)]
    return await _alike(engine, asks, pins, vectors, without=[each.actions for each in known])


async def pinsage(engine: Engine, asks: Sequence[Ask]) -> list[Found]:
    """What lies near the latest saves in PinSage's space: looks, words and neighbourhood in one.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    seeds = [ask.seeds for ask in asks]
    if engine.pinsage is None or not any(map(len, seeds)):
        return [NOTHING] * len(asks)
    near = await engine.pinsage.near(engine, np.concatenate(seeds), asks[0].choices.neighbours)
    return _dealt(near, asks, seeds, without=seeds)


async def _alike(
    engine: Engine, asks: Sequence[Ask], pins: Sequence[Ints], vectors: Sequence[Floats], *, without: Sequence[Ints]
) -> list[Found]:
    """What looks like each ask's ``pins``, whose vectors are ``(len(pins), d)``: one search for all asks."""
    if not any(map(len, pins)):
        return [NOTHING] * len(asks)
    queries = np.concatenate([each for each in vectors if len(each)])
    near = await engine.vector_cache.neighbours.near(np.concatenate(pins), queries, asks[0].choices.neighbours)
    return _dealt(near, asks, pins, without=without)


def _dealt(near: Neighbours, asks: Sequence[Ask], pins: Sequence[Ints], *, without: Sequence[Ints]) -> list[Found]:
    """The best for each ask, of the answers to all asks' pins one after the other."""
    found: list[Found] = []
    begin = 0
    for ask, own, seen in zip(asks, pins, without, strict=True):
        part = slice(begin, begin + len(own))
        begin = part.stop
        real = near.ids[part] > 0
        found.append(best_of(near.ids[part][real], near.scores[part][real], ask.choices.source_limit, without=seen))
    return found

"""What PinSage's network is given: the subgraph of some pins in the live graph, and what is known of each of them."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.annotations.word_vectors import word_vectors
from operators.batch import Ints
from operators.graph.neighbourhood import neighbourhoods
from operators.graph.standing import Standing, standing
from operators.graph.subgraph import Subgraph, subgraph
from streams.engine import Engine

#: Of all walks, so that one graph gives one vector.
SEED = 0
#: What the logarithm of the degree counts; as in ``training/pinsage_net.py``.
DEGREE_SCALE = 0.1
#: Walks between which the worker does what else is due: some milliseconds.
WALKS_AT_ONCE = 16
NO_PINS = np.zeros(0, np.int64)


class Seen(NamedTuple):
    """``features`` are those of ``graph.pins``; ``now`` says where the asked ones stand."""

    graph: Subgraph
    features: NDArray[np.float32]
    now: Standing


async def look(engine: Engine, pins: Ints) -> Seen | None:
    """Of those of ``pins`` that have a vector of the encoder; None where none has.

    Raises:
        StoreUnavailable: Milvus is gone.
    """
    await engine.vector_cache.load(pins)
    pins = pins[engine.vector_cache.held(pins)[1]]
    if not len(pins):
        return None
    near = await _walked(engine, pins)
    further = await _walked(engine, np.setdiff1d(np.concatenate([each for each, _ in near.values()]), [*pins, 0]))
    known = near | further

    def of(some: Ints) -> tuple[Ints, NDArray[np.float32]]:
        rows = [known[pin] for pin in some.tolist()]
        if not rows:
            width = next(iter(known.values()))[0].shape[0]
            return np.zeros((0, width), np.int64), np.zeros((0, width), np.float32)
        return np.array([each for each, _ in rows]), np.array([weights for _, weights in rows])

    graph = subgraph(pins, of)
    now = standing(engine.state.board_graph, graph.pins)
    text = word_vectors(engine.state.texts.index.words_of(graph.pins))
    degrees = (DEGREE_SCALE * np.log1p(now.boards)).astype(np.float32)
    parts = [await _visual(engine, graph.pins), text, degrees[:, None]]
    features = np.concatenate(parts, axis=1, dtype=np.float32)
    return Seen(graph, features, Standing(now.boards[: graph.asked], now.sums[: graph.asked]))


async def _walked(engine: Engine, pins: Ints) -> dict[int, tuple[Ints, NDArray[np.float32]]]:
    found: dict[int, tuple[Ints, NDArray[np.float32]]] = {}
    for start in range(0, len(pins), WALKS_AT_ONCE):
        some = pins[start : start + WALKS_AT_ONCE]
        near = neighbourhoods(engine.state.board_graph, some, SEED)
        found |= dict(zip(some.tolist(), zip(near.pins, near.weights, strict=True), strict=True))
        await asyncio.sleep(0)
    return found


async def _visual(engine: Engine, pins: Ints) -> NDArray[np.float32]:
    """``(n, d)``; zero rows for pins without a picture. Not by the cache, which is for what slates show."""
    vectors, held = engine.vector_cache.held(pins)
    fetched = await engine.vectors.fetch("pins", pins[~held]) if not held.all() else {}
    for row in np.flatnonzero(~held).tolist():
        if (vector := fetched.get(int(pins[row]))) is not None:
            vectors[row] = vector
    return vectors

"""Following: which encoder this worker answers with, and which others get every new pin.

An engine's ``models``, ``vectors`` and ``vector_cache`` are of one encoder, and change together. An answer is made with
the engine as it was when the answer began (:func:`streams.engine.as_it_serves`), so it is wholly of one.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from streams.encoders.states import FIRST, KEPT, Standing, Standings, State, serving, standings
from streams.engine import Engine
from streams.settings import Settings
from streams.stores.clickhouse import open_event_store
from streams.stores.milvus import MilvusVectors
from streams.stores.milvus_bits import open_vector_store
from streams.stores.protocols import EventStore
from streams.stores.triton import ENCODER, TritonModels
from streams.vector_cache import VectorCache

log = logging.getLogger(__name__)


class IndexDropped(Exception):
    """An encoder has no index any more: work that began with it begins again with the one that serves."""


@dataclass
class Encoder:
    """What belongs to one encoder."""

    standing: Standing
    models: TritonModels
    vectors: MilvusVectors
    cache: VectorCache
    #: Until when (monotonic seconds) it is not asked, as it failed.
    rests_until: float = 0.0


class Encoders:
    """The encoders as this worker last saw them."""

    def __init__(self, models: TritonModels, vectors: MilvusVectors) -> None:
        """``models`` and ``vectors`` are those of the first encoder."""
        self.standings: Standings = {FIRST.model: FIRST}
        self._models, self._vectors = models, vectors
        self._held: dict[str, Encoder] = {}
        #: Those whose index is dropped; under the same name another one may come.
        self._left: list[Encoder] = []
        self._events: EventStore | None = None

    def of(self, model: str) -> Encoder:
        """What belongs to a model that has a standing; the same each time."""
        standing = self.standings[model]
        held = self._held.get(model)
        if held is None:
            first = model == ENCODER
            models = self._models if first else self._models.of(model, standing.version)
            vectors = self._vectors if first else self._vectors.of(standing.suffix, models)
            # What was dropped is not made anew by work that began before.
            vectors.may_make = partial(self.require, model)
            held = self._held[model] = Encoder(standing, models, vectors, VectorCache(vectors))
        held.standing = standing
        return held

    async def load(self, events: EventStore) -> None:
        """Read the standings. Raises StoreUnavailable."""
        self._events = events
        self.standings = await standings(events)
        gone = {State.DROPPED, None}
        for model in [each for each in self._held if getattr(self.standings.get(each), "state", None) in gone]:
            self._left.append(self._held.pop(model))

    async def require(self, model: str) -> None:
        """Make sure that a model's index is kept, as of this moment. Raises IndexDropped, and StoreUnavailable."""
        if self._events is not None:
            await self.load(self._events)
        standing = self.standings.get(model)
        if standing is None or standing.state not in KEPT:
            raise IndexDropped(f"the index of {model} is dropped")

    def parts(self) -> list[TritonModels | MilvusVectors]:
        """Everything that any encoder has opened, to be closed."""
        every = [*self._held.values(), *self._left]
        return [self._models, self._vectors, *(part for one in every for part in (one.models, one.vectors))]

    def put_to_work(self, engine: Engine) -> None:
        """From now on answers begin with the encoder that serves."""
        chosen = self.of(serving(self.standings).model)
        engine.encoder = chosen.standing.model
        engine.models, engine.vectors, engine.vector_cache = chosen.models, chosen.vectors, chosen.cache


async def follow(engine: Engine) -> None:
    """Answer with the encoder that the table says serves, if its index can be reached; else go on and try again.

    Raises:
        StoreUnavailable: ClickHouse or Milvus is gone.
    """
    if engine.encoders is None:
        return
    await engine.encoders.load(engine.events)
    wanted = serving(engine.encoders.standings).model
    if wanted != engine.encoder:
        await engine.encoders.of(wanted).vectors.count("pins")
        left = engine.encoder
        engine.encoders.put_to_work(engine)
        log.info("answers are of %s from now on, no longer of %s", wanted, left)


@asynccontextmanager
async def parts_that_serve(settings: Settings) -> AsyncGenerator[tuple[EventStore, TritonModels, MilvusVectors]]:
    """ClickHouse, and the models and the index of the encoder that serves, for who is no worker.

    Raises StoreUnavailable.
    """
    events, models = open_event_store(settings), TritonModels(settings)
    encoders = Encoders(models, open_vector_store(settings, models))
    try:
        await encoders.load(events)
        chosen = encoders.of(serving(encoders.standings).model)
        yield events, chosen.models, chosen.vectors
    finally:
        for part in (*encoders.parts(), events):
            await part.close()


async def beside(engine: Engine) -> list[Encoder]:
    """The encoders besides the engine's that every new pin goes to, as of this moment. Raises StoreUnavailable."""
    if engine.encoders is None:
        return []
    await engine.encoders.load(engine.events)
    kept = [one.model for one in engine.encoders.standings.values() if one.state in KEPT]
    return [engine.encoders.of(model) for model in kept if model != engine.encoder]

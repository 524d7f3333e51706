"""Opening an engine: every store, the hot state rebuilt from the ledger, and what was due before a restart."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from streams.encoders.following import Encoders
from streams.engagement_writer import EngagementWriter
from streams.engine import Engine
from streams.erasure import Erased
from streams.feed_schedule import FeedSchedule
from streams.gathering import SECONDS, Gathering
from streams.learned import Learned, find
from streams.learned_keeping import Keeping
from streams.ledger import Ledger
from streams.metrics import Metrics
from streams.outputs import KafkaOutputs, reach_broker
from streams.pace import Pace
from streams.persist import persist
from streams.pinsage import PinSage
from streams.settings import Settings
from streams.slate_refill import read_back
from streams.slate_writer import SlateWriter
from streams.state import HotState
from streams.stores.clickhouse import open_event_store
from streams.stores.milvus_bits import open_vector_store
from streams.stores.protocols import EventStore, StoreUnavailable
from streams.stores.triton import TritonModels
from streams.tail import Folded
from streams.vector_cache import VectorCache
from streams.warm_up import warm_up

#: How long other workers' writing may be held back by a start. They go on counting in memory.
STILL_SECONDS = 30.0


async def open_engine(settings: Settings) -> Engine:
    """Connect to every part and rebuild memory from ClickHouse; waits for it, and for Kafka, as long as it takes.

    Milvus and Triton may be gone: slates go out without them and vision waits.
    """
    await asyncio.to_thread(warm_up)
    metrics = Metrics()
    events = open_event_store(settings)
    models = TritonModels(settings)
    vectors = open_vector_store(settings, models)
    for circuit in (vectors.circuit, models.circuit):
        metrics.circuit(circuit)
        circuit.on_change = metrics.circuit
    erased = Erased()
    await persist("reading who is erased", lambda: erased.load(events), metrics)
    learned, folded, state = await persist("rebuilding memory", lambda: remembered(events, settings, erased), metrics)
    ledger, pace = Ledger(events), Pace()
    engine = Engine(
        settings=settings,
        metrics=metrics,
        events=events,
        vectors=vectors,
        models=models,
        outputs=KafkaOutputs(settings),
        state=state,
        folded=folded,
        erased=erased,
        ledger=ledger,
        pace=pace,
        gathering=Gathering(SECONDS),
        writer=EngagementWriter(events, ledger, metrics, pace, settings.waiting_rows),
        slate_writer=SlateWriter(events, erased, metrics, partial(read_back, settings), settings.waiting_slates),
        # Made together, slates share calls to Milvus and Triton, but each waits for the others.
        schedule=FeedSchedule(quiet=0.015, longest=0.100, batch=8, oldest_share=2),
        vector_cache=VectorCache(vectors),
    )
    engine.keeping = Keeping(engine, learned)
    # Faust ends where no broker answers at its start; to start again costs more than to wait.
    encoders = engine.encoders = Encoders(models, vectors)
    await persist("reading which encoder serves", lambda: encoders.load(events), metrics)
    encoders.put_to_work(engine)
    if settings.pinsage == "on":
        engine.pinsage = PinSage(vectors.alone("pinsage"), metrics)
    await persist("reaching Kafka", partial(reach_broker, settings), metrics)
    return engine


async def remembered(events: EventStore, settings: Settings, erased: Erased) -> tuple[Learned, Folded, HotState]:
    state = HotState()
    learned = await find(settings, events, state)
    # All sums as of one moment, and how far that is: other workers fold from there on.
    async with events.still(STILL_SECONDS):
        folded = await Folded.load(events)
        await state.load(events, learned)
    return learned.without(state, erased), folded, state


async def close_engine(engine: Engine) -> None:
    """Flush what was sent, and leave every part."""
    await engine.slate_writer.finish()
    if engine.keeping:
        await engine.keeping.finish()
    await engine.outputs.close()
    of_encoders = engine.encoders.parts() if engine.encoders else [engine.models, engine.vectors]
    of_pinsage = [engine.pinsage.vectors] if engine.pinsage else []
    for part in (*of_encoders, *of_pinsage, engine.events):
        with suppress(StoreUnavailable, asyncio.TimeoutError):
            await part.close()

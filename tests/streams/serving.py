"""An API on a real port, over an engine of one's own making."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import numpy as np

from operators.batch import Records, Source
from operators.decode import decode_engagement, decode_events
from streams.api.server import ApiServer
from streams.engagement_writer import EngagementWriter
from streams.engine import Engine
from streams.erasure import Erased
from streams.feed_schedule import FeedSchedule
from streams.ledger import Ledger
from streams.metrics import Metrics
from streams.outputs import KafkaOutputs
from streams.pace import Pace
from streams.settings import Settings
from streams.slate_refill import read_back
from streams.slate_writer import SlateWriter
from streams.state import HotState
from streams.stores.clickhouse import open_event_store
from streams.stores.milvus_bits import open_vector_store
from streams.stores.triton import TritonModels
from streams.tail import Folded
from streams.vector_cache import VectorCache
from streams.warm_up import warm_up

#: A moment of the tests, milliseconds since the epoch.
NOW = 1_750_000_000_000
#: No topic has so many partitions, so no batch of these tests is named as one of Kafka's.
PARTITION = 60_000


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def nowhere(home: Path, **changes: str) -> Settings:
    """Settings whose every part is an address that nobody listens on."""
    gone = f"127.0.0.1:{free_port()}"
    settings = Settings(
        home=home, kafka=gone, clickhouse=f"clickhouse://{gone}/default", milvus=f"http://{gone}", triton=gone
    )
    return replace(settings, **changes)


def make_engine(settings: Settings) -> Engine:
    """An engine with the real adapters and an empty memory."""
    warm_up()
    events, models, metrics = open_event_store(settings, timeout=5), TritonModels(settings), Metrics()
    vectors = open_vector_store(settings, models)
    erased, ledger, pace = Erased(), Ledger(events), Pace()
    return Engine(
        settings=settings,
        metrics=metrics,
        events=events,
        vectors=vectors,
        models=models,
        outputs=KafkaOutputs(settings),
        state=HotState(),
        folded=Folded({}),
        erased=erased,
        ledger=ledger,
        pace=pace,
        writer=EngagementWriter(events, ledger, metrics, pace),
        slate_writer=SlateWriter(events, erased, metrics, partial(read_back, settings)),
        schedule=FeedSchedule(),
        vector_cache=VectorCache(vectors),
    )


@asynccontextmanager
async def serving(engine: Engine, monkeypatch) -> AsyncIterator[aiohttp.ClientSession]:
    """The engine's API on a free port, and a client that asks it."""
    port = free_port()
    monkeypatch.setenv("PINSTREAM_PORT_API", str(port))
    server = ApiServer(engine)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        await server.stop()


def records(topic: str, *events: dict) -> Records:
    """Events as Kafka would deliver them."""
    n = len(events)
    logged = np.full(n, NOW, np.int64)
    return Records.of(
        Source(topic, PARTITION, 0, n - 1), np.arange(n), logged, [msgspec.json.encode(event) for event in events]
    )


def remember(state: HotState, topic: str, *events: dict) -> None:
    """Fold events into memory, as the agents do after they are stored."""
    if topic == "pins":
        decoded = decode_events(records(topic, *events))
        assert not decoded.rejects, decoded.rejects
        state.apply_pins([(offset, event) for offset, _, event in decoded.good])
        return
    decoded = decode_engagement(records(topic, *events))
    assert not decoded.rejects, decoded.rejects
    state.apply(state.catalogue.enrich(decoded.good, state.follows))


def pin(number: int, **fields) -> dict:
    """A pin event; pinner 900, board by the number's parity."""
    return {
        "type": "created", "pin": number, "pinner": 900, "board": 50 + number % 2,
        "time": NOW - 1000 * number, "link": "https://www.example.com/x", **fields,
    }  # fmt: skip

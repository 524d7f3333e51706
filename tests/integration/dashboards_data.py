"""What the dashboards' tests look at: a few stored rows, and parts that were just used."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import numpy as np
import tritonclient.grpc as triton_client
from prometheus_client import start_http_server
from pymilvus import MilvusClient

from infra.migrate import migrate
from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.slate.slate import Item, Probabilities, Slate
from streams.circuit import Circuit
from streams.ladder import RUNG_NAMES
from streams.metrics import Metrics
from streams.settings import Settings
from streams.stores.clickhouse_http import ClickHouseHTTP

DATABASE = "dashboards"
_SLATE = Slate(
    slate=1, pinner=1, trigger_event=1, now=1, trigger_logged=1, emitted=1, seed=1,
    items=[Item(1, 0.5, {"boards": 1.0}), Item(2, 0.4, {"fresh": 1.0}, None, 0.1, True)],
    shares={"boards": 60, "fresh": 40},
)  # fmt: skip
EVENTS, PINS, HOUR = 600, 40, 3_600_000


def store_rows(settings: Settings, now: int) -> None:
    """Tables in a database of their own, with engagement of the last day, pins and slates."""

    async def write() -> None:
        default = ClickHouseHTTP(settings.clickhouse_http)
        await default.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        await default.close()
        store = ClickHouseHTTP(settings.clickhouse_http, database=DATABASE)
        await migrate(store)
        await _engagement(store, now)
        await _pins(store, now)
        await _slates(store, now)
        await store.close()

    asyncio.run(write())


async def _engagement(store: ClickHouseHTTP, now: int) -> None:
    chance = np.random.default_rng(0)
    offset = np.arange(EVENTS)
    columns = {
        "topic": ["saves"] * EVENTS,
        "partition": np.zeros(EVENTS, np.uint16),
        "first": np.zeros(EVENTS, np.int64),
        "last": np.full(EVENTS, EVENTS - 1),
        "offset": offset,
        "logged": np.full(EVENTS, now),
        "time": now - chance.integers(0, 24 * HOUR, EVENTS),
        "event_id": offset + 1,
        "kind": chance.choice(np.array([1, 1, 1, 2, 3, 4, 5], np.uint8), EVENTS),
        "pinner": chance.integers(1, 20, EVENTS),
        "pin": offset % PINS + 1,
        "board": chance.integers(1, 9, EVENTS),
        "slate": np.zeros(EVENTS, np.int64),
        "position": chance.integers(0, 30, EVENTS).astype(np.int16),
        "surface": np.ones(EVENTS, np.uint8),
        "owner": offset % 5 + 1,
        "domain": offset % 3 + 1,
        "is_follower": (offset % 2).astype(np.uint8),
    }
    await store.insert("engagement", columns, token="dashboards")


async def _pins(store: ClickHouseHTTP, now: int) -> None:
    pin = np.arange(1, PINS + 1)
    await store.insert(
        "pins",
        {
            "pin": pin,
            "version": np.full(PINS, now),
            "deleted": np.zeros(PINS, np.uint8),
            "pinner": pin % 5 + 1,
            "board": pin % 8 + 1,
            "title": [f"pin {number}" for number in pin],
            "description": [""] * PINS,
            "link": [""] * PINS,
            "domain": [f"{number % 3}.example" for number in pin],
            "domain_id": (pin - 1) % 3 + 1,
            "image": [""] * PINS,
            "created": np.full(PINS, now),
        },
    )


async def _slates(store: ClickHouseHTTP, now: int) -> None:
    for slate in range(1, 4):
        degraded = ["ranker"] if slate == 3 else []
        probabilities = "[]" if degraded else "[[0.2, 0.3, 0.1, 0.0], [0.1, 0.2, 0.1, 0.0]]"
        await store.command(
            "INSERT INTO slates (slate, pinner, trigger_event, trigger_logged, emitted, positions, pins, sources,"
            " scores, probabilities, degraded, versions, seed, stages)"
            f" VALUES ({slate}, 1, {slate}, {now - 150}, {now}, [0, 1], [1, 2], ['neighbours', 'trending'],"
            f" [0.5, 0.4], {probabilities}, {degraded}, '1', 7, '[]')"
        )


@contextmanager
def working_engine(port: int) -> Iterator[None]:
    """The engine's metrics on ``port``, counting as if a worker were busy."""
    metrics, stop = Metrics(), threading.Event()
    server, server_thread = start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    busy = threading.Thread(target=_work, args=(metrics, stop), daemon=True)
    busy.start()
    try:
        yield
    finally:
        stop.set()
        busy.join()
        server.shutdown()
        server.server_close()
        server_thread.join()


def _work(metrics: Metrics, stop: threading.Event) -> None:
    resting = Circuit("triton")
    resting.too_slow()
    turn = 0
    while not stop.wait(0.1):
        turn += 1
        _expect(metrics, 16 * turn)
        for topic in ("saves", "clicks"):
            metrics.events(topic, counted=100, duplicate=2, rejected=1)
            metrics.lag(topic, 12)
            with metrics.batch_step(topic, "clickhouse"):
                pass
        metrics.warnings({"unknown_field": 1})
        metrics.dead_letters("bad_json")
        metrics.freshness([0.08, 0.2, 0.4])
        metrics.slates([])
        metrics.slates(["ranker"])
        metrics.places([_SLATE])
        metrics.recorded(1, 70_000)
        for stage in ("sources", "filters", "scoring", "ordering"):
            metrics.stage(stage, 500, 100, 0.004)
        metrics.understood(1, 3)
        metrics.store_error("milvus")
        metrics.circuit(resting)
        metrics.ladder("unranked", RUNG_NAMES, {"triton": False, "milvus": True})
        metrics.waiting("engagement", 700)
        metrics.corrupt("saves", 1)
        metrics.failed_slates(1)
        with metrics.store("milvus", "search"):
            pass


def _expect(metrics: Metrics, slate: int) -> None:
    """A slate goes out, both its pins are looked at, and the first is saved."""
    likely = Probabilities(save=0.4, closeup=0.3, outbound_click=0.2, hide=0.1)
    items = [Item(pin, 0.5, {"boards": 1.0}, likely) for pin in (1, 2)]
    metrics.sent([msgspec.structs.replace(_SLATE, slate=slate, items=items)])
    columns = {name: np.zeros(3, np.int64) for name in ENGAGEMENT_COLUMNS}
    columns |= {"slate": np.full(3, slate), "pin": np.array([1, 2, 1])}
    columns |= {"kind": np.array([1, 1, 4], np.uint8), "surface": np.ones(3, np.uint8)}
    columns["position"] = np.zeros(3, np.int16)
    metrics.engaged(Engagement(source=Source("saves", 0, 0, 2), **columns))


@contextmanager
def working_parts(settings: Settings) -> Iterator[None]:
    """Requests to the real Triton and Milvus, until the end of the block."""
    stop = threading.Event()
    busy = [threading.Thread(target=work, args=(settings, stop)) for work in (_infer, _search)]
    for thread in busy:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in busy:
            thread.join()


def _infer(settings: Settings, stop: threading.Event) -> None:
    with triton_client.InferenceServerClient(settings.triton_grpc) as client:
        image = np.zeros((1, 224, 224, 3), np.uint8)
        images = triton_client.InferInput("IMAGES", image.shape, "UINT8")
        images.set_data_from_numpy(image)
        while not stop.wait(0.3):
            client.infer("encoder", [images])


def _search(settings: Settings, stop: threading.Event) -> None:
    client, name = MilvusClient(settings.milvus_uri), f"dashboards_{time.time_ns()}"
    client.create_collection(name, dimension=8, metric_type="IP")
    try:
        vectors = np.eye(8, dtype=np.float32)
        client.upsert(name, [{"id": at, "vector": vector} for at, vector in enumerate(vectors)])
        client.flush(name)
        while not stop.wait(0.3):
            client.search(name, [vectors[0]], limit=3)
    finally:
        client.drop_collection(name)
        client.close()

"""Pins that waited from before a cut-over until after the drop are of the encoder that serves then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import MilvusClient

from operators.accepted import AcceptedPin
from streams.agents import vision
from streams.encoders import filling, moves
from streams.encoders.filling import Filler
from streams.encoders.following import follow
from streams.encoders.states import State, standings
from streams.engine import Engine
from streams.opening import close_engine
from streams.settings import PROJECT, Settings
from tests.clickhouse_process import EmbeddedServer
from tests.streams.eyes import READY, Eyes, put_to_work, with_tables
from tests.streams.serving import make_engine, records

pytestmark = pytest.mark.real
SECONDS = 60
FILES = sorted((PROJECT / "examples" / "sample" / "photos").glob("*.jpg"))[:3]


class Waiting(Eyes):
    """Eyes that look when they are let, from the moment at which they are told to wait."""

    def __init__(self, version: str = "2", turn: int = 0) -> None:
        super().__init__(version, turn)
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    def wait(self) -> None:
        self.begun.clear()
        self.go.clear()

    def of(self, model: str, version: str) -> Waiting:
        return Waiting(version, turn=3)

    async def encode(self, images: Any) -> np.ndarray:
        self.begun.set()
        await self.go.wait()
        return await super().encode(images)


@pytest.fixture
def database(milvus_apart: Callable[[str], Settings]) -> Iterator[tuple[Settings, Any]]:
    """A database of the session's Milvus without collections, and a client that sees what is in it."""
    settings = milvus_apart("dropped")
    client: Any = MilvusClient(settings.milvus_uri, db_name=settings.milvus_database)
    for name in client.list_collections():
        client.drop_collection(name)
    yield settings, client
    client.close()


@pytest.fixture
async def engine(
    server: EmbeddedServer, kafka: Settings, database: tuple[Settings, Any], tmp_path: Path, monkeypatch: Any
) -> AsyncIterator[Engine]:
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    monkeypatch.setattr(filling, "DROP_AFTER", 0.0)
    made = await with_tables(tmp_path, Waiting(), database[0])
    yield made
    await close_engine(made)


@pytest.fixture(params=["the same worker", "another worker"])
async def leader(request: pytest.FixtureRequest, engine: Engine) -> AsyncIterator[Engine]:
    """The worker that fills and drops: the one whose pins wait, or another."""
    if request.param == "the same worker":
        yield engine
        return
    other = make_engine(engine.settings)
    await put_to_work(other, Waiting())
    yield other
    await close_engine(other)


def batch(*pins: int) -> Any:
    images = [f"file:{file.relative_to(PROJECT)}" for file in FILES]
    accepted: list[Any] = [AcceptedPin(pin=pin, version=1, image=images[pin % len(images)]) for pin in pins]
    return records("pins.accepted", *accepted)


async def fill(engine: Engine, leader: Engine) -> None:
    """A pin in the index of each encoder, and no worker that has not written to both."""
    await vision.handle(engine, batch(1))
    await moves.begin(engine.events, "encoder_3", READY)
    while (await standings(engine.events))["encoder_3"].state is State.FILLING:
        await Filler(leader).work()
    await vision.handle(engine, batch(2))


async def drop(engine: Engine, leader: Engine, model: str) -> None:
    await moves.drop(engine.events, model)
    filler = Filler(leader)
    async with asyncio.timeout(SECONDS):
        while (await standings(engine.events))[model].state is not State.DROPPED:
            await filler.work()


async def held(engine: Engine, model: str, expected: set[int]) -> None:
    """Wait until an index has these pins: a read does not wait for a write."""
    assert engine.encoders is not None
    store = engine.encoders.of(model).vectors
    async with asyncio.timeout(SECONDS):
        while not expected <= (await store.fetch("pins", np.arange(1, 10))).keys():
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("unloaded", [False, True])
async def test_pins_of_a_dropped_index_are_looked_at_by_the_encoder_that_serves(
    engine: Engine, leader: Engine, database: tuple[Settings, Any], unloaded: bool
) -> None:
    await fill(engine, leader)
    eyes: Any = engine.models
    eyes.wait()
    waiting = asyncio.create_task(vision.handle(engine, batch(3, 4)))
    await asyncio.wait_for(eyes.begun.wait(), SECONDS)
    await moves.cut_over(engine.events, "encoder_3", READY, anyway=True)
    for each in {id(one): one for one in (engine, leader)}.values():
        await follow(each)
    await drop(engine, leader, "encoder")
    eyes.gone = unloaded  # by Triton, as the model of a dropped index is
    eyes.go.set()
    assert await asyncio.wait_for(waiting, SECONDS) == []
    assert {*database[1].list_collections()} == {"pins_3", "objects_3"}
    await held(engine, "encoder_3", {2, 3, 4})
    rows = await engine.events.query("SELECT pin, encoder_version FROM pin_vectors FINAL WHERE pin >= 3 ORDER BY pin")
    assert rows["encoder_version"].tolist() == ["3", "3"]


async def test_an_index_beside_the_serving_one_is_not_made_anew_either(
    engine: Engine, leader: Engine, database: tuple[Settings, Any]
) -> None:
    await fill(engine, leader)
    assert engine.encoders is not None
    eyes: Any = engine.encoders.of("encoder_3").models
    eyes.wait()
    waiting = asyncio.create_task(vision.handle(engine, batch(3, 4)))
    await asyncio.wait_for(eyes.begun.wait(), SECONDS)
    await drop(engine, leader, "encoder_3")
    eyes.go.set()
    assert await asyncio.wait_for(waiting, SECONDS) == []
    assert {*database[1].list_collections()} == {"pins", "objects"}
    await held(engine, "encoder", {1, 2, 3, 4})
    missed = await engine.events.query("SELECT count() AS n FROM encoder_misses FINAL WHERE open")
    assert int(missed["n"][0]) == 0

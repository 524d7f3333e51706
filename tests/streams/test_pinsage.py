"""PinSage in a worker, by the real Triton, Milvus and ClickHouse: vectors come, change with a save, and go."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.migrate import migrate
from operators.slate.choices import Choices
from streams import pinsage_convolving
from streams.engine import Engine
from streams.opening import close_engine
from streams.pinsage import COLLECTION, PinSage
from streams.pinsage_convolving import LOOK, Convolving, convolve
from streams.pinsage_related import pinsage as related_source
from streams.settings import EMBEDDED, Settings
from streams.slate_signals import ask_of
from streams.slate_sources.nearest import pinsage as slate_source
from streams.stores.triton import TritonModels
from tests.clickhouse_process import EmbeddedServer
from tests.streams.serving import NOW, make_engine, nowhere, remember

pytestmark = pytest.mark.real
#: Pins of two looks: odd and even ones.
PINS = list(range(1, 25))
NEW, SAVER = 90, 500
WIDTH = 256


def look_of(pin: int) -> np.ndarray:
    random = np.random.default_rng(pin)
    middle = np.random.default_rng(1_000 + pin % 2).normal(size=WIDTH)
    vector = middle + 0.7 * random.normal(size=WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.fixture
async def engine(
    server: EmbeddedServer,
    triton: Settings,
    milvus_apart: Callable[[str], Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Engine]:
    """Pins on boards, understood by the encoder, with nothing of PinSage yet."""
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    milvus = milvus_apart("pinsage")
    settings = replace(
        nowhere(tmp_path), clickhouse=EMBEDDED, triton=triton.triton_grpc, milvus=milvus.milvus_uri,
        milvus_database="pinsage",
    )  # fmt: skip
    made = make_engine(settings)
    made.pinsage = PinSage(made.vectors.alone(COLLECTION), made.metrics)
    await migrate(made.events)
    for table in ("pin_vectors", "pinsage"):
        await made.events.command(f"TRUNCATE TABLE {table}")
    await made.vectors.drop()
    await made.pinsage.vectors.drop()
    for pin in PINS:
        await understood(made, pin, board=1 + pin % 4)
    yield made
    await made.pinsage.vectors.close()
    await close_engine(made)


async def understood(engine: Engine, pin: int, board: int = 0) -> None:
    """What catalogue and vision do for a pin."""
    created = {"type": "created", "pin": pin, "pinner": 7, "time": NOW, "title": f"No. {pin}"}
    remember(engine.state, "pins", created | ({"board": board} if board else {}))
    vector = look_of(pin)
    await engine.vectors.prepare(WIDTH)
    await engine.vectors.upsert("pins", np.array([pin]), vector[None], {"version": np.array([NOW])})
    columns = {"pin": [pin], "version": [NOW], "encoder_version": ["2"], "vector": [vector.tolist()]}
    await engine.events.insert("pin_vectors", columns)
    engine.vector_cache.put({pin: vector})


async def all_of(work: Convolving, leads: bool = True) -> int:
    """Work until nothing waits; returns how many steps that took."""
    for step in range(200):
        rest = await work.work(leads)
        if not len(work._pinsage) and rest == pinsage_convolving.IDLE:
            return step
    raise AssertionError("it never ends")


async def vectors(engine: Engine, *pins: int) -> dict[int, Any]:
    assert engine.pinsage is not None
    return await engine.pinsage.vectors.fetch(COLLECTION, np.array(pins))


def waiting(engine: Engine) -> int:
    found = re.search(r"^pinstream_pins_to_convolve (\S+)$", engine.metrics.exposition().decode(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


async def until(engine: Engine, pin: int, there: Callable[[Any], bool]) -> None:
    """Milvus applies what is written within a moment."""
    ends = time.monotonic() + 20
    while not there((await vectors(engine, pin)).get(pin)):
        assert time.monotonic() < ends
        time.sleep(0.05)


async def test_a_pin_gets_its_vector_changes_with_saves_and_goes(engine: Engine) -> None:
    assert engine.pinsage is not None
    work = Convolving(engine, engine.pinsage)
    await all_of(work)
    assert await engine.pinsage.vectors.count(COLLECTION) == len(PINS) and waiting(engine) == 0

    # A new pin, on no board yet, by a worker that does not lead.
    await understood(engine, NEW)
    began = time.monotonic()
    engine.pinsage.arrived([NEW])
    assert waiting(engine) == 1
    await all_of(Convolving(engine, engine.pinsage), leads=False)
    await until(engine, NEW, lambda vector: vector is not None)
    print(f"\nunderstood → vector of its neighbourhood in Milvus: {time.monotonic() - began:.2f} s")
    alone = (await vectors(engine, NEW))[NEW]
    assert np.linalg.norm(alone) == pytest.approx(1, abs=1e-4)

    # Saves put it on boards: whoever leads sees that by itself.
    for board in (1, 3):
        save = {"pinner": SAVER, "pin": NEW, "board": board, "time": NOW, "event_id": f"s{board}"}
        remember(engine.state, "saves", save)
    work = Convolving(engine, engine.pinsage)
    began = time.monotonic()
    await all_of(work)
    await until(engine, NEW, lambda vector: vector is not None and vector @ alone < 0.999)
    print(f"save → another vector in Milvus: {time.monotonic() - began:.2f} s")

    remember(engine.state, "pins", {"type": "deleted", "pin": NEW, "pinner": 7, "time": NOW + 1})
    await all_of(work)
    await until(engine, NEW, lambda vector: vector is None)
    rows = await engine.events.query("SELECT model FROM pinsage FINAL WHERE pin = 90")
    assert rows["model"].tolist() == [""]


async def test_a_restart_does_nothing_again_and_finds_what_was_left(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.pinsage is not None
    monkeypatch.setattr(pinsage_convolving, "PAGE", 10)
    monkeypatch.setattr(pinsage_convolving, "_LACK", pinsage_convolving._LACK.replace("LIMIT 2000", "LIMIT 10"))
    work = Convolving(engine, engine.pinsage)
    for _ in range(2):
        await work.work(leads=True)
    done = await engine.pinsage.vectors.count(COLLECTION)
    assert 0 < done < len(PINS)
    engine.pinsage = PinSage(engine.pinsage.vectors, engine.metrics)  # as after a kill
    work = Convolving(engine, engine.pinsage)
    for _ in range(20):
        await work.work(leads=True)
    assert await engine.pinsage.vectors.count(COLLECTION) == len(PINS)
    changed = await engine.events.query("SELECT max(changed) AS last, count() AS n FROM pinsage")
    work = Convolving(engine, engine.pinsage)
    for _ in range(5):
        await work.work(leads=True)
    again = await engine.events.query("SELECT max(changed) AS last, count() AS n FROM pinsage")
    assert (again["last"][0], again["n"][0]) == (changed["last"][0], changed["n"][0]), "nothing was done twice"
    # What another worker has deleted goes, too.
    gone = {"pin": [1], "version": [NOW + 1], "encoder_version": [""], "vector": [[]]}
    await engine.events.insert("pin_vectors", gone)
    remember(engine.state, "pins", {"type": "deleted", "pin": 1, "pinner": 7, "time": NOW + 1})
    await all_of(Convolving(engine, engine.pinsage))
    assert await engine.pinsage.vectors.count(COLLECTION) == len(PINS) - 1


async def test_answers_by_it_and_another_encoder_gives_none(engine: Engine) -> None:
    assert engine.pinsage is not None
    assert len(await related_source(engine, 2, 5)) == 0, "before any has a vector"
    await all_of(Convolving(engine, engine.pinsage))
    await until(engine, 2, lambda vector: vector is not None)
    deadline = time.monotonic() + 10
    while await engine.pinsage.vectors.count(COLLECTION) < len(PINS) and time.monotonic() < deadline:
        await asyncio.sleep(0.2)  # Milvus shows what was written a moment later
    engine.pinsage = PinSage(engine.pinsage.vectors, engine.metrics)
    found = await related_source(engine, 2, 5)
    assert len(found) == 5 and 2 not in found.pins and (np.diff(found.scores) <= 0).all()
    assert sum(pin % 2 == 0 for pin in found.pins.tolist()) >= 4, "its like"

    saves = [{"pinner": SAVER, "pin": pin, "board": 99, "time": NOW, "event_id": f"a{pin}"} for pin in (2, 4)]
    remember(engine.state, "saves", *saves)
    ask = ask_of(engine.state, engine.vector_cache, SAVER, NOW, Choices(), 0)
    (mine, nobodys) = await slate_source(engine, [ask, replace(ask, seeds=ask.seeds[:0])])
    assert len(mine) and not {2, 4} & {*mine.pins.tolist()} and len(nobodys) == 0

    engine.encoder = "encoder_3"
    assert len(await related_source(engine, 2, 5)) == 0
    engine.encoder = "encoder"
    held, engine.pinsage = engine.pinsage, None
    assert len(await related_source(engine, 2, 5)) == 0 and len((await slate_source(engine, [ask]))[0]) == 0
    engine.pinsage = held


async def test_while_a_part_is_gone_pins_wait(engine: Engine) -> None:
    assert engine.pinsage is not None
    work = Convolving(engine, engine.pinsage)
    here: Any = engine.models
    away = engine.models = TritonModels(replace(engine.settings, triton="127.0.0.1:9"))
    engine.pinsage.arrived([3, 5])
    assert await convolve(work, leads=True) >= 1 and waiting(engine) >= 2
    await away.close()
    engine.models = here
    apart = engine.pinsage.vectors
    engine.pinsage.vectors = engine.vectors.__class__(nowhere(engine.settings.home)).alone(COLLECTION)
    assert await convolve(work, leads=True) >= 1 and waiting(engine) >= 2
    await engine.pinsage.vectors.close()
    engine.pinsage.vectors = apart
    await all_of(work)
    assert waiting(engine) == 0 and await apart.count(COLLECTION) == len(PINS)
    # Pins of another encoder are not for this network.
    engine.encoder = "encoder_3"
    assert await work.work(leads=True) == LOOK

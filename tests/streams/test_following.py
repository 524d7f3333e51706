"""What a worker learns from ClickHouse: what others wrote, whatever its clock says, and what it sent before it died."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace as replace_slate

import streams.tail
from infra.migrate import migrate
from operators.slate.slate import Item, Slate, encode, slate_id
from streams.engine import Engine
from streams.opening import remembered
from streams.outputs import reach_broker
from streams.resuming import resume
from streams.settings import EMBEDDED, Settings
from streams.state import HotState
from streams.stores.protocols import StoreUnavailable
from streams.tail import Folded, Tail, catch_up
from tests.clickhouse_process import EmbeddedServer, engagement, token
from tests.integration.running import until
from tests.streams.serving import make_engine, nowhere

pytestmark = pytest.mark.real
MINE = ("saves", 0)


@pytest.fixture
async def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    """An engine on a ClickHouse of its own; Kafka is nowhere."""
    with EmbeddedServer(tmp_path / "clickhouse") as server:
        monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
        engine = make_engine(replace(nowhere(tmp_path), clickhouse=EMBEDDED))
        await migrate(engine.events)
        yield engine
        await engine.events.close()


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_others_are_followed_with_a_clock_that_is_off(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Rows are stamped by ClickHouse's clock, so they are asked for by it."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + step)
    engine.folded = await Folded.load(engine.events)
    tail = Tail(engine)
    for pin in (1, 2):
        await tail.follow([("pins", 0)])
        await engine.events.insert("pins", {"pin": [pin], "version": [1_760_000_000_000], "pinner": [7], "board": [3]})
    await tail.follow([("pins", 0)])
    assert engine.state.catalogue.known(np.array([1, 2], np.int64)).all()


async def test_who_gets_every_partition_looks_once_more(engine: Engine) -> None:
    """What the last holders wrote before this worker had them; afterwards there is nothing to ask for."""
    everything = {("pins", 0), ("pins", 1)}
    engine.folded = await Folded.load(engine.events)
    tail = Tail(engine)
    for pin in (1, 2, 3):
        await engine.events.insert("pins", {"pin": [pin], "version": [1_760_000_000_000], "pinner": [7], "board": [3]})
        if pin < 3:
            tail.partitions_came()
        if pin == 1:  # a rebalance, in the middle of which it has none
            await tail.keep_up(set(), everything)
            assert not engine.state.catalogue.known(np.array([1], np.int64)).any()
        await tail.keep_up(everything, everything)
    assert engine.state.catalogue.known(np.array([1, 2, 3], np.int64)).tolist() == [True, True, False]


async def test_a_look_that_failed_is_still_owed(engine: Engine, tmp_path: Path) -> None:
    everything = {("pins", 0)}
    tail, there = Tail(engine), engine.events
    tail.partitions_came()
    engine.events = make_engine(nowhere(tmp_path)).events
    with pytest.raises(StoreUnavailable):
        await tail.keep_up(everything, everything)
    engine.events = there
    await there.insert("pins", {"pin": [1], "version": [1_760_000_000_000], "pinner": [7], "board": [3]})
    await tail.keep_up(everything, everything)
    assert engine.state.catalogue.known(np.array([1], np.int64)).all()


async def test_partitions_that_come_end_the_pause(engine: Engine) -> None:
    tail = Tail(engine)
    pause = asyncio.create_task(tail.pause(3600))
    await asyncio.sleep(0)
    tail.partitions_came()
    await asyncio.wait_for(pause, 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(tail.pause(3600), 0.1)


async def test_what_is_read_twice_at_once_is_folded_once(engine: Engine) -> None:
    """At a rebalance a partition is followed and taken up in the same moment."""
    rows = engagement(0, 3000)
    await engine.events.insert("engagement", rows, token=token(rows))
    await asyncio.gather(*(catch_up(engine, ("saves", 0)) for _ in range(3)), catch_up(engine, ("saves", 0), 2999))
    fresh = HotState()
    await fresh.load(engine.events)
    pins = np.unique(rows["pin"])
    mine, rebuilt = (state.quality.pins(pins, fresh.now) for state in (engine.state, fresh))
    np.testing.assert_allclose(mine.exposure, rebuilt.exposure, rtol=1e-9)
    assert engine.folded.last["saves", 0] == 2999


async def test_whom_another_worker_erased_leaves_this_memory_too(engine: Engine) -> None:
    rows = engagement(0, 3000)
    await engine.events.insert("engagement", rows, token=token(rows))
    await catch_up(engine, ("saves", 0))
    gone, stays = np.unique(rows["pinner"][rows["pinner"] > 0])[:2].tolist()
    memory = engine.state.recent
    assert len(memory.actions(gone).pins) and len(memory.actions(stays).pins)
    engine.schedule.due(*(np.array([one]) for one in (gone, 1, 1)), 0.0)
    asked = {"pinner": [gone], "version": [1_760_000_000_000], "deleted": [1], "interests": [[]]}
    await engine.events.insert("pinners", asked)
    tail = Tail(engine)
    await tail.follow([("pinners", 0)])
    assert not len(memory.actions(gone).pins) and len(memory.actions(stays).pins)
    assert not len(engine.schedule) and engine.erased.mask(np.array([gone, stays])).tolist() == [True, False]
    came = engine.erased.changes
    await engine.erased.load(engine.events)
    assert engine.erased.changes == came, "nobody else was erased meanwhile"
    again = asked | {"version": [1_760_000_000_001], "deleted": [0]}
    await engine.events.insert("pinners", again)
    for _ in range(2):
        await tail.follow([("pinners", 0)])
    assert not engine.erased.mask(np.array([gone])).any(), "who signs up anew counts again"


@pytest.mark.parametrize("rows_at_once", [1_000_000, 500])
async def test_several_partitions_are_followed_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    """What is new in each is folded once, whether it comes in one answer or in many."""
    monkeypatch.setattr(streams.tail, "CHUNK", rows_at_once)
    tail, others = Tail(engine), [("saves", 0), ("saves", 1), ("clicks", 3), ("clicks", 0)]
    pins = np.zeros(0, np.int64)
    for first in (0, 900):
        for topic, number in others[:3]:
            rows = engagement(first, 900, topic=topic, partition=number)
            pins = np.union1d(pins, rows["pin"])
            await engine.events.insert("engagement", rows, token=token(rows))
        await tail.follow(others)
    await tail.follow(others)
    fresh = HotState()
    await fresh.load(engine.events)
    mine, rebuilt = (state.quality.pins(pins, fresh.now) for state in (engine.state, fresh))
    np.testing.assert_allclose(mine.exposure, rebuilt.exposure, rtol=1e-9)
    assert engine.folded.last == dict.fromkeys(others[:3], 1_799)


async def test_a_slate_that_went_out_before_the_crash_is_not_made_again(
    engine: Engine, kafka: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It went to Kafka, and the worker died before it wrote the row: the row is made from what went out."""
    engine.settings = replace(engine.settings, kafka=kafka.kafka_bootstrap)
    outputs = type(engine.outputs)(engine.settings)
    now = int(time.time() * 1000)
    rows = engagement(0, 40) | {"logged": np.arange(now - 40, now), "kind": np.full(40, 4, np.uint8)}
    rows |= {"pinner": np.repeat([7501001, 7501002], 20)}
    await engine.events.insert("engagement", rows, token=token(rows))
    trigger, other = int(rows["event_id"][19]), int(rows["event_id"][39])
    sent = Slate(
        slate=slate_id(7501001, trigger), pinner=7501001, trigger_event=trigger, now=now, trigger_logged=now - 21,
        emitted=now, items=[Item(11, 1.0, {"fresh": 1.0})], seed=1,
    )  # fmt: skip
    earlier = replace_slate(sent, slate=slate_id(7501002, 5), pinner=7501002, trigger_event=5, trigger_logged=now - 900)
    outputs.send("feed.candidates", 7501002, encode(earlier))  # and 7501002 has acted again since
    outputs.send("feed.candidates", 7501001, encode(sent))
    await outputs.flush()
    await resume(engine, [("saves", 1)])
    assert not engine.schedule.take(time.monotonic() + 1), "those partitions are another worker's"
    await engine.ledger.last(MINE)
    await resume(engine, [MINE])
    await engine.slate_writer.finish()
    kept = await engine.events.query("SELECT slate, pins FROM slates WHERE pinner IN (7501001, 7501002)")
    assert set(kept["slate"].tolist()) == {sent.slate, earlier.slate}
    assert kept["pins"][0].tolist() == [11]
    due = until("the other is due", lambda: engine.schedule.take(time.monotonic()), 10)
    assert [(entry.pinner, entry.event_id) for entry in due] == [(7501002, other)]
    await resume(engine, [MINE])
    due = until("the other is due again, as it never went out", lambda: engine.schedule.take(time.monotonic()), 10)
    assert [entry.pinner for entry in due] == [7501002]


async def test_an_open_port_is_no_broker(tmp_path: Path) -> None:
    """A worker that starts now must wait: a proxy or a dying broker takes connections and drops them."""

    async def drop(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(drop, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with pytest.raises(StoreUnavailable):
        await reach_broker(replace(nowhere(tmp_path), kafka=address))
    server.close()


async def test_a_broker_is_reached(kafka: Settings) -> None:
    await reach_broker(kafka)


async def test_without_kafka_what_was_due_is_made_again(engine: Engine) -> None:
    now = int(time.time() * 1000)
    rows = engagement(0, 1) | {
        "logged": np.array([now]),
        "kind": np.array([4], np.uint8),
        "pinner": np.array([7501001]),
    }
    await engine.events.insert("engagement", rows, token=token(rows))
    await engine.ledger.last(MINE)
    await resume(engine, [MINE])
    due = until("it is due", lambda: engine.schedule.take(time.monotonic()), 10)
    assert [entry.pinner for entry in due] == [7501001]


async def test_a_start_reads_all_sums_as_of_one_moment_while_another_worker_writes(engine: Engine) -> None:
    """What memory holds after a start, and then follows from where it says, is what the ledger holds: nothing twice."""
    claims = await engine.events.claim([MINE])
    written = 0

    async def write() -> None:
        nonlocal written
        while written < 6_000:
            rows = engagement(written, 200)
            await engine.events.insert("engagement", rows, token=token(rows), claims=claims)
            written += 200

    writing = asyncio.create_task(write())
    while written < 400:
        await asyncio.sleep(0.01)
    _, engine.folded, engine.state = await remembered(engine.events, engine.settings, engine.erased)
    assert 0 < written < 6_000, "the other still writes"
    await writing
    await catch_up(engine, MINE)
    fresh = HotState()
    await fresh.load(engine.events)
    pins = np.arange(1, 200)
    one, other = (state.quality.pins(pins, fresh.now) for state in (engine.state, fresh))
    np.testing.assert_allclose(one.exposure, other.exposure, rtol=1e-9)
    np.testing.assert_allclose(one.all, other.all, rtol=1e-9)


async def test_stillness_ends_by_itself_and_holds_back_claimed_inserts_only(engine: Engine) -> None:
    claims = await engine.events.claim([MINE])
    rows = engagement(0, 10)
    began = time.monotonic()
    async with engine.events.still(3.0):
        await engine.events.insert("engagement", engagement(900, 5), token="unclaimed")
        assert time.monotonic() - began < 2.5
        await engine.events.insert("engagement", rows, token=token(rows), claims=claims)
        assert time.monotonic() - began >= 3.0
    assert int((await engine.events.query("SELECT count() AS n FROM engagement"))["n"][0]) == 15

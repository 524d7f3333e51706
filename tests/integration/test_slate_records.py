"""Records of slates in a real ClickHouse: written in the background, read after a restart, let go, erased."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from infra.migrate import migrate
from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind
from operators.slate.choices import Choices, Recording
from operators.slate.ordering import Ordering
from streams import slate_memory
from streams.api.slates import explained, stored
from streams.cli import replay_slate
from streams.erasure import Erased
from streams.metrics import Metrics
from streams.recount import recount
from streams.slate_records import SlateRecords
from streams.slate_replay import NoRecord, NoSlate, recorded, replay
from streams.slates import SlateRequest, build_slates, encode_slate, slate_rows
from streams.state import HotState
from streams.stores.clickhouse import ClickHouseHTTP
from tests.clickhouse_process import EmbeddedServer, token
from tests.clickhouse_process import engagement as block
from tests.streams.slates_world import ANN, BOB, NOW, PINS, act, engine_of

pytestmark = pytest.mark.real
KEPT = Recording(per_second=10_000)
CHOICES = Choices(ordering=Ordering(size=12), recording=KEPT, source_seconds=5.0, vectors_seconds=5.0, rank_seconds=5.0)


async def keep(store, engine, slates=20, first=1, choices=CHOICES, pinners=(ANN, BOB), erased=None):
    """Slates of pinners who act at random, in the two tables; returns them."""
    random, metrics = np.random.default_rng(first), Metrics()
    keeper = SlateRecords(store, erased or Erased(), metrics)
    out = []
    for number in range(first, first + slates):
        pinner = pinners[number % len(pinners)]
        act(engine, pinner, Kind.SAVE, int(random.choice(PINS)))
        act(engine, pinner, Kind.IMPRESSION, *random.choice(PINS, 3).tolist())
        engine.models.fails = number % 7 == 0
        records = []
        assert keeper.wants(choices.recording) or not choices.recording.share
        made = await build_slates(engine, [SlateRequest(pinner, number, NOW, NOW)], choices, records=records)
        keeper.write(made, [encode_slate(slate) for slate in made], records)
        out += made
    await store.insert("slates", slate_rows(out))
    while keeper.waiting:
        await keeper._write_some()  # pyright: ignore[reportPrivateUsage]
    return out


async def test_slates_are_replayed_after_a_restart_and_written_twice_are_one(server, store, tmp_path):
    engine = engine_of(tmp_path)
    slates = await keep(store, engine)
    await keep(store, engine_of(tmp_path), slates=3)
    server.kill()
    server.start()
    for slate in slates:
        made = replay(await recorded(store, slate.slate))
        if slate.trigger_event > 3:
            assert made.replayed.slate == slate
        assert made.difference == ""
        told = await stored(SimpleNamespace(events=store), slate.slate)
        assert told.recorded and [place.pin for place in told.items] == [item.pin for item in made.replayed.slate.items]
        assert [place.propensity for place in told.items] == [item.propensity for item in made.replayed.slate.items]
        assert all((place.probabilities is None) == bool(slate.degraded) for place in told.items)
        why = explained(made, told.items[0].pin)
        assert why.reproduced and why.pin is not None and why.pin.trace
    rows = await store.query("SELECT count() AS n, uniqExact(slate) AS slates FROM slate_records FINAL")
    assert int(rows["n"][0]) == int(rows["slates"][0]) == len(slates)
    size = await store.query("SELECT avg(length(record)) AS bytes, any(expires) > now() AS later FROM slate_records")
    print(f"{float(size['bytes'][0]):,.0f} bytes a record of {len(PINS)} candidates")


async def test_what_is_not_there_is_told(store, tmp_path):
    engine = engine_of(tmp_path)
    with pytest.raises(NoSlate, match="No slate 99 is known"):
        await recorded(store, 99)
    off = Choices(ordering=Ordering(size=12), recording=Recording(share=0.0), source_seconds=5, rank_seconds=5)
    (slate,) = await keep(store, engine, 1, 1000, off)
    with pytest.raises(NoRecord, match=r"not kept.*hours ago.*slates\.toml"):
        await recorded(store, slate.slate)
    gone = Recording(days=-1, per_second=10_000)
    old = Choices(ordering=CHOICES.ordering, recording=gone, source_seconds=5, rank_seconds=5)
    (slate,) = await keep(store, engine, 1, 1001, old)
    await store.command("OPTIMIZE TABLE slate_records FINAL")
    with pytest.raises(NoRecord, match="not kept"):
        await recorded(store, slate.slate)
    await store.insert("slate_records", {
        "slate": [slate.slate], "pinner": [ANN], "emitted": [int(time.time() * 1000)],
        "expires": np.array([int(time.time()) + 1000], np.uint32), "record": [b"\x00\xff broken"],
    })  # fmt: skip
    with pytest.raises(NoRecord, match="cannot be read"):
        await recorded(store, slate.slate)


async def test_an_erased_pinners_record_is_not_written(store, tmp_path):
    erased = Erased()
    erased.add(EVE := 77, NOW)
    (slate,) = await keep(store, engine_of(tmp_path), 1, 2000, pinners=(EVE,), erased=erased)
    with pytest.raises(NoRecord):
        await recorded(store, slate.slate)


async def test_more_than_per_second_are_not_kept():
    keeper, many = SlateRecords(None, Erased(), Metrics()), Recording(per_second=2)  # type: ignore[arg-type]
    record = SimpleNamespace(header=SimpleNamespace(choices=SimpleNamespace(recording=many)))
    kept = 0
    for slate in range(300):
        if keeper.wants(many):
            before = keeper._room  # pyright: ignore[reportPrivateUsage]
            with pytest.raises(TypeError):  # what stands in for a record cannot be copied: it was taken, then
                keeper.write([SimpleNamespace(slate=slate)], [b""], [record])  # type: ignore[list-item]
            kept += keeper._room < before  # pyright: ignore[reportPrivateUsage]
    assert 120 <= kept <= 125, "a minute's worth"


async def test_the_command_replays_and_says_what_is_missing(server, store, tmp_path, monkeypatch):
    (slate,) = await keep(store, engine_of(tmp_path), 1, 3000)
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    monkeypatch.setenv("PINSTREAM_HOME", str(tmp_path))

    def run(*arguments):
        return CliRunner().invoke(replay_slate.command, list(arguments))

    result = await asyncio.to_thread(run, str(slate.slate))
    assert result.exit_code == 0 and "bit for bit" in result.output, result.output
    told = json.loads((await asyncio.to_thread(run, str(slate.slate), "--json")).output)
    assert told["reproduced"] and told["places"] == len(slate.items)
    missing = await asyncio.to_thread(run, "98")
    assert missing.exit_code == 1 and "No slate 98 is known" in missing.output


async def test_rewards_in_memory_are_what_a_start_reads_and_what_a_recount_says(server: EmbeddedServer, tmp_path: Path):
    outside = ClickHouseHTTP(server.url)
    await outside.command("CREATE DATABASE rewards")
    await outside.close()
    store = ClickHouseHTTP(server.url, database="rewards")
    await migrate(store)
    engine = engine_of(tmp_path)
    slates = await keep(store, engine, 20, 4000)
    live = HotState()
    slate_memory.remember(live, slates)
    pins = [item.pin for slate in slates for item in slate.items]
    for number in range(3):
        rows = block(number * 200, 200)
        random = np.random.default_rng(number)
        rows["pinner"] = random.choice([ANN, BOB, 5], 200)
        rows["pin"] = random.choice(pins, 200)
        rows["surface"] = np.ones(200, np.uint8)
        rows["logged"] = np.full(200, int(time.time() * 1000) + 2_000)
        columns = {name: np.asarray(rows[name]) for name in ENGAGEMENT_COLUMNS if name in rows}
        events = live.shown.attributed(Engagement(Source("saves", 0, 0, 199), **columns))
        live.rewards.update(events)
        assert np.count_nonzero(events.sources) > 50
        stored_rows = rows | {"sources": events.sources}
        await store.insert("engagement", stored_rows, token=token(rows))
        await store.insert("engagement", stored_rows, token=token(rows))
    started = HotState()
    await slate_memory.load(started, store)
    for pinner in (ANN, BOB, 5):
        assert (started.rewards.of(pinner) == live.rewards.of(pinner)).all()
    assert live.rewards.of(ANN).sum() > 0 and (started.rewards.everybody == live.rewards.everybody).all()
    again = replace(events, sources=np.zeros(200, np.uint32))
    assert (started.shown.attributed(again).sources == live.shown.attributed(again).sources).all()
    following = HotState()
    since = await slate_memory.follow(following, store, 0)
    assert (following.shown.attributed(again).sources == live.shown.attributed(again).sources).all()
    assert await slate_memory.follow(following, store, since) == since
    assert all(table.equal for table in await recount(store)), [t for t in await recount(store) if not t.equal]
    await store.close()

"""Batches that are committed together: as if each had come alone, and nothing of one that was given up."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from operators.batch import Records, Source
from streams.commit import commit_engagement
from streams.engine import Engine
from streams.gathering import ENOUGH, Gathered, Gathering
from streams.opening import close_engine
from streams.settings import EMBEDDED
from streams.stores.clickhouse_http import ClickHouseHTTP
from tests.clickhouse_process import EmbeddedServer
from tests.streams.serving import NOW, make_engine, nowhere, records


def batch(partition: int, first: int = 0, n: int = 1) -> Records:
    return Records.of(
        Source("saves", partition, first, first + n - 1), np.arange(first, first + n), np.full(n, NOW), [b"{}"] * n
    )


async def test_what_comes_within_its_time_is_committed_together_in_its_order() -> None:
    committed: list[list[int]] = []

    def commit(batches: list[Gathered]) -> None:
        committed.append([each.partition[1] for each in batches])
        for each in batches:
            each.stored.set_result(None)

    gathering = Gathering(0.02)
    stored = [gathering.take(batch(partition), commit) for partition in (2, 0, 1)]
    assert committed == [] and gathering.holds(("saves", 0)) and gathering.pending(("saves", 0)) is stored[1]
    await asyncio.wait_for(asyncio.gather(*stored), 1)
    assert committed == [[2, 0, 1]]
    assert not gathering.holds(("saves", 0)) and gathering.pending(("saves", 0)) is None
    gathering.take(batch(3), commit)
    gathering.take(batch(4, n=ENOUGH), commit)
    assert committed[1:] == [[3, 4]], "a large one does not wait"
    await asyncio.sleep(0.05)
    assert len(committed) == 2


async def test_what_is_given_up_is_not_committed_and_a_failure_is_told_to_all() -> None:
    def fail(batches: list[Gathered]) -> None:
        raise ValueError(f"{len(batches)} batches")

    gathering = Gathering(0.01)
    given_up, other = gathering.take(batch(0), fail), gathering.take(batch(1), fail)
    gathering.give_up([("saves", 0)])
    assert given_up.cancelled()
    with pytest.raises(ValueError, match="1 batches"):
        await asyncio.wait_for(other, 1)


async def test_a_batch_with_dead_letters_is_stored_when_they_are_sent_and_the_next_waits_for_them() -> None:
    loop = asyncio.get_running_loop()
    gathering, sent, said = Gathering(), asyncio.Event(), list[str]()
    stored, written = loop.create_future(), loop.create_future()

    async def send() -> None:
        await sent.wait()
        said.append("sent")

    gathering.also(stored, written, send())
    room = asyncio.create_task(gathering.room())
    await asyncio.sleep(0.01)
    assert not stored.done() and not room.done()
    sent.set()
    await asyncio.wait_for(room, 1)
    assert said == ["sent"] and not stored.done(), "the next need not wait until this one is written"
    written.set_result(None)
    await asyncio.wait_for(stored, 1)
    lost, given_up = loop.create_future(), loop.create_future()
    gathering.also(lost, given_up, send())
    given_up.cancel()
    await asyncio.sleep(0.01)
    assert lost.cancelled(), "its partition is another worker's"


def world() -> list[Records]:
    """Small batches of two topics and three partitions; one event is there twice, in different batches."""
    out: list[Records] = []
    for number in range(12):
        topic, partition, first = ("saves", "impressions")[number % 2], number % 3, number
        event = {"pinner": 40 + number % 5, "pin": 7 + number % 4, "time": NOW + number, "event_id": f"e{number % 11}"}
        event |= {"board": 3} if topic == "saves" else {"surface": "home", "position": 1}
        made = records(topic, event)
        source = Source(topic, partition, first, first)
        out.append(replace(made, source=source, offsets=np.array([first])))
    return out


async def told(store: ClickHouseHTTP, engine: Engine) -> tuple[list[object], list[object]]:
    rows = await store.query("SELECT topic, partition, offset, pinner, pin, event_id FROM engagement ORDER BY ALL")
    stored = [column.tolist() for column in rows.values()]
    state = engine.state
    memory: list[object] = [state.recent.saved(pinner).pins.tolist() for pinner in range(40, 45)]
    memory += [np.sort(state.recent.seen(pinner)).tolist() for pinner in range(40, 45)]
    memory += [state.now, state.taken, engine.folded.last, len(engine.schedule)]
    return stored, memory


@pytest.mark.real
async def test_together_or_alone_the_rows_and_the_memory_are_the_same(
    server: EmbeddedServer, store: ClickHouseHTTP, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    found: list[tuple[list[object], list[object]]] = []
    for seconds in (0.0, 0.01):
        await store.command("TRUNCATE TABLE engagement")
        engine = make_engine(nowhere(tmp_path, clickhouse=EMBEDDED))
        engine.gathering = Gathering(seconds)
        futures = [await commit_engagement(engine, each) for each in world()]
        assert engine.gathering.holds(("saves", 0)) is bool(seconds)
        again = await commit_engagement(engine, world()[0])
        assert again is engine.gathering.pending(("saves", 0)), "what comes again waits with what came"
        await asyncio.sleep(5 * seconds)
        await engine.writer.run(lambda: True)
        assert all(future is not None and future.done() for future in futures)
        found.append(await told(store, engine))
        await close_engine(engine)
    assert found[0] == found[1] and len(found[0][0][0]) == 11  # type: ignore[arg-type]

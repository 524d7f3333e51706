"""What was learned outlives a worker: what is restored is what would be there without a restart, bit for bit."""

from __future__ import annotations

import logging
import resource
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from operators.pin2vec import pin2vec
from operators.pin2vec.pin2vec import LAG_MS, Pin2Vec
from streams import rebuild, related_memory
from streams.engagement_writer import block_columns
from streams.engine import Engine
from streams.erasure import Erased
from streams.learned import Learned, find
from streams.learned_keeping import Keeping
from streams.saves_model import learn
from streams.state import HotState
from streams.stores.clickhouse_http import ClickHouseHTTP
from tests.streams.serving import make_engine, nowhere
from tests.streams.test_related_memory import START, batch, posted

pytestmark = pytest.mark.real

#: Actions that may wait, more than come in the 20 seconds until they are learned; and raw rows that a start reads.
MOST, ROWS = 2_500, 2_400
#: Batches of 60 actions.
BATCHES, HALF = 240, 120
#: An id whose bytes are those of nothing else in a file.
ANN = 2**61 + 123_456_789
EVER = START + 10**9 + LAG_MS


@pytest.fixture
async def empty(store: ClickHouseHTTP) -> ClickHouseHTTP:
    for table in ("engagement", "pins", "pinners"):
        await store.command(f"TRUNCATE TABLE {table}")
    return store


@pytest.fixture
async def engine(empty: ClickHouseHTTP, tmp_path: Path) -> AsyncIterator[Engine]:
    """A worker that has learned from a thousand events, of which ANN did some."""
    made = make_engine(nowhere(tmp_path))
    await made.events.close()
    made.events = empty
    posted(made.state)
    some = batch(0, 0, 1_000)
    some = replace(some, pinner=np.where(some.pinner == some.pinner[0], ANN, some.pinner))
    await empty.insert("engagement", block_columns([some], 1), token=str(1))
    made.state.apply(some)
    await related_memory.learn(made.state, EVER)
    yield made


async def kept(engine: Engine) -> Keeping:
    """Written now; it holds the file."""
    keeping = Keeping(engine, await find(engine.settings, engine.events, HotState()))
    keeping._due = 0.0
    keeping._learned = ()
    await keeping.look(works=True)
    return keeping


async def restarted(engine: Engine) -> tuple[HotState, Learned]:
    state, erased = HotState(), Erased()
    await erased.load(engine.events)
    learned = await find(engine.settings, engine.events, state)
    await state.load(engine.events, learned)
    return state, learned.without(state, erased)


def same(one: HotState, other: HotState) -> bool:
    pairs = ((one.pin2vec, other.pin2vec), (one.next_actions, other.next_actions))
    return all(
        np.array_equal(column, right.snapshot()[name])
        for left, right in pairs
        for name, column in left.snapshot().items()
    )


async def test_restarted_half_way_it_knows_what_it_would_without(
    empty: ClickHouseHTTP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pin2vec, "MOST_WAITING", MOST)
    monkeypatch.setattr(rebuild, "LATEST_ROWS", ROWS)
    engine = make_engine(nowhere(tmp_path))
    await engine.events.close()
    engine.events, live = empty, engine.state
    batches = [batch(partition, first, 100) for first in range(0, 25 * BATCHES, 100) for partition in range(4)]
    stored = 0

    async def store_until(end: int) -> None:
        nonlocal stored
        await empty.insert("engagement", block_columns(batches[stored:end], end), token=str(end))
        stored = end

    async def fold(state: HotState, some: range) -> None:
        for number in some:
            state.apply(batches[number])
            await related_memory.learn(state, int(batches[number].logged.max()) - 5_000)

    posted(live)
    await fold(live, range(HALF))
    # The last four batches are in memory, learned or waiting, and not in ClickHouse when the worker dies.
    await store_until(HALF - 4)
    assert live.pin2vec.learned > 2 * MOST and live.pin2vec.waiting
    assert (await kept(engine))._lock
    await fold(live, range(HALF, BATCHES))
    await related_memory.learn(live, EVER)

    again, learned = await restarted(engine)
    assert learned.clean and again.pin2vec.learned > 2 * MOST
    # Kafka delivers again what was not stored, and everything later.
    await fold(again, range(HALF - 4, BATCHES))
    await related_memory.learn(again, EVER)
    assert same(live, again)

    # From the same file, when ClickHouse has more by now than was learned then.
    await store_until(HALF + 8)
    again, _ = await restarted(engine)
    await fold(again, range(HALF + 8, BATCHES))
    await related_memory.learn(again, EVER)
    assert same(live, again)
    assert len(live.next_actions) == live.pin2vec.learned

    await store_until(BATCHES)
    anew = HotState()
    await anew.load(empty)
    await related_memory.learn(anew, EVER)
    assert anew.pin2vec.learned < 2 * MOST and not same(live, anew), "the file makes no difference"


async def test_who_is_erased_and_what_is_deleted_meanwhile_is_left_out(engine: Engine) -> None:
    keeping = await kept(engine)
    path = engine.settings.home / "data" / "learned" / "learned.bin"
    assert ANN.to_bytes(8, "little") in path.read_bytes()
    await keeping.finish()
    pins = {name: np.array([value]) for name, value in {"pin": 7, "version": EVER, "deleted": 1, "pinner": 1}.items()}
    await engine.events.insert("pins", pins)
    await engine.events.insert("pinners", {"pinner": [ANN], "version": [EVER], "deleted": [1], "interests": [[]]})
    state, learned = await restarted(engine)
    assert state.pin2vec.learned == engine.state.pin2vec.learned
    assert not state.pin2vec.vectors(np.array([7]))[1].any() and state.pin2vec.vectors(np.array([8]))[1].all()
    assert (
        not state.pin2vec.remembers(np.array([ANN])).any() and not state.next_actions.remembers(np.array([ANN])).any()
    )
    assert not learned.clean
    engine.state = state
    await Keeping(engine, learned).look(works=True)
    assert ANN.to_bytes(8, "little") not in path.read_bytes()


async def test_an_erased_pinner_leaves_the_file_at_once_and_with_it_where_there_is_no_room(engine: Engine) -> None:
    keeping = await kept(engine)
    path = engine.settings.home / "data" / "learned" / "learned.bin"
    bob = int(engine.state.pin2vec.snapshot()["pinners"][1])
    keeping._rested = 0.0
    await keeping.look(works=True)
    before = path.stat().st_mtime_ns
    engine.erased.add(ANN, EVER)
    await keeping.look(works=True)
    assert path.stat().st_mtime_ns > before and ANN.to_bytes(8, "little") not in path.read_bytes()
    assert not engine.state.next_actions.remembers(np.array([ANN])).any()

    engine.erased.add(bob, EVER)
    keeping._rested = 0.0
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, most))
    try:
        await keeping.look(works=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not path.exists()


async def test_a_file_of_no_use_is_named_and_changes_nothing(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    await (await kept(engine)).finish()
    path = engine.settings.home / "data" / "learned" / "learned.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1_000])
    state, learned = await restarted(engine)
    assert not learned.parts and not learned.clean and not state.pin2vec.learned and state.pin2vec.waiting
    assert "cut short" in caplog.text and str(path) in caplog.text

    path.write_bytes(whole)
    other = HotState()
    other.pin2vec = Pin2Vec(replace(other.pin2vec.how, rate=0.01))
    assert (await find(engine.settings, engine.events, other)).parts == {"saves"}
    assert "actions are learned anew" in caplog.text

    await engine.events.command("TRUNCATE TABLE engagement")
    assert not (await find(engine.settings, engine.events, HotState())).parts
    assert "another log" in caplog.text


async def test_one_worker_of_a_home_writes_and_another_after_it(engine: Engine) -> None:
    first = await kept(engine)
    path = engine.settings.home / "data" / "learned" / "learned.bin"
    path.unlink()
    second = await kept(engine)
    assert not second._lock and not path.exists()
    await first.look(works=False)
    await second.look(works=True)
    assert second._lock and path.exists()
    await second.finish()
    assert not second._lock


async def test_what_is_saved_together_is_answered_as_before_without_learning(engine: Engine) -> None:
    random, state = np.random.default_rng(0), HotState()
    engine.state = state
    boards = random.integers(1, 300, 6_000)
    pins = 1_000 + 2 * random.integers(1, 100, 6_000) + boards % 2
    state.board_graph.add(pins, boards)
    while state.together.due:
        await learn(state, engine.pace)
    await (await kept(engine)).finish()
    assert state.together.taste.steps > 10 and not state.together.busy

    again = HotState()
    # ClickHouse gives the same edges in another order, and some that came since.
    order = random.permutation(len(pins))
    again.board_graph.add(np.array([999]), boards[:1])
    again.board_graph.add(pins[order], boards[order])
    (await find(engine.settings, engine.events, again)).take_up(again)
    assert again.together.taste.steps == state.together.taste.steps and not again.together.due
    for seeds in (np.array([1_002, 1_004]), np.array([1_003, 1_005, 1_007])):
        one, other = (each.together.recommend(seeds, 20).pins for each in (state, again))
        assert len(np.intersect1d(one, other)) >= 18
        assert set(one % 2) == {seeds[0] % 2}

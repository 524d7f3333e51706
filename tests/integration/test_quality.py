"""Quality and relevance on the stream, from stored sums, and from the raw rows by SQL: all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import numpy as np
import pytest

from infra.migrate import migrate
from operators.accepted import AcceptedPin
from operators.batch import Engagement, Source
from operators.events import Kind, PinEvent, PinnerEvent
from operators.identity import combined_id
from operators.relevance import relevance, taste
from streams import pin_safety
from streams.engagement_writer import block_columns
from streams.quality_sql import Entity, quality_sql
from streams.relevance_sql import RELEVANCE_SQL
from streams.settings import Settings
from streams.state import HotState, domain_id
from streams.stores.clickhouse import ClickHouseHTTP
from streams.stores.protocols import EventStore
from tests.operators.folded import DAY, START, engagement, take

ROWS, BATCHES, PINS, PINNERS = 30_000, 12, 900, 250
CLOSE = {"rtol": 1e-6, "atol": 1e-6}
pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
async def store(clickhouse: Settings) -> AsyncIterator[EventStore]:
    """The tables, in a database of their own."""
    default = ClickHouseHTTP(clickhouse.clickhouse_http)
    await default.command("DROP DATABASE IF EXISTS quality")
    await default.command("CREATE DATABASE quality")
    own = ClickHouseHTTP(clickhouse.clickhouse_http, database="quality")
    await migrate(own)
    yield own
    await own.close()
    await default.command("DROP DATABASE quality")
    await default.close()


async def write(store: EventStore, batch: Engagement) -> None:
    block = combined_id(batch.source.name)
    await store.insert("engagement", block_columns([batch], block), token=str(block))


async def write_pins(store: EventStore, state: HotState, events: list[PinEvent]) -> None:
    """What the catalogue agent does: fold, then store what was accepted."""
    accepted = state.apply_pins(list(enumerate(events)))
    kept = [event for event, took in zip(events, accepted, strict=True) if took]
    pins = np.array([event.pin for event in kept], np.int64)
    await store.insert(
        "pins",
        {
            "pin": pins,
            "version": np.array([event.time for event in kept], np.int64),
            "deleted": np.array([event.type == "deleted" for event in kept], np.uint8),
            "pinner": np.array([event.pinner or 0 for event in kept], np.int64),
            "board": np.array([event.board or 0 for event in kept], np.int64),
            "domain_id": np.array([domain_id(event.domain) for event in kept], np.int64),
            "created": state.catalogue.created(pins),
        },
    )


async def follow(store: EventStore, state: HotState, event: PinnerEvent) -> None:
    state.apply_pinner(event)
    rows = len(event.pinners)
    await store.insert(
        "follows",
        {
            "follower": np.full(rows, event.pinner, np.int64),
            "followed": np.array(event.pinners, np.int64),
            "active": np.full(rows, event.type == "followed", np.uint8),
            "version": np.full(rows, event.time, np.int64),
        },
    )


@pytest.fixture(scope="module")
async def streamed(store: EventStore) -> HotState:
    """Pins, follows and engagement (late, repeated, of unknown pins, of followers) through fold and store."""
    random, state = np.random.default_rng(11), HotState()

    def pin(number: int, time: int) -> PinEvent:
        owner, board = int(random.integers(1, 40)), int(random.integers(0, 60))
        domain = f"site{random.integers(0, 25)}.example" if random.random() < 0.8 else ""
        return PinEvent(type="created", pin=number, time=time, pinner=owner, board=board, domain=domain)

    # A tenth of the pins is never announced.
    announced = [pin(number, START + number) for number in range(1, PINS * 9 // 10)]
    await write_pins(store, state, announced)
    for pinner in range(1, PINNERS):
        followed = random.choice(np.arange(1, 40), 6, replace=False).tolist()
        await follow(store, state, PinnerEvent(type="followed", pinner=pinner, pinners=followed, time=START))
        await follow(store, state, PinnerEvent(type="unfollowed", pinner=pinner, pinners=followed[:2], time=START + 1))

    everything = engagement(ROWS, 12, pins=PINS, pinners=PINNERS, days=45, attributed=0)
    repeated = np.concatenate([np.arange(ROWS), random.integers(0, ROWS, ROWS // 10)])
    for number, rows in enumerate(np.array_split(repeated, BATCHES)):
        if number == BATCHES // 2:
            # Pins change hands, home board and site in the middle of it, and some are deleted.
            moved = [pin(int(one), START + DAY + number) for one in random.integers(1, 200, 40)]
            gone = [PinEvent(type="deleted", pin=int(one), time=START + 2 * DAY) for one in range(300, 340)]
            await write_pins(store, state, moved + gone)
        first = int(1000 * number)
        batch = replace(take(everything, rows), source=Source("saves", number % 3, first, first + len(rows) - 1))
        batch = replace(batch, offset=first + np.arange(len(rows)))
        fresh = take(batch, np.flatnonzero(state.duplicates.admit(batch.event_id)))
        fresh = state.catalogue.enrich(fresh, state.follows)
        await write(store, fresh)
        await write(store, fresh)  # as after a crash: the same batch again counts once
        state.apply(fresh)
    # Some pictures are judged, twice, one of them of a pin without events; then some show nothing.
    for version, least in ((1, 0.0), (2, 0.3)):
        judged = [
            (AcceptedPin(pin=number, version=version), number % 9 > 0, float(random.uniform(least, 1)))
            for number in (*range(version, PINS, 4), PINS + 77)
        ]
        await pin_safety.keep(state.safety, store, [(p, shows, u if shows else None) for p, shows, u in judged], "1")
    counted = await store.query("SELECT count() AS n, sum(is_follower) AS f, countIf(owner = 0) AS o FROM engagement")
    assert counted["n"][0] == ROWS
    assert counted["f"][0] > 1_000
    assert counted["o"][0] > 1_000
    return state


@pytest.fixture(scope="module")
async def loaded(store: EventStore, streamed: HotState) -> HotState:
    state = HotState()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.rebuild.CHUNK_ROWS", ROWS // 4)  # so that it takes several chunks
        await state.load(store)
    return state


async def recounted(store: EventStore, entity: Entity, now: int) -> dict[str, np.ndarray]:
    return await store.query(quality_sql(entity), {"now": now})


@pytest.mark.parametrize("origin", ["streamed", "loaded"])
@pytest.mark.parametrize("later", [0, 10 * DAY])
async def test_quality_equals_its_recount(
    store: EventStore, streamed: HotState, loaded: HotState, origin: str, later: int
) -> None:
    state = streamed if origin == "streamed" else loaded
    now = state.now + later
    rows = await recounted(store, "pins", now)
    assert len(rows["pin"]) == PINS
    pins = state.quality.pins(rows["pin"], now)
    for column, mine in (("quality", pins.all), ("followers", pins.followers), ("wider", pins.wider)):
        np.testing.assert_allclose(mine, rows[column], **CLOSE)
    np.testing.assert_allclose(pins.exposure, rows["exposure"], **CLOSE)
    assert np.ptp(rows["quality"]) > 1
    leaders = state.quality.leaders(10, now)
    assert leaders.quality.tolist() == pytest.approx(sorted(rows["quality"], reverse=True)[:10])

    rows = await recounted(store, "pinners", now)
    assert len(rows["pinner"]) >= PINNERS - 1
    pinners = state.quality.owners(rows["pinner"], now)
    # Exposure is what the statement weighs pins with, and no column of its answer.
    for column in set(pinners._fields) - {"exposure"}:
        np.testing.assert_allclose(getattr(pinners, column), rows[column], **CLOSE)

    rows = await recounted(store, "domains", now)
    assert len(rows["domain"]) == 25
    np.testing.assert_allclose(state.quality.domains(rows["domain"], now), rows["quality"], **CLOSE)


async def test_a_loaded_state_answers_as_the_streamed_one(streamed: HotState, loaded: HotState) -> None:
    assert loaded.now == streamed.now
    pins = np.arange(0, PINS + 2)
    for name in ("known", "is_deleted", "boards", "created", "versions"):
        one, other = getattr(loaded.catalogue, name)(pins), getattr(streamed.catalogue, name)(pins)
        assert np.array_equal(one, other), name
    scores = loaded.safety.scores(np.arange(0, PINS + 99))
    np.testing.assert_array_equal(scores, streamed.safety.scores(np.arange(0, PINS + 99)))
    assert 300 < np.isfinite(scores).sum() < 500 and np.isfinite(scores[PINS + 77])
    facts = zip(loaded.catalogue.facts(pins), streamed.catalogue.facts(pins), strict=True)
    assert all(np.array_equal(one, other) for one, other in facts)
    assert loaded.catalogue.newest(50).tolist() == streamed.catalogue.newest(50).tolist()
    assert streamed.catalogue.is_deleted(pins).sum() == 40
    best, same = loaded.trending.top(50, loaded.now), streamed.trending.top(50, streamed.now)
    np.testing.assert_allclose(best.scores, same.scores, **CLOSE)
    one, other = (dict(zip(top.pins.tolist(), top.scores.tolist(), strict=True)) for top in (best, same))
    # Equal but for the last digit: which of two comes first, or still among the fifty, is chance.
    for pin in one | other:
        assert one.get(pin, best.scores[-1]) == pytest.approx(other.get(pin, same.scores[-1]), rel=1e-9)
    assert len(loaded.board_graph) == len(streamed.board_graph)
    everything = {"max_boards": 10**6, "max_pins_per_board": 10**6}
    for seed in range(1, 60):
        seeds = np.array([seed, seed + 100])
        one, other = (state.board_graph.related(seeds, np.ones(2), PINS, **everything) for state in (loaded, streamed))
        assert set(one.pins.tolist()) == set(other.pins.tolist())
        np.testing.assert_allclose(one.scores, other.scores, **CLOSE)
    for pinner in range(PINNERS + 2):
        assert loaded.catalogue.pins_of(pinner, 9).tolist() == streamed.catalogue.pins_of(pinner, 9).tolist()
        assert loaded.follows.followed_by(pinner).tolist() == streamed.follows.followed_by(pinner).tolist()
        for name in ("actions", "saved", "seen", "hidden", "last_active"):
            one, other = getattr(loaded.recent, name)(pinner), getattr(streamed.recent, name)(pinner)
            assert all(np.array_equal(a, b) for a, b in zip(np.atleast_2d(one), np.atleast_2d(other), strict=True))
    ids = engagement(ROWS, 12, pins=PINS, pinners=PINNERS, days=45, attributed=0).event_id
    assert not loaded.duplicates.admit(ids).any()


async def test_an_empty_ledger_loads_an_empty_state(clickhouse: Settings) -> None:
    default = ClickHouseHTTP(clickhouse.clickhouse_http)
    await default.command("CREATE DATABASE empty_quality")
    own = ClickHouseHTTP(clickhouse.clickhouse_http, database="empty_quality")
    await migrate(own)
    state = HotState()
    await state.load(own)
    assert state.now == 0
    assert len(state.quality) == len(state.catalogue) == len(state.recent) == 0
    await own.close()
    await default.command("DROP DATABASE empty_quality")
    await default.close()


async def test_relevance_equals_its_recount(store: EventStore, streamed: HotState) -> None:
    random = np.random.default_rng(13)
    pins = np.arange(1, PINS // 2)  # half of the saves have no vector
    vectors = random.normal(size=(len(pins), 32)).astype(np.float32)
    await store.insert(
        "pin_vectors",
        {
            "pin": pins,
            "version": np.ones(len(pins), np.int64),
            "encoder_version": ["1"] * len(pins),
            "vector": list(vectors),
        },
    )
    for pinner in (1, 2, 3):
        saved = streamed.recent.saved(pinner)
        known = saved.pins < PINS // 2
        assert 0 < known.sum() < len(known)
        assert (saved.kinds == Kind.SAVE).all()
        mine = relevance(taste(saved.times[known], vectors[saved.pins[known] - 1]), vectors)
        rows = await store.query(RELEVANCE_SQL, {"pinner": pinner, "pins": pins, "encoder": "1"})
        order = np.argsort(rows["pin"])
        assert np.array_equal(rows["pin"][order], pins)
        np.testing.assert_allclose(mine, rows["relevance"][order], **CLOSE)
    rows = await store.query(RELEVANCE_SQL, {"pinner": 10**9, "pins": pins[:5], "encoder": "1"})
    assert rows["relevance"].tolist() == [0] * 5

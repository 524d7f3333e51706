"""What memory keeps for related pins equals a fresh build from the log: vectors bit for bit, sums exactly."""

from __future__ import annotations

import numpy as np
import pytest

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind, PinEvent, Surface
from operators.pin2vec.pin2vec import LAG_MS
from operators.related.memboost import related_slate
from streams import related_memory
from streams.engagement_writer import block_columns
from streams.recount import recount
from streams.state import HotState
from streams.stores.clickhouse_http import ClickHouseHTTP

START = 1_750_000_000_000
PINS = np.arange(1, 61)


def batch(partition: int, first: int, n: int) -> Engagement:
    """Events of one partition, logged in order; half of them were seen among a pin's related pins."""
    random = np.random.default_rng([partition, first])
    offsets = np.arange(first, first + n)
    kinds = random.choice([Kind.IMPRESSION, Kind.CLOSEUP, Kind.OUTBOUND_CLICK, Kind.SAVE, Kind.HIDE], n)
    related = random.random(n) < 0.5
    columns = {name: np.zeros(n, np.int64) for name in ENGAGEMENT_COLUMNS}
    columns |= {
        "offset": offsets,
        "logged": START + offsets * 40 + random.integers(0, 30, n),
        "time": START + offsets * 40,
        "event_id": offsets * 10 + partition + 1,
        "kind": kinds.astype(np.uint8),
        "pinner": random.integers(1, 20, n) * 4 + partition,
        "pin": random.choice(PINS, n),
        "board": np.where(kinds == Kind.SAVE, random.integers(1, 40, n), 0),
        "slate": np.where(related, related_slate(random.choice(PINS[:10], n)), random.integers(1, 2**40, n)),
        "position": random.integers(-1, 50, n).astype(np.int16),
        "surface": np.where(related, Surface.RELATED, Surface.HOME).astype(np.uint8),
        "is_follower": np.zeros(n, np.uint8),
    }
    return Engagement(source=Source("saves", partition, first, first + n - 1), **columns)


def posted(state: HotState) -> None:
    state.apply_pins(
        [(row, PinEvent(type="created", pin=int(pin), pinner=1, time=START - 1)) for row, pin in enumerate(PINS)]
    )


@pytest.mark.real
async def test_a_restart_gives_what_a_running_worker_has(store: ClickHouseHTTP) -> None:
    batches = [batch(partition, first, 100) for first in range(0, 1_000, 100) for partition in range(4)]
    live = HotState()
    posted(live)
    random = np.random.default_rng(5)
    for number, each in enumerate(batches):
        await store.insert("engagement", block_columns([each], number + 1), token=str(number + 1))
    # Partitions come as they please, one of them a few seconds behind the others.
    late = sorted(batches, key=lambda each: (each.source.first + 100 * (each.source.partition == 2), random.random()))
    for each in late:
        live.apply(each)
        await related_memory.learn(live, int(each.logged.max()) - 5_000)
    await store.insert(
        "pins",
        {
            "pin": PINS, "version": np.full(60, START - 1), "deleted": np.zeros(60, np.uint8), "pinner": np.ones(60),
            "board": np.zeros(60), "title": [""] * 60, "description": [""] * 60, "link": [""] * 60,
            "domain": [""] * 60, "domain_id": np.zeros(60), "image": [""] * 60, "created": np.full(60, START - 1),
        },
    )  # fmt: skip
    again = HotState()
    await again.load(store)
    assert again.pin2vec.waiting > 2_000 and not again.pin2vec.learned, "a start does not wait for learning"
    for state in (live, again):
        await related_memory.learn(state, START + 10**9 + LAG_MS)
    one, other = live.pin2vec.snapshot(), again.pin2vec.snapshot()
    assert len(live.pin2vec) == 60
    assert all(np.array_equal(one[name], other[name]) for name in one)
    for pin in PINS[:10]:
        following, anew = (state.next_actions.next(np.array([pin]), 1.0, 60) for state in (live, again))
        assert len(following.items) and np.array_equal(following.items, anew.items)
        assert np.array_equal(following.scores, anew.scores)
    for query in PINS[:10].tolist():
        assert np.array_equal(live.memboost.boosts(query, PINS), again.memboost.boosts(query, PINS))
        assert live.memboost.best(query, 60).pins.tolist() == again.memboost.best(query, 60).pins.tolist()
    assert live.memboost.boosts(1, PINS).any()
    compared = {each.table: each for each in await recount(store)}
    assert compared["related_actions"].equal and compared["related_actions"].rows > 100

    # Who was deleted meanwhile, and who was erased, is not learned from.
    gone = HotState()
    posted(gone)
    gone.apply(batches[0])
    gone.apply_pins([(900, PinEvent(type="deleted", pin=1, time=START + 10**7))])
    gone.erase(int(batches[0].pinner[0]))
    await related_memory.learn(gone, START + 10**9)
    assert not gone.pin2vec.vectors(np.array([1]))[1].any()
    assert int(batches[0].pinner[0]) not in gone.pin2vec.snapshot()["pinners"]

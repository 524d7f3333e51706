"""What came of each source's pins: the same in any order, bounded, and put down to the slate that showed the pin."""

from dataclasses import replace

import numpy as np
import pytest

from operators.events import Kind
from operators.slate.candidates import SOURCES
from operators.slate.rewards import Rewards
from operators.slate.shown import LASTS, Shown, mask_of
from tests.operators.folded import START, engagement, shuffled

VISUAL, BOARDS = mask_of(["visual"]), mask_of(["boards", "nowhere"])


def events(*rows):
    """``(pinner, pin, kind, logged)`` of each."""
    made = engagement(len(rows), 0)
    pinner, pin, kind, logged = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return replace(
        made, pinner=pinner, pin=pin, kind=kind.astype(np.uint8), logged=logged, surface=np.ones(len(rows), np.uint8)
    )


def shown(*rows):
    """``(slate, pinner, emitted, pin, sources)`` of each place."""
    memory = Shown()
    memory.add(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))
    return memory


def test_an_event_is_put_down_to_the_newest_slate_before_it():
    memory = shown((1, 7, START, 10, VISUAL), (1, 7, START, 11, VISUAL), (2, 7, START + 60_000, 10, BOARDS))
    rows = [
        (7, 10, Kind.SAVE, START + 30_000),
        (7, 10, Kind.SAVE, START + 90_000),
        (7, 11, Kind.IMPRESSION, START + 90_000),
        (7, 12, Kind.SAVE, START + 90_000),
        (8, 10, Kind.SAVE, START + 90_000),
        (7, 10, Kind.SAVE, START - 90_000),
        (7, 10, Kind.SAVE, START + 60_000 + LASTS + 2_000),
    ]
    attributed = memory.attributed(events(*rows))
    assert attributed.sources.tolist() == [VISUAL, BOARDS, VISUAL, 0, 0, 0, 0]
    elsewhere = replace(events(*rows), surface=np.full(len(rows), 2, np.uint8))
    assert not memory.attributed(elsewhere).sources.any(), "related pins and search are no feeds"


def test_a_slate_again_changes_nothing_and_memory_is_bounded():
    memory = shown((1, 7, START, 10, VISUAL))
    memory.add(*(np.array([each]) for each in (1, 7, START, 10, BOARDS)))
    assert memory.attributed(events((7, 10, Kind.SAVE, START))).sources.tolist() == [VISUAL]
    small = Shown(max_places=4_000)
    for slate in range(1, 3_000):
        n = 25
        small.add(np.full(n, slate), np.full(n, slate), np.full(n, START + slate * 1000), np.arange(n), np.full(n, 1))
    assert small.nbytes < 2_000_000 and len(small) < 300
    late = START + 3_000_000
    assert small.attributed(events((2_999, 3, Kind.SAVE, late), (1, 3, Kind.SAVE, late))).sources.tolist() == [1, 0]


def test_an_erased_pinner_is_forgotten():
    memory = shown((1, 7, START, 10, VISUAL))
    rewards = Rewards()
    rewards.update(memory.attributed(events((7, 10, Kind.SAVE, START), (8, 10, Kind.SAVE, START))))
    memory.erase(7)
    rewards.erase(7)
    assert not memory.attributed(events((7, 10, Kind.SAVE, START))).sources.any()
    assert rewards.of(7).sum() == 0 and rewards.everybody.sum() == 0


def random_events(seed):
    made = engagement(3_000, seed, pinners=9)
    random = np.random.default_rng(seed)
    return replace(made, sources=random.integers(0, 1 << len(SOURCES), 3_000).astype(np.uint32))


@pytest.mark.parametrize("seed", range(3))
def test_any_order_and_a_rebuild_from_sums_give_the_same(seed):
    made = random_events(seed)
    whole, pieces, rebuilt = Rewards(), Rewards(), Rewards()
    whole.update(made)
    for batch in shuffled(made, seed, 7):
        pieces.update(batch)
    everybody = np.zeros_like(whole.everybody)
    for pinner in range(1, 10):
        counts = np.zeros((len(SOURCES), 5), np.int64)
        for kind in Kind:
            mine = made.sources[(made.pinner == pinner) & (made.kind == kind)]
            for at in range(len(SOURCES)):
                counts[at, kind - 1] = int((mine >> at & 1).sum())
        assert (whole.of(pinner) == counts).all() and (pieces.of(pinner) == counts).all()
        rows = np.arange(len(SOURCES))
        rebuilt.load(np.full(len(rows), pinner), rows, counts, np.full(len(rows), START))
        everybody += counts
    rebuilt.load_everybody(np.arange(len(SOURCES)), everybody)
    for each in (whole, pieces, rebuilt):
        assert (each.everybody == everybody).all()
    assert all((rebuilt.of(pinner) == whole.of(pinner)).all() for pinner in range(1, 10))


def test_the_least_lately_active_are_forgotten_but_still_count_for_everybody():
    rewards = Rewards(max_pinners=10)
    for pinner in range(1, 31):
        one = replace(events((pinner, 1, Kind.SAVE, START)), time=np.array([START + pinner]))
        rewards.update(replace(one, sources=np.array([1], np.uint32)))
    assert len(rewards) <= 11
    assert rewards.of(30)[0, 3] == 1 and rewards.of(1).sum() == 0
    assert rewards.everybody[0, 3] == 30

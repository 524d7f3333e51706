"""Recent actions against sorted lists, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import recent_actions
from operators.events import LATEST, Kind
from operators.recent_actions import RecentActions
from operators.rings import TIMES, Rings
from tests.operators.folded import engagement, shuffled, take


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_any_order_keeps_the_latest_of_each_pinner(seed: int, batches: int) -> None:
    events = engagement(4_000, seed, pinners=3, days=0.01)
    folded = RecentActions()
    for batch in shuffled(events, seed + 1, batches):
        folded.update(batch)
    for pinner in (1, 2, 3, 4):
        rows = np.flatnonzero(events.pinner == pinner)
        columns = (events.time[rows].tolist(), events.pin[rows].tolist(), events.kind[rows].tolist())
        history = sorted(zip(*columns, strict=True), reverse=True)
        acted = [row for row in history if row[2] in (Kind.CLOSEUP, Kind.OUTBOUND_CLICK, Kind.SAVE)]
        saved = [row for row in history if row[2] == Kind.SAVE]
        found = folded.actions(pinner)
        shown = list(zip(found.times.tolist(), found.pins.tolist(), found.kinds.tolist(), strict=True))
        assert shown == acted[: recent_actions.ACTIONS]
        assert folded.saved(pinner, 7).pins.tolist() == [row[1] for row in saved[:7]]
        seen = [row[1] for row in history if row[2] == Kind.IMPRESSION]
        assert folded.seen(pinner).tolist() == seen[: recent_actions.SEEN]
        assert folded.hidden(pinner).tolist() == [row[1] for row in history if row[2] == Kind.HIDE]
        pins = np.arange(60)
        assert np.flatnonzero(folded.has_saved(pinner, pins)).tolist() == sorted({row[1] for row in saved})
        assert folded.last_active(pinner) == max((row[0] for row in history), default=0)


def test_erasing_forgets_one_pinner_alone() -> None:
    folded, events = RecentActions(), engagement(2_000, 1, pinners=3)
    folded.update(events)
    other = folded.seen(2).tolist()
    folded.erase(1)
    assert folded.seen(1).tolist() == []
    assert folded.last_active(1) == 0
    assert folded.seen(2).tolist() == other
    folded.update(take(events, np.flatnonzero(events.pinner == 3)[:5]))
    assert folded.seen(2).tolist() == other


def test_the_least_recently_active_pinners_make_room_and_memory_stays() -> None:
    folded, events = RecentActions(max_pinners=50), engagement(60_000, 2, pinners=3_000, days=30)
    events = take(events, np.argsort(events.time))
    sizes: list[int] = []
    for rows in np.array_split(np.arange(len(events)), 60):
        folded.update(take(events, rows))
        assert len(folded) <= 55
        sizes.append(folded.nbytes)
    assert sizes[-1] <= 2 * sizes[20]
    last = int(events.pinner[-1])
    assert folded.last_active(last) == events.time[-1]
    mine = events.pin[(events.pinner == last) & (events.kind == Kind.IMPRESSION)][::-1].tolist()
    seen = folded.seen(last).tolist()
    assert seen == mine[: len(seen)]


def test_rings_keep_rows_under_new_numbers() -> None:
    rings = Rings(8)
    rows = np.repeat(np.arange(5, dtype=np.int32), 20)
    rings.push(rows, np.arange(100), np.arange(100), np.ones(100, np.uint8))
    rings.keep(np.array([1, 4]))
    assert rings.of(0).pins.tolist() == list(range(39, 31, -1))
    assert rings.of(1, 2).pins.tolist() == [99, 98]
    assert rings.of(2).pins.tolist() == []


def test_entries_of_all_pinners_together_are_bounded() -> None:
    folded, events = RecentActions(max_entries=5_000), engagement(60_000, 2, pinners=300, days=30)
    events = take(events, np.argsort(events.time))
    for rows in np.array_split(np.arange(len(events)), 60):
        folded.update(take(events, rows))
        assert folded.nbytes < 1_000_000
    last = int(events.pinner[-1])
    assert folded.last_active(last) == events.time[-1], "the latest to act is still known"
    assert len(folded) < 300


def pushed(rings: Rings, seed: int) -> Rings:
    """Entries in many pushes, with rows that leave and come back."""
    random = np.random.default_rng(seed)
    for _ in range(40):
        n = int(random.integers(1, 200))
        rows = random.zipf(1.4, n).astype(np.int64) % 50
        times = random.choice([0, 1_772_323_200_000, TIMES - 5_000], n) + random.integers(0, 5_000, n)
        rings.push(
            rows.astype(np.int32), times, random.integers(1, 2**62, n), random.integers(0, 8, n).astype(np.uint8)
        )
        rings.clear(int(random.integers(0, 50)))
        if random.random() < 0.1:
            rings.keep(np.sort(random.choice(50, 45, replace=False)))
        if random.random() < 0.3:
            rings.close_up()
    return rings


def entries(rings: Rings) -> list[list[list[int]]]:
    return [[column.tolist() for column in rings.of(row)] for row in range(50)]


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 20, 100]))
def test_brief_entries_hold_what_others_hold(seed: int, limit: int) -> None:
    assert entries(pushed(Rings(limit, brief=True), seed)) == entries(pushed(Rings(limit), seed))


@pytest.mark.parametrize("brief", [True, False])
def test_closing_up_changes_no_entry_and_leaves_nothing_idle(brief: bool) -> None:
    rings = pushed(Rings(100, brief=brief), 3)
    before = entries(rings)
    rings.close_up()
    assert entries(rings) == before
    assert rings._used == rings.held  # pyright: ignore[reportPrivateUsage]
    pushed(rings, 4)


def test_what_brief_entries_have_no_bits_for() -> None:
    """A kind is refused; a time counts as the last one, as an event of the year 9999 must not stop a worker."""
    rings, one = Rings(4, brief=True), np.ones(1, np.int64)
    with pytest.raises(ValueError, match="kinds up to 7"):
        rings.push(np.zeros(1, np.int32), one, one, np.full(1, 8, np.uint8))
    rings.push(np.zeros(1, np.int32), LATEST * one, one, np.ones(1, np.uint8))
    rings.push(np.zeros(1, np.int32), 5 * one, 2 * one, np.ones(1, np.uint8))
    assert rings.of(0).times.tolist() == [TIMES - 1, 5] and rings.of(0).pins.tolist() == [1, 2]


def test_memory_stays_while_pinners_come_and_go() -> None:
    folded, random = RecentActions(max_entries=50_000), np.random.default_rng(5)
    sizes: list[int] = []
    for step in range(200):
        n = 5_000
        # Others are busy at each time, so that segments of all sizes are left behind.
        pinners = 1 + (random.zipf(1.2, n) * 7919 + 31 * (step // 10)) % 3_000
        times = np.full(n, 1_772_323_200_000 + step)
        folded.add(pinners, times, random.integers(1, 10**6, n), np.full(n, Kind.IMPRESSION, np.uint8))
        sizes.append(folded.nbytes)
    assert max(sizes) < 1.6 * 14 * 50_000 + 200 * 3_300, "entries, what lies idle, and pinners"
    assert max(sizes[100:]) <= 1.1 * max(sizes[:100])

"""Memboost against a simulation whose truth is known, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind, Surface
from operators.related.memboost import PLACES, WORTH, Memboost, places, related_slate


def events(query: int, pins: np.ndarray, positions: np.ndarray, kinds: np.ndarray) -> Engagement:
    n = len(pins)
    columns = {name: np.zeros(n, np.int64) for name in ENGAGEMENT_COLUMNS}
    columns |= {"pin": pins, "kind": kinds.astype(np.uint8), "position": positions.astype(np.int16)}
    columns |= {"slate": np.full(n, related_slate(query)), "surface": np.full(n, Surface.RELATED, np.uint8)}
    return Engagement(source=Source("impressions", 0, 0, n), **columns)


def test_a_slate_of_related_pins_is_named_by_its_pin() -> None:
    pins = np.array([1, 7_001, 2**62], np.int64)
    slates = related_slate(pins)
    assert (slates > 0).all() and len(np.unique(slates)) == 3
    assert related_slate(slates).tolist() == pins.tolist() and related_slate(7_001) == slates[1]


def test_places_by_hand() -> None:
    positions = np.array([-1, 0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 32_767], np.int16)
    assert places(positions).tolist() == [0, 1, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7] and places(positions).max() < PLACES


def test_clicks_over_expected_clicks_by_hand() -> None:
    memory = Memboost(doubt=1.0)
    memory.update(events(1, np.array([10, 10, 11, 11]), np.zeros(4), np.full(4, Kind.IMPRESSION)))
    memory.update(events(1, np.array([10, 10]), np.zeros(2), np.full(2, Kind.SAVE)))
    # Four impressions at the top earned two saves: half a save is expected of each.
    assert memory.boosts(1, np.array([10, 11, 12])) == pytest.approx([np.log(3 / 2), np.log(1 / 2), 0.0])
    assert memory.best(1, 5).pins.tolist() == [10]
    assert not len(memory.best(2, 5).pins)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_attractiveness_is_ranked_better_than_by_raw_click_rates(seed: int) -> None:
    random = np.random.default_rng(seed)
    results, rounds = 40, 4_000
    pins = 100 + np.arange(results)
    truth = random.beta(2, 8, results)
    # Who was shown far up says nothing of how good it is, as it is where a ranker errs.
    policy = random.permutation(results)
    memory = Memboost()
    for _ in range(0, rounds, 500):
        order = np.argsort(policy[None, :] + random.gumbel(0, 6, (500, results)), axis=1)
        positions = np.tile(np.arange(results), 500)
        shown = order.ravel()
        clicked = random.random(len(shown)) < truth[shown] * (1.0 + positions) ** -0.7
        memory.update(events(1, pins[shown], positions, np.full(len(shown), Kind.IMPRESSION)))
        memory.update(events(1, pins[shown[clicked]], positions[clicked], np.full(int(clicked.sum()), Kind.SAVE)))
    counts = memory._impressions[: len(memory)].sum(axis=1)
    rate = memory._actions[: len(memory)] / counts
    raw = kendalltau(rate[np.argsort(memory._pair_pin[: len(memory)])], truth).statistic
    boosted = kendalltau(memory.boosts(1, pins), truth).statistic
    assert boosted > raw + 0.1 and boosted > 0.85, (boosted, raw)


def test_little_evidence_is_shrunk() -> None:
    memory = Memboost(doubt=5.0)
    memory.update(events(1, np.repeat([10, 11], 1_000), np.zeros(2_000), np.full(2_000, Kind.IMPRESSION)))
    memory.update(events(1, np.full(200, 10), np.zeros(200), np.full(200, Kind.SAVE)))
    memory.update(events(2, np.array([20]), np.zeros(1), np.full(1, Kind.IMPRESSION)))
    memory.update(events(2, np.array([20]), np.zeros(1), np.full(1, Kind.SAVE)))
    assert 0 < memory.boosts(2, np.array([20]))[0] < memory.boosts(1, np.array([10]))[0]
    assert memory.boosts(2, np.array([99]))[0] == 0.0


def test_any_order_of_the_same_events_gives_the_same_sums_bit_for_bit() -> None:
    random = np.random.default_rng(0)
    n = 3_000
    columns = (random.integers(1, 60, n), random.integers(0, 50, n), random.integers(1, 5, n))
    one, other = Memboost(), Memboost()
    one.update(events(1, *columns))
    for part in np.array_split(random.permutation(n), 17):
        other.update(events(1, *(column[part] for column in columns)))
    pins = np.arange(1, 60)
    assert np.array_equal(one.boosts(1, pins), other.boosts(1, pins))
    assert one.best(1, 60).pins.tolist() == other.best(1, 60).pins.tolist()


def test_memory_is_bounded_and_what_was_shown_least_is_forgotten() -> None:
    memory = Memboost(most_pairs=200)
    often = np.arange(1, 51)
    for query in range(1, 200):
        memory.update(events(1, np.repeat(often, 3), np.zeros(150), np.full(150, Kind.IMPRESSION)))
        memory.update(events(query, np.array([9_000 + query]), np.zeros(1), np.full(1, Kind.IMPRESSION)))
        memory.update(events(query + 500, np.array([3, 4]), np.zeros(2), np.full(2, Kind.IMPRESSION)))
    assert len(memory) <= 220
    memory.update(events(1, often[:1], np.zeros(1), np.full(1, Kind.SAVE)))
    assert memory.best(1, 5).pins.tolist() == [1]


def test_deleted_pins_are_forgotten_as_queries_and_as_results() -> None:
    memory = Memboost()
    for query in (1, 2):
        memory.update(events(query, np.array([10, 11]), np.zeros(2), np.full(2, Kind.SAVE)))
    memory.drop(np.array([2, 11]))
    assert memory.best(1, 5).pins.tolist() == [10] and not len(memory.best(2, 5).pins) and len(memory) == 1


def test_other_surfaces_and_ignored_rows_do_not_count() -> None:
    memory = Memboost()
    some = events(1, np.array([10, 11]), np.zeros(2), np.full(2, Kind.SAVE))
    memory.update(some, ignored=np.array([True, True]))
    some.surface[:] = Surface.HOME
    memory.update(some)
    assert not len(memory)


def test_sums_from_the_store_are_those_of_the_events() -> None:
    random = np.random.default_rng(1)
    n = 2_000
    columns = (random.integers(1, 60, n), random.integers(-1, 50, n), random.integers(1, 5, n))
    live, loaded = Memboost(), Memboost()
    live.update(events(1, *columns))
    pins, positions, kinds = columns
    place, shown = places(positions.astype(np.int16)), (kinds == Kind.IMPRESSION).astype(np.int64)
    loaded.load(np.ones(n, np.int64), pins, place, shown, WORTH[kinds])
    loaded.load_rates(
        np.bincount(place, shown, PLACES).astype(np.int64), np.bincount(place, WORTH[kinds], PLACES).astype(np.int64)
    )
    assert np.array_equal(live.boosts(1, np.arange(60)), loaded.boosts(1, np.arange(60)))

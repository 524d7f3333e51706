"""Pin2Vec: the same vectors whatever the batches, bounded memory, forgetting, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.pin2vec import pin2vec
from operators.pin2vec.pin2vec import LAG_MS, Learning, Pin2Vec
from operators.pin2vec.waiting import Actions

EVER = 2**62
SMALL = Learning(dimensions=16, table=4_096, least=1)
START = 1_750_000_000_000


def actions(n: int, seed: int = 0, topics: int = 4, pins: int = 20, pinners: int = 30) -> Actions:
    """Every pinner likes one topic; pin ids are ``100 · topic + number``."""
    random = np.random.default_rng(seed)
    pinner = random.integers(1, pinners + 1, n)
    pin = 100 * (1 + pinner % topics) + random.integers(0, pins, n)
    logged = START + np.sort(random.integers(0, 60 * n, n))
    return Actions(logged, random.integers(1, 2**62, n), pinner, pin, logged - random.integers(0, 50, n))


def made(events: Actions, how: Learning = SMALL) -> Pin2Vec:
    model = Pin2Vec(how)
    model.add(events)
    model.learn(EVER)
    return model


def same(one: Pin2Vec, other: Pin2Vec) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.snapshot().values(), other.snapshot().values(), strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_batches_and_their_order_do_not_matter_within_the_lag(seed: int) -> None:
    random = np.random.default_rng(seed)
    events = actions(3_000, seed=1)
    whole = made(events)
    # What each partition brings is late by something of its own, less than the lag.
    seen = events.logged + random.integers(0, LAG_MS, 4)[events.pinner % 4]
    order = np.argsort(seen, kind="stable")
    model, first = Pin2Vec(SMALL), 0
    while first < len(order):
        part = order[first : first + int(random.integers(1, 700))]
        model.add(events.rows(part))
        first += len(part)
        until = int(seen[part[-1]]) - LAG_MS
        while model.learn(until, int(random.integers(1, 300))):
            pass
    model.learn(EVER)
    assert same(whole, model) and model.learned == 3_000


def test_pins_of_the_same_sessions_lie_close() -> None:
    model = made(actions(20_000))
    for pin in (100, 205, 310, 419):
        near = model.nearest(np.array([pin]), np.ones(1), 15)
        assert np.mean(near.pins // 100 == pin // 100) >= 0.9
        assert pin not in near.pins and (np.diff(near.scores) <= 0).all()


def test_a_late_action_is_learned_when_it_comes() -> None:
    events = actions(500)
    late = events.rows(slice(0, 1))
    model = made(events.rows(slice(1, None)))
    model.add(late)
    assert model.learn(EVER) == 1 and model.learned == 500


def test_nothing_is_learned_before_its_time() -> None:
    model = Pin2Vec(SMALL)
    model.add(actions(100))
    assert model.learn(START - 1) == 0 and model.waiting == 100


def test_it_goes_on_from_a_snapshot_as_if_nothing_had_been() -> None:
    events = actions(4_000)
    whole, half = made(events), Pin2Vec(SMALL)
    half.add(events.rows(slice(0, 2_500)))
    half.learn(EVER, 1_777)
    other = Pin2Vec(SMALL)
    other.restore(half.snapshot())
    other.add(events.rows(slice(2_500, None)))
    other.learn(EVER)
    # What waited when the rest came is in order before it here, too.
    assert same(whole, other)


def test_a_session_ends_after_a_pause() -> None:
    random = np.random.default_rng(0)
    n = 8_000
    pinner = np.repeat(np.arange(n // 2), 2)
    pin = np.empty(n, np.int64)
    pin[0::2], pin[1::2] = 1 + random.integers(0, 10, n // 2), 51 + random.integers(0, 10, n // 2)
    time = START + np.arange(n) * 10
    together = made(Actions(time, np.arange(1, n + 1), pinner, pin, time))
    apart = made(Actions(time, np.arange(1, n + 1), pinner, pin, time + (np.arange(n) % 2) * SMALL.gap * 2))
    assert np.abs(together.vectors(pin)[0]).max() > 10 * np.abs(apart.vectors(pin)[0]).max()


def test_memory_is_bounded_and_the_least_acted_on_leave() -> None:
    how = Learning(dimensions=8, table=4_096, least=2, max_pins=500, max_pinners=300)
    random = np.random.default_rng(3)
    n = 60_000
    pin = np.where(random.random(n) < 0.5, random.integers(1, 51, n), random.integers(1_000, 9_000, n))
    time = START + np.arange(n)
    model = made(Actions(time, random.integers(1, 2**62, n), random.integers(1, 5_000, n), pin, time), how)
    assert len(model) <= 500 + pin2vec.EVERY
    assert model.vectors(np.arange(1, 51))[1].all(), "popular pins stay"
    assert model.nbytes < 3_000_000


def test_deleted_pins_and_erased_pinners_leave_at_once_and_stay_away() -> None:
    events = actions(4_000)
    model = Pin2Vec(SMALL)
    model.add(events)
    model.learn(EVER, 2_000)
    model.drop(np.array([100, 101]))
    model.erase(5)
    model.learn(EVER)
    assert not model.vectors(np.array([100, 101]))[1].any()
    assert not np.isin(model.nearest(np.array([102]), np.ones(1), 100).pins, [100, 101]).any()
    left = ~np.isin(events.pin[2_000:], [100, 101]) & (events.pinner[2_000:] != 5)
    assert model.learned == 2_000 + left.sum()
    assert 5 not in model.snapshot()["pinners"]


def test_an_unknown_pin_has_no_neighbours() -> None:
    assert not len(Pin2Vec(SMALL).nearest(np.array([1]), np.ones(1), 5).pins)
    assert not len(made(actions(50)).nearest(np.array([9]), np.ones(1), 5).pins)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pin2vec, "MOST_WAITING", 1_000)
    model = Pin2Vec(SMALL)
    events = actions(5_000)
    model.add(events)
    assert model.waiting == 1_000 and model.learned == 0
    model.learn(EVER)
    assert same(model, made(events.rows(slice(4_000, None)))), "the latest stay"
    for begin in range(0, 5_000, 100):
        model.add(events.rows(slice(begin, begin + 100)))
        assert model.waiting <= 1_250
    model.learn(EVER, 10)
    model.add(events)
    assert model.waiting == 1_000, "some of them in order already"

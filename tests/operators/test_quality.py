"""Quality: the worked example of ``docs/quality.md``, order-independence, and truth planted in traffic."""

from __future__ import annotations

from dataclasses import replace
from math import log, log1p

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from operators.batch import Engagement
from operators.events import Kind, Surface
from operators.positions import examination
from operators.quality import MEAN_PRIOR, Quality
from operators.safety import PENALTY, Safety
from tests.operators.folded import DAY, START, engagement, shuffled, take

PINS, PINNERS, DOMAINS = np.arange(0, 55), np.arange(0, 25), np.arange(0, 110)


def answers(quality: Quality, now: int) -> list[np.ndarray]:
    return [
        *quality.pins(PINS, now),
        *quality.owners(PINNERS, now),
        quality.domains(DOMAINS, now),
        quality.rates,
        quality.leaders(5, now).quality,
    ]


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_any_order_of_batches_gives_the_same_answers(seed: int, batches: int) -> None:
    events = engagement(3_000, seed, days=60)
    one, other = Quality(), Quality()
    one.update(events)
    for batch in shuffled(events, seed + 1, batches):
        other.update(batch)
    now = START + 70 * DAY
    for left, right in zip(answers(one, now), answers(other, now), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


def test_answers_follow_every_event_at_once() -> None:
    events, quality = engagement(2_000, 4), Quality()
    for rows in np.array_split(np.arange(len(events)), 5):
        quality.update(take(events, rows))
        fresh = Quality()
        fresh.update(take(events, np.arange(rows[-1] + 1)))
        for left, right in zip(answers(quality, START), answers(fresh, START), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


def test_an_unsafe_picture_lowers_its_pin_and_who_posted_it_at_once() -> None:
    events, safety = engagement(2_000, 4), Safety()
    plain, judged = Quality(), Quality(safety)
    for each in (plain, judged):
        each.update(events)
        each.domains(DOMAINS, START)
    pins = np.array([3, 54, 9_999])
    safety.take(pins, np.ones(3, np.int64), np.array([0.9, 0.19, 0.5], np.float32))
    before, after = plain.pins(pins, START), judged.pins(pins, START)
    for one, other in zip(before[:3], after[:3], strict=True):
        np.testing.assert_allclose(one - other, [PENALTY, 0, PENALTY / 2], atol=1e-6)
    assert after.exposure.tolist() == before.exposure.tolist()
    fresh = Quality(safety)
    fresh.update(events)
    for left, right in zip(answers(judged, START), answers(fresh, START), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)
    changed = judged.domains(DOMAINS, START) != plain.domains(DOMAINS, START)
    assert changed.any() and (judged.domains(DOMAINS, START)[changed] < plain.domains(DOMAINS, START)[changed]).all()
    assert 3 not in judged.leaders(5, START).pins


def rows_at(time: int, *rows: tuple[int, Kind, int, int, int]) -> Engagement:
    """Events of pinner 9 at one time: (pin, kind, position, owner, domain)."""
    columns = np.array(rows)
    events = take(engagement(len(rows), 0), np.arange(len(rows)))
    return replace(
        events,
        time=np.full(len(rows), time),
        pin=columns[:, 0],
        kind=columns[:, 1].astype(np.uint8),
        position=columns[:, 2].astype(np.int16),
        owner=columns[:, 3],
        domain=columns[:, 4],
        pinner=np.full(len(rows), 9),
        is_follower=np.zeros(len(rows), np.uint8),
    )


def test_the_worked_example() -> None:
    shown, saved = (1, Kind.IMPRESSION, 3, 5, 7), (1, Kind.SAVE, 3, 5, 7)
    other = (2, Kind.IMPRESSION, 0, 6, 8)
    quality = Quality()
    quality.update(rows_at(START, *[shown] * 8, *[saved] * 2, *[other] * 4))
    now = START + 7 * DAY
    # Pin 1: 8 impressions examined half the time, one half-life ago: X = 2; saves A = 1. Pin 2: X = 2, A = 0.
    found = quality.pins(np.array([1, 2, 3]), now)
    assert found.exposure.tolist() == pytest.approx([2, 2, 0])
    assert quality.rates.tolist() == pytest.approx([0, 0, 0.25, 0])
    first, second = log(2 / 1.5), log(1 / 1.5)
    assert found.all.tolist() == pytest.approx([first, second, 0])
    assert found.wider.tolist() == pytest.approx([first, second, 0])
    assert found.followers.tolist() == [0, 0, 0]
    mean = (first + second) / 2
    shrunk = (2 * first + MEAN_PRIOR * mean) / (2 + MEAN_PRIOR)
    assert quality.domains(np.array([7, 99]), now).tolist() == pytest.approx([shrunk, mean])
    pinners = quality.owners(np.array([5, 9]), now)
    gave = log1p(1) / (1 + log1p(1))
    assert pinners.posts.tolist() == pytest.approx([shrunk, mean])
    assert pinners.received.tolist() == pytest.approx([first, 0])
    assert pinners.given.tolist() == pytest.approx([0, gave])
    assert pinners.quality.tolist() == pytest.approx([shrunk + 0.5 * first, mean + 0.1 * gave])


def test_an_erased_pinner_gives_nothing_and_owns_nothing() -> None:
    events, quality, recount = engagement(2_000, 6), Quality(), Quality()
    quality.update(events)
    quality.erase(3)
    # What the ledger does: rows keep the event and lose the person.
    recount.update(
        replace(
            events,
            pinner=np.where(events.pinner == 3, 0, events.pinner),
            owner=np.where(events.owner == 3, 0, events.owner),
        )
    )
    for left, right in zip(answers(quality, START), answers(recount, START), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-9)


def test_beyond_many_pins_pinners_and_domains_may_be_a_little_old_but_pins_are_exact() -> None:
    events, quality = engagement(60_000, 7, pins=20_000), Quality()
    quality.update(take(events, np.arange(59_000)))
    before = quality.domains(DOMAINS, START)
    quality.update(take(events, np.arange(59_000, 60_000)))
    assert np.array_equal(quality.domains(DOMAINS, START), before)
    exact = Quality()
    exact.update(events)
    np.testing.assert_allclose(quality.pins(events.pin, START), exact.pins(events.pin, START), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(exact.domains(DOMAINS, START), before, atol=0.05)
    later = START + 3 * DAY
    np.testing.assert_allclose(quality.domains(DOMAINS, later), exact.domains(DOMAINS, later), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_planted_attractiveness_is_found_where_the_raw_rate_is_misled_by_position(seed: int) -> None:
    """A pin's usual position has nothing to do with its attractiveness, so the raw rate ranks positions."""
    random = np.random.default_rng(seed)
    pins, shows = 300, 400
    attractiveness = random.beta(2, 12, pins)
    usual = random.integers(0, 30, pins)
    pin = np.repeat(np.arange(pins), shows)
    position = np.clip(usual[pin] + random.integers(-3, 4, len(pin)), 0, None).astype(np.int16)
    looked = examination(np.full(len(pin), Surface.HOME, np.uint8), position)
    clicked = random.random(len(pin)) < looked * attractiveness[pin]
    shown = engagement(len(pin), seed)
    shown = replace(shown, pin=pin + 1, kind=np.full(len(pin), Kind.IMPRESSION, np.uint8), position=position)
    acted = take(replace(shown, kind=np.full(len(pin), Kind.CLOSEUP, np.uint8)), np.flatnonzero(clicked))
    quality = Quality()
    quality.update(shown)
    quality.update(acted)
    found = quality.pins(np.arange(1, pins + 1), START + 30 * DAY).all
    rate = np.bincount(pin, clicked) / shows
    by_quality, by_rate = (kendalltau(score, attractiveness).statistic for score in (found, rate))
    assert by_quality > 0.65
    assert by_quality > by_rate + 0.05

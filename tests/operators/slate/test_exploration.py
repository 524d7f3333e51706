"""Exploration: its share, its guards, and that logged propensities are the frequencies that chance really gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from operators.slate.arrange import arranged
from operators.slate.choices import Choices
from operators.slate.diversity import similarity
from operators.slate.exploration import Exploration, Newness, chances_of_best, explored, worth_exploring
from operators.slate.ordering import Ordering

N, SIZE = 120, 25


def newness(n=N, seed=0, fresh=0.4):
    random = np.random.default_rng(seed)
    exposure = np.where(random.random(n) < fresh, random.random(n) * 5, 5 + random.random(n) * 500)
    earned = random.random(n) * 0.1 * exposure
    return Newness(exposure.astype(np.float32), np.full(n, 1e6, np.float32), earned.astype(np.float32))


def slate(seed, *, share=0.06, n=N, repeats=None, **more):
    """One slate of the same candidates, whose utilities are all different, as the engine makes it."""
    random = np.random.default_rng(1)
    worth = random.permutation(n).astype(np.float32) / n
    kernel = similarity((lambda v: v / np.linalg.norm(v, axis=1, keepdims=True))(random.normal(size=(n, 6))))
    zeros = np.zeros(n, np.int64)
    choices = Choices(ordering=Ordering(size=SIZE), exploration=Exploration(share=share, **more))
    return arranged(
        worth, lambda pool: kernel[np.ix_(pool, pool)], zeros, zeros,
        np.zeros(n, np.bool_) if repeats is None else repeats, newness(n), rate=0.05, seed=seed, choices=choices,
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.02, 0.06, 0.16])
def test_frequencies_over_10000_seeds_are_the_logged_propensities(share):
    seen, logged = {}, {}
    base, eligible = np.arange(SIZE), np.arange(SIZE, N)
    for seed in range(10_000):
        # The order below is the same for every seed, as no two utilities are; one share takes the whole way.
        places = (
            slate(seed, share=share)
            if share == 0.06
            else explored(base, eligible, newness(), rate=0.05, seed=seed, choices=Exploration(share=share))
        )
        for place, (row, chance) in enumerate(zip(places.rows.tolist(), places.propensities.tolist(), strict=True)):
            at = place, row
            seen[at] = seen.get(at, 0) + 1
            assert logged.setdefault(at, chance) == chance, "the same pin at the same place is as likely in every slate"
    statistic, freedom = 0.0, 0
    for place in range(SIZE):
        mine = [(count, 10_000 * logged[at]) for at, count in seen.items() if at[0] == place]
        assert sum(expected for _, expected in mine) <= 10_000 * (1 + 1e-9), "probabilities of a place"
        large = [each for each in mine if each[1] >= 5]
        rest = 10_000 - sum(expected for _, expected in large)
        others = 10_000 - sum(count for count, _ in large)
        if rest >= 5:
            large.append((others, rest))
        statistic += sum((count - expected) ** 2 / expected for count, expected in large)
        freedom += len(large) - 1
    p = float(chi2.sf(statistic, freedom))
    print(f"share {share}: chi-square {statistic:.0f} with {freedom} degrees of freedom, p = {p:.3f}")
    assert p > 0.001, (statistic, freedom)


def test_inverse_propensities_estimate_what_another_policy_would_earn():
    """What the order without exploration, and what an evenly exploring policy, would earn: told by explored slates."""
    gain = np.random.default_rng(3).random(N)
    look = 1 / np.sqrt(1 + np.arange(SIZE))
    base = slate(0).base
    truth = float((gain[base] * look).sum())
    told = []
    for seed in range(4_000):
        places = slate(seed)
        same = places.rows == base
        told.append(float((gain[places.rows] * look * same / places.propensities).sum()))
    assert np.mean(told) == pytest.approx(truth, rel=4 * np.std(told) / np.sqrt(len(told)) / truth)


def test_the_share_is_kept_and_the_top_is_protected():
    marks = np.array([slate(seed).explored for seed in range(2_000)])
    assert marks[:, :2].sum() == 0
    assert marks.mean() == pytest.approx(0.06, rel=0.05)
    assert not slate(5, share=0.0).explored.any()


def test_only_pins_that_too_few_have_seen_are_explored_and_each_stands_once():
    worthy = worth_exploring(newness(), Exploration())
    for seed in range(300):
        places = slate(seed)
        assert worthy[places.rows[places.explored]].all()
        assert len(set(places.rows.tolist())) == SIZE
        assert not set(places.rows[places.explored].tolist()) & set(places.base.tolist())
        kept = [row for row in places.rows.tolist() if row in places.base.tolist()]
        assert kept == places.base.tolist()[: len(kept)], "the others keep their order"


def test_repeats_are_never_explored():
    repeats = np.arange(N) >= 10
    places = slate(1, repeats=repeats, share=0.5)
    assert not places.explored.any() and (places.propensities == 1).all()


def test_fewer_candidates_than_places_and_none():
    assert len(slate(0, n=5).rows) == 5 and not slate(0, n=5).explored.any()
    assert len(slate(0, n=0).rows) == 0


@given(st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 1))
def test_chances_add_up_and_none_vanishes(n, seed, rate):
    chances = chances_of_best(newness(n, seed), rate, Exploration())
    assert chances.sum() == pytest.approx(1) and chances.min() >= 0.1 / n * (1 - 1e-9)


def test_who_may_be_best_is_tried_more():
    few, many = np.float32(0.5), np.float32(400)
    given_ = Newness(np.array([few, many, many]), np.zeros(3, np.float32), np.array([0, 4, 40], np.float32))
    chances = chances_of_best(given_, 0.05, Exploration(even=0.0))
    assert chances[1] < 0.001 < chances[0], "a hundred looks without much to show are enough; half a look is not"
    assert chances[2] > chances[1]


def test_thompsons_draws_agree_with_what_is_worked_out():
    """The chances are those of the largest of independent draws from the posteriors."""
    given_ = newness(12, seed=5)
    choices = Exploration(even=0.0)
    seen = choices.prior + given_.exposure
    mean = np.sqrt((choices.prior * 0.05 + given_.earned) / seen)
    draws = np.random.default_rng(0).normal(mean, 0.5 / np.sqrt(seen), (200_000, 12))
    frequency = np.bincount(draws.argmax(axis=1), minlength=12) / 200_000
    assert np.abs(frequency - chances_of_best(given_, 0.05, choices)).max() < 0.01


def test_explored_by_itself_takes_the_seed():
    rows = np.arange(SIZE)
    eligible = np.arange(SIZE, N)
    one, other = (
        explored(rows, eligible, newness(), rate=0.05, seed=seed, choices=Exploration(share=0.5)) for seed in (1, 2)
    )
    assert one.rows.tolist() != other.rows.tolist()

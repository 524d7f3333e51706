"""Sources' shares of the candidates: whole, in order, drawn from what came of each source, and worth it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.slate.blend import Blending, drawn_shares, posteriors, shares, worths
from operators.slate.candidates import SOURCES, Found, merge

N = len(SOURCES)
NOTHING = np.zeros((N, 5), np.int64)
BLENDING = Blending()


def counted(*rows):
    """``(sources, 5)``; sources that are left out have nothing."""
    out = NOTHING.copy()
    for row, values in enumerate(rows):
        out[row] = values
    return out


@given(st.lists(st.floats(-3, 3), min_size=N, max_size=N), st.integers(0, 300), st.floats(0, 1))
def test_shares_are_whole_add_up_and_leave_nobody_out(worth, round_, even):
    given_ = shares(np.array(worth), Blending(round=round_, even=even))
    assert given_.min() >= 1 and given_.dtype == np.int64
    assert given_.sum() == round_ or (given_ == 1).all()


def test_shares_follow_worth_by_the_largest_remainder():
    worth = np.zeros(N)
    worth[:3] = 0.5, 0.3, 0.2
    even = Blending(round=100, even=0.0, sharpness=1.0)
    free = 100 - N  # every source has 1
    wanted = [free * 0.5, free * 0.3, free * 0.2] + [0] * (N - 3)
    given_ = shares(worth, even) - 1
    assert given_.sum() == free and (np.abs(given_ - wanted) < 1).all()
    assert (shares(np.full(N, -1.0), BLENDING) >= 100 // N).all(), "where all are worth nothing, all have the same"


def test_candidates_keep_each_sources_order_and_its_share():
    found = {
        name: Found(np.arange(500) + 1000 * row, np.linspace(1, 0, 500).astype(np.float32))
        for row, name in enumerate(SOURCES)
    }
    given_ = dict.fromkeys(SOURCES, 5) | {SOURCES[1]: 100 - 5 * (N - 1)}
    merged = merge(found, 300, given_)
    source = merged.pins // 1000
    for row, name in enumerate(SOURCES):
        own = merged.pins[source == row]
        assert (np.diff(own) == 1).all() and own[0] == 1000 * row, "its own order, from its best on"
        assert abs(len(own) - 3 * given_[name]) <= 1
    first = source[:50]
    assert abs((first == 1).sum() - given_[SOURCES[1]] / 2) <= N, "spread over a round, not in blocks"


def test_what_a_source_lacks_goes_to_the_others_in_proportion():
    found = {"visual": Found(np.arange(1, 6), np.ones(5, np.float32))} | {
        name: Found(np.arange(100 * row, 100 * row + 90), np.ones(90, np.float32))
        for row, name in ((2, "boards"), (3, "fresh"))
    }
    merged = merge(found, 95, {"visual": 80, "boards": 10, "fresh": 20})
    count = [int(((merged.pins >= low) & (merged.pins < low + 95)).sum()) for low in (1, 200, 300)]
    assert count[0] == 5 and sum(count) == 95 and abs(count[1] - 30) <= 1


def test_the_same_seed_draws_the_same_and_another_does_not():
    own = counted([100, 5, 1, 3, 0])
    assert drawn_shares(own, own, BLENDING, 7) == drawn_shares(own, own, BLENDING, 7)
    assert drawn_shares(own, own, BLENDING, 7) != drawn_shares(own, own, BLENDING, 8)


def test_a_new_pinner_has_the_mix_of_all():
    everybody = counted([10_000, 800, 100, 700, 5], [10_000, 300, 50, 100, 40])
    mean = np.mean([worths(NOTHING, everybody, BLENDING, seed) for seed in range(400)], axis=0)
    alpha, beta = posteriors(NOTHING, everybody, BLENDING)
    assert np.allclose(mean, (alpha / (alpha + beta)) @ BLENDING.rewards, atol=0.01)
    assert mean[0] > 2 * mean[1], "the source that everybody likes has more"
    own = counted([0] * 5, [400, 60, 20, 80, 0])
    known = np.mean([worths(own, everybody, BLENDING, seed) for seed in range(400)], axis=0)
    assert known[1] > known[0], "and who has shown otherwise, theirs"


def test_actions_beyond_impressions_and_very_much_history_stay_sound():
    strange = counted([3, 50, 50, 50, 50], [10**9, 10**8, 10**7, 10**8, 10**5])
    alpha, beta = posteriors(strange, strange, BLENDING)
    assert (alpha > 0).all() and (beta > 0).all()
    assert (alpha + beta)[1].max() <= BLENDING.most + BLENDING.prior + 1
    assert np.isfinite(worths(strange, strange, BLENDING, 1)).all()


@pytest.mark.parametrize("seed", range(3))
def test_shares_move_to_the_better_source_and_regret_falls(seed):
    """Three sources; a slate shows 25 pins by their shares. Regret: what the best source alone would have had more."""
    save = np.array([0.02, 0.05, 0.09])
    told = {}
    for sharpness in (2.0, 8.0):
        random, counts, regret, share = np.random.default_rng(seed), NOTHING.copy(), [], []
        blending = Blending(even=0.0, sharpness=sharpness)
        for slate in range(2_000):
            given_ = shares(worths(counts, counts, blending, slate)[:3], blending)
            shown = random.multinomial(25, given_ / given_.sum())
            counts[:3, 0] += shown
            counts[:3, 3] += random.binomial(shown, save)
            regret.append(25 * save.max() - shown @ save)
            share.append(given_ / given_.sum())
        told[sharpness] = np.mean(share[:20], axis=0), np.mean(share[-200:], axis=0), np.mean(regret[-200:])
    even = 25 * (save.max() - save.mean())
    for sharpness, (first, last, regret_of) in told.items():
        print(
            f"seed {seed}, sharpness {sharpness:g}: share of the best source {first[2]:.2f} -> {last[2]:.2f}; "
            f"regret a slate {regret_of:.3f}, of even shares {even:.3f}"
        )
        assert last.argmax() == 2 and last[2] > max(2 / 3, first[2])
        assert last[1] > last[0]
    assert told[2.0][2] < 0.55 * even and told[8.0][2] < 0.15 * even

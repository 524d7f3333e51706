"""Chance for compiled code: even, the same for the same seed, and fair where values are equal."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from operators.chance import best_first, draws


def test_draws_are_even_follow_from_the_seed_and_streams_differ():
    some = draws(np.uint64(7), 1, 20_000)
    assert (some == draws(np.uint64(7), 1, 20_000)).all()
    assert some.min() >= 0 and some.max() < 1 and kstest(some, "uniform").pvalue > 0.001
    for other in (draws(np.uint64(8), 1, 20_000), draws(np.uint64(7), 2, 20_000)):
        assert abs(np.corrcoef(some, other)[0, 1]) < 0.05


@given(st.lists(st.floats(-9, 9), max_size=60), st.integers(0, 2**64 - 1), st.integers(0, 70))
def test_the_greatest_come_first_each_once(values, seed, k):
    values = np.array(values)
    rows = best_first(values, np.uint64(seed), k)
    assert len(rows) == min(k, len(values)) == len(set(rows.tolist()))
    assert (values[rows] == np.sort(values)[::-1][:k]).all()


def test_equal_values_take_every_place_equally_often():
    first = np.bincount([best_first(np.ones(6), np.uint64(seed), 1)[0] for seed in range(6_000)], minlength=6)
    last = np.bincount([best_first(np.ones(6), np.uint64(seed), 6)[5] for seed in range(6_000)], minlength=6)
    assert chisquare(first).pvalue > 0.001 and chisquare(last).pvalue > 0.001

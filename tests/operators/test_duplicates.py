"""Duplicates: exact within the horizon, bounded beyond it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.duplicates import RecentIds

ids = st.integers(1, 60).map(lambda small: small * 2**57 // 3 or 1)
batches = st.lists(st.lists(ids, max_size=30), max_size=20)


def int64(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


@given(batches, st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_agrees_with_a_set_within_the_horizon(stream: list[list[int]], horizon: int) -> None:
    recent, order = RecentIds(horizon), []  # order: distinct ids, oldest first
    for batch in stream:
        for value, new in zip(batch, recent.admit(int64(batch)).tolist(), strict=True):
            if value in order[-horizon:]:
                assert not new, "seen within the horizon"
            elif value not in order:
                assert new, "never seen"
            if new:
                order = [other for other in order if other != value] + [value]


def test_what_was_admitted_or_loaded_is_known() -> None:
    recent = RecentIds(100)
    recent.load(int64([7]))
    assert recent.admit(int64([5, 6, 5, 7])).tolist() == [True, True, False, False]
    assert not recent.admit(int64([5, 6, 7])).any()


def test_a_load_larger_than_the_memory_keeps_the_newest() -> None:
    recent = RecentIds(1000)
    everything = np.random.default_rng(0).permutation(np.arange(1, 10_001))
    recent.load(everything)
    assert not recent.admit(everything[-1000:]).any()
    assert recent.admit(everything[:8000]).all(), "memory is bounded: at most twice the horizon"


def test_an_empty_batch_and_a_zero() -> None:
    recent = RecentIds(10)
    assert len(recent.admit(int64([]))) == 0
    recent.load(int64([]))
    with pytest.raises(ValueError, match="may not be 0"):
        recent.load(int64([1, 0]))
    with pytest.raises(ValueError, match="horizon"):
        RecentIds(0)

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
        mask = recent.fresh(int64(batch)).tolist()
        firsts = [value not in batch[:at] for at, value in enumerate(batch)]
        held, known = set(order[-horizon:]), set(order)
        for value, first, fresh in zip(batch, firsts, mask, strict=True):
            if not first or value in held:
                assert not fresh, "seen within the horizon, or earlier in the batch"
            elif value not in known:
                assert fresh, "never seen"
        new = [value for value, fresh in zip(batch, mask, strict=True) if fresh]
        recent.load(int64(new))
        order = [value for value in order if value not in new] + new


def test_asking_remembers_nothing_so_a_batch_cut_off_can_come_again() -> None:
    recent = RecentIds(100)
    batch = int64([5, 6, 5])
    assert recent.fresh(batch).tolist() == [True, True, False]
    assert recent.fresh(batch).tolist() == [True, True, False]
    recent.load(batch)
    assert not recent.fresh(batch).any()


def test_a_load_larger_than_the_memory_keeps_the_newest() -> None:
    recent = RecentIds(1000)
    everything = np.random.default_rng(0).permutation(np.arange(1, 10_001))
    recent.load(everything)
    assert not recent.fresh(everything[-1000:]).any()
    assert recent.fresh(everything[:8000]).all(), "memory is bounded: at most twice the horizon"


def test_an_empty_batch_and_a_zero() -> None:
    recent = RecentIds(10)
    assert len(recent.fresh(int64([]))) == 0
    recent.load(int64([]))
    with pytest.raises(ValueError, match="may not be 0"):
        recent.load(int64([1, 0]))
    with pytest.raises(ValueError, match="horizon"):
        RecentIds(0)

"""Forward decay and position bias by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import decay, positions
from operators.events import Surface

TIMES = st.integers(decay.LANDMARK_MS, decay.LANDMARK_MS + 4000 * decay.DAY_MS)


@given(st.lists(TIMES, min_size=1, max_size=20), TIMES)
def test_a_sum_as_of_now_counts_every_event_by_its_age(times: list[int], now: int) -> None:
    half_life = decay.QUALITY_HALF_LIFE_MS
    total = decay.weight(np.array(times), half_life).sum()
    expected = sum(2.0 ** ((time - now) / half_life) for time in times)
    assert decay.as_of(float(total), now, half_life) == pytest.approx(expected, rel=1e-9)


def test_an_event_halves_after_one_half_life() -> None:
    time = np.array([decay.LANDMARK_MS + 5 * decay.DAY_MS])
    weight = float(decay.weight(time, decay.DAY_MS)[0])
    assert decay.as_of(weight, int(time[0]), decay.DAY_MS) == 1.0
    assert decay.as_of(weight, int(time[0]) + decay.DAY_MS, decay.DAY_MS) == 0.5


def test_examination_falls_with_position_and_is_one_where_unknown() -> None:
    position = np.array([-1, 0, 1, 3, 8, 99, 32767], np.int16)
    for surface in Surface:
        seen = positions.examination(np.full(len(position), surface, np.uint8), position)
        assert seen.tolist() == pytest.approx([1, 1, 2**-0.5, 0.5, 1 / 3, 0.1, 32768**-0.5])


def test_an_unknown_surface_is_taken_as_the_last() -> None:
    seen = positions.examination(np.array([200], np.uint8), np.array([3], np.int16))
    assert seen[0] == pytest.approx(0.5)

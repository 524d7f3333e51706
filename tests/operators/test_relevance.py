"""Relevance by hand and by its invariances."""

from __future__ import annotations

import numpy as np
import pytest

from operators.relevance import HALF_LIFE_MS, relevance, taste

EYE = np.eye(3, dtype=np.float32)


def test_a_save_counts_half_after_one_half_life() -> None:
    user = taste(np.array([10 * HALF_LIFE_MS, 9 * HALF_LIFE_MS]), EYE[:2])
    assert user.tolist() == [1, 0.5, 0]
    assert relevance(user, EYE).tolist() == pytest.approx([1 / 1.25**0.5, 0.5 / 1.25**0.5, 0])


def test_only_ages_relative_to_each_other_and_directions_matter() -> None:
    random = np.random.default_rng(1)
    times, vectors = random.integers(0, 10**11, 20), random.normal(size=(20, 16)).astype(np.float32)
    pins = random.normal(size=(9, 16)).astype(np.float32)
    scores = relevance(taste(times, vectors), pins)
    assert relevance(taste(times + 10**12, vectors), 3 * pins) == pytest.approx(scores)
    assert (np.abs(scores) <= 1).all()


def test_without_saves_nothing_is_relevant() -> None:
    assert relevance(taste(np.zeros(0, np.int64), np.zeros((0, 3), np.float32)), EYE).tolist() == [0, 0, 0]
    assert relevance(np.zeros(3), EYE).tolist() == [0, 0, 0]

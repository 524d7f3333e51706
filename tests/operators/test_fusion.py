"""Reciprocal rank fusion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.fusion import fuse

rankings = st.lists(st.lists(st.integers(1, 40), unique=True, max_size=20), max_size=4)


def ids(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_scores_are_those_of_the_paper():
    fused = fuse([ids(7, 8), ids(8, 9)], 10)
    assert fused.ids.tolist() == [8, 7, 9]
    assert fused.scores.tolist() == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])


def test_nothing_fuses_to_nothing():
    assert len(fuse([], 5).ids) == len(fuse([ids()], 5).ids) == 0


@given(rankings)
def test_the_order_of_rankings_does_not_matter(lists: list[list[int]]):
    forward = fuse([ids(*each) for each in lists], 100)
    backward = fuse([ids(*each) for each in reversed(lists)], 100)
    assert forward.ids.tolist() == backward.ids.tolist()
    assert forward.scores.tolist() == pytest.approx(backward.scores.tolist())


@given(st.lists(st.integers(1, 1000), unique=True, min_size=1, max_size=30), st.integers(1, 40))
def test_one_ranking_keeps_its_order(ranking: list[int], k: int):
    assert fuse([ids(*ranking)], k).ids.tolist() == ranking[:k]


@given(rankings)
def test_every_id_is_there_once_and_scores_fall(lists: list[list[int]]):
    fused = fuse([ids(*each) for each in lists], 1000)
    assert sorted(fused.ids.tolist()) == sorted({one for each in lists for one in each})
    assert np.all(np.diff(fused.scores) <= 0)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.vision.scenes import ObjectHits, object_weights, rank_scenes

Row = tuple[int, int, float]
rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(-100, 100).map(lambda cents: cents / 100)), max_size=60
)
counts = st.lists(st.floats(0, 1), min_size=4, max_size=4)


def hits_of(found: list[Row]) -> ObjectHits:
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    return ObjectHits(np.array(columns[0], np.intp), np.array(columns[1], np.int64), np.array(columns[2], np.float32))


def by_hand(found: list[Row], weights: list[float]) -> dict[int, float]:
    """The formula, scene by scene."""
    floor = {query: min(s for q, _, s in found if q == query) for query, _, _ in found}
    scores: dict[int, float] = {}
    for scene in {scene for _, scene, _ in found}:
        best = {query: max(s for q, c, s in found if (q, c) == (query, scene)) for query, c, _ in found if c == scene}
        scores[scene] = sum(weights[query] * (similarity - floor[query]) for query, similarity in best.items())
    return scores


@given(rows, counts)
def test_scores_are_the_formula_and_each_scene_comes_once(found: list[Row], weights: list[float]) -> None:
    ranked = rank_scenes(hits_of(found), np.array(weights), 100)
    expected = by_hand(found, weights)
    assert sorted(ranked.scenes.tolist()) == sorted(expected)
    for scene, score in zip(ranked.scenes.tolist(), ranked.scores.tolist(), strict=True):
        assert score == pytest.approx(expected[scene], abs=1e-6)
    pairs = list(zip((-ranked.scores).tolist(), ranked.scenes.tolist(), strict=True))
    assert pairs == sorted(pairs)


@given(rows, counts)
def test_the_object_shown_is_in_the_scene_and_no_other_of_its_query_is_likelier(
    found: list[Row], weights: list[float]
) -> None:
    ranked = rank_scenes(hits_of(found), np.array(weights), 100)
    for scene, row in zip(ranked.scenes.tolist(), ranked.best.tolist(), strict=True):
        query, of, similarity = found[row]
        assert of == scene
        assert all(s <= similarity for q, c, s in found if (q, c) == (query, scene))


@given(rows, counts, st.randoms(use_true_random=False), st.integers(0, 7))
def test_the_order_of_hits_changes_nothing_and_fewer_are_a_prefix(
    found: list[Row], weights: list[float], chance, k: int
) -> None:
    whole = rank_scenes(hits_of(found), np.array(weights), 100)
    shuffled = chance.sample(found, len(found))
    other = rank_scenes(hits_of(shuffled), np.array(weights), k)
    assert other.scenes.tolist() == whole.scenes.tolist()[:k]
    assert other.scores.tolist() == whole.scores.tolist()[:k]


def test_two_fair_matches_beat_one_good_one_and_many_of_one_kind() -> None:
    found = [(0, 1, 0.7), (1, 1, 0.7), (0, 2, 0.9), *[(0, 3, 0.69)] * 20, (0, 4, 0.2), (1, 4, 0.2)]
    ranked = rank_scenes(hits_of(found), np.array([0.5, 0.5]), 10)
    assert ranked.scenes.tolist() == [1, 2, 3, 4]


def test_weights_add_up_to_one_and_follow_confidence_and_size() -> None:
    sure, unsure, small = object_weights(np.array([0.9, 0.3, 0.9], np.float32), np.array([0.4, 0.4, 0.1], np.float32))
    assert sure + unsure + small == pytest.approx(1)
    assert sure == pytest.approx(3 * unsure, rel=1e-5) and sure == pytest.approx(2 * small, rel=1e-5)
    assert object_weights(np.zeros(2, np.float32), np.zeros(2, np.float32)).tolist() == [0.5, 0.5]
    assert len(object_weights(np.empty(0, np.float32), np.empty(0, np.float32))) == 0

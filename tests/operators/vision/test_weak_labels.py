"""Weak labels: the vote is the formula, and certain where neighbours agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.vision.weak_labels import NONE, Voting, inverse_frequency, vote
from operators.vision.whitening import Whitening

CATEGORIES = 300


@st.composite
def elections(draw: st.DrawFn):
    crops, neighbours, said = draw(st.integers(1, 4)), draw(st.integers(1, 8)), draw(st.integers(1, 3))
    chance = np.random.default_rng(draw(st.integers(0, 9999)))
    cosines = chance.permutation(np.linspace(-0.2, 1, crops * neighbours)).reshape(crops, neighbours)
    categories = chance.integers(NONE, CATEGORIES, (crops, neighbours, said))
    return cosines, categories, chance.random((crops, neighbours, said)), chance.random(CATEGORIES)


@settings(deadline=None)
@given(elections(), st.integers(1, 10), st.sampled_from([0.05, 0.2]), st.sampled_from([0.0, 0.3]))
def test_the_vote_is_the_formula(election: tuple[np.ndarray, ...], k: int, temperature: float, doubt: float):
    cosines, categories, confidences, idf = election
    found = vote(cosines, categories, confidences, idf, Voting(k, temperature, doubt=doubt))
    for crop in range(len(cosines)):
        votes = np.zeros(CATEGORIES)
        for neighbour in np.argsort(-cosines[crop])[:k]:
            for category, confidence in zip(categories[crop, neighbour], confidences[crop, neighbour], strict=True):
                if category != NONE:
                    similarity = np.exp((cosines[crop, neighbour] - 1) / temperature)
                    votes[category] += similarity * confidence * idf[category]
        if not votes.any():
            assert found.labels[crop] == NONE
            continue
        second, first = np.sort(votes)[-2:]
        assert found.labels[crop] == votes.argmax()
        assert found.scores[crop] == pytest.approx(first / (votes.sum() + doubt))
        assert found.margins[crop] == pytest.approx((first - second) / (votes.sum() + doubt), abs=1e-12)


def test_agreement_is_kept_and_doubt_is_not():
    categories = np.array([[[7], [7], [7]], [[7], [8], [9]], [[7], [7], [7]], [[NONE], [NONE], [NONE]]])
    cosines = np.array([[0.9, 0.9, 0.9], [0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.9, 0.9, 0.9]])
    found = vote(cosines, categories, np.ones(categories.shape), np.ones(10), Voting(temperature=0.1, doubt=0.05))
    assert found.labels.tolist() == [7, 7, 7, NONE]
    assert found.kept(0.5).tolist() == [True, False, False, False]


def test_absent_neighbours_have_no_vote():
    categories = np.array([[[1], [2]]])
    found = vote(np.array([[0.5, -np.inf]]), categories, np.ones(categories.shape), np.ones(3))
    assert (found.labels[0], found.scores[0], found.margins[0]) == (1, 1.0, 1.0)


@pytest.mark.parametrize("shape", [(0, 5, 1), (3, 0, 1), (3, 5, 0)])
def test_nothing_to_vote_with(shape: tuple[int, ...]):
    found = vote(np.zeros(shape[:2]), np.zeros(shape, np.int64), np.ones(shape), np.ones(4))
    assert found.labels.tolist() == [NONE] * shape[0]


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(ValueError, match="temperature"):
        vote(np.ones((1, 1)), np.zeros((1, 1, 1), np.int64), np.ones((1, 1, 1)), np.ones(1), Voting(temperature=0))


def test_rare_categories_weigh_more_and_an_item_counts_once():
    categories = np.array([[0, 0], [0, 1], [0, NONE], [NONE, NONE]])
    weights = inverse_frequency(categories, 3, 1.0)
    assert weights.tolist() == pytest.approx(np.log1p(4 / np.array([4, 2, 1])).tolist())
    assert inverse_frequency(categories, 3, 0.0).tolist() == [1, 1, 1]


def test_whitened_vectors_vary_alike_in_every_direction():
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(500, 12)) * np.linspace(3, 0.5, 12) + 4
    whiten = Whitening.of(vectors, 6)
    turned = (vectors - whiten.mean) @ whiten.projection
    assert np.cov(turned.T) == pytest.approx(np.diag(np.diag(np.cov(turned.T))), abs=1e-6)
    assert turned.std(0).max() / turned.std(0).min() < 1.2
    assert np.linalg.norm(whiten(vectors), axis=1) == pytest.approx(np.ones(500))
    assert not whiten(vectors.mean(0)[None]).any()
    with pytest.raises(ValueError, match="two vectors"):
        Whitening.of(vectors[:1], 3)

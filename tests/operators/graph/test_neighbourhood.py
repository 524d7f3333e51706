"""Importance neighbourhoods: shares of visits that add up, agree with exact PageRank, and change with a save."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from operators.graph.live import LiveGraph
from operators.graph.neighbourhood import BAND_WALK, hard_negatives, neighbourhoods
from operators.graph.pixie import Walking

PINS, BOARDS, EDGES = 120, 60, 600


@pytest.fixture(scope="module")
def edges() -> np.ndarray:
    """Pins 1 … 120 on boards 1 … 60, popular ones more often, each edge once."""
    random = np.random.default_rng(7)
    pins = random.zipf(1.5, 20 * EDGES) % PINS + 1
    drawn = np.unique(np.stack([pins, random.integers(1, BOARDS + 1, len(pins))], 1), axis=0)
    return drawn[random.permutation(len(drawn))[:EDGES]]


@pytest.fixture(scope="module")
def graph(edges: np.ndarray) -> LiveGraph:
    made = LiveGraph()
    made.add(edges[:, 0].copy(), edges[:, 1].copy())
    return made


def pagerank(edges: np.ndarray, pin: int, restart: float) -> np.ndarray:
    """Exact personalised PageRank over pins ``(PINS + 1,)``, by power iteration; the pin itself is left out."""
    holds = np.zeros((PINS + 1, BOARDS + 1))
    holds[edges[:, 0], edges[:, 1]] = 1
    to_board = holds / np.maximum(holds.sum(1, keepdims=True), 1)
    to_pin = holds.T / np.maximum(holds.T.sum(1, keepdims=True), 1)
    step = to_board @ to_pin
    at = step[pin]
    total = np.zeros(PINS + 1)
    for _ in range(200):
        total += restart * at
        at = (1 - restart) * at @ step
    total[pin] = 0
    return total


def test_weights_are_shares_of_visits(graph: LiveGraph, edges: np.ndarray) -> None:
    pins = np.unique(edges[:, 0])
    found = neighbourhoods(graph, pins, seed=1)
    sums = found.weights.sum(1)
    assert np.allclose(sums[found.pins.any(1)], 1, atol=1e-5)
    assert (np.diff(found.weights, axis=1) <= 0).all()
    assert (found.pins != pins[:, None]).all()
    assert ((found.pins > 0) == (found.weights > 0)).all()


def test_a_pin_on_no_board_and_an_unknown_one_have_no_neighbours(graph: LiveGraph) -> None:
    found = neighbourhoods(graph, np.array([999_999]), seed=1)
    assert not found.pins.any()
    assert not found.weights.any()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_visits_agree_with_exact_personalised_pagerank(graph: LiveGraph, edges: np.ndarray, seed: int) -> None:
    how = Walking(steps=20_000, restart=0.5)
    pins = np.unique(edges[:, 0])[:40]
    agreements = []
    for pin, row, weights in zip(pins, *neighbourhoods(graph, pins, seed, size=PINS, how=how), strict=True):
        exact = pagerank(edges, int(pin), 0.5)
        visited = np.zeros(PINS + 1)
        visited[row[row > 0]] = weights[row > 0]
        reachable = np.flatnonzero(exact > 0)
        agreements.append(spearmanr(exact[reachable], visited[reachable]).statistic)
    assert np.mean(agreements) > 0.95
    assert min(agreements) > 0.9


def test_the_same_seed_gives_the_same_whoever_is_asked_beside(graph: LiveGraph) -> None:
    both = neighbourhoods(graph, np.array([1, 2]), seed=5)
    alone = neighbourhoods(graph, np.array([2]), seed=5)
    assert both.pins[1].tolist() == alone.pins[0].tolist()
    assert both.weights[1].tolist() == alone.weights[0].tolist()
    assert neighbourhoods(graph, np.array([2]), seed=6).weights[0].tolist() != alone.weights[0].tolist()


def test_a_save_changes_the_neighbourhood() -> None:
    graph = LiveGraph()
    graph.add(np.array([1, 2, 3]), np.array([10, 10, 20]))
    assert neighbourhoods(graph, np.array([1]), seed=0).pins[0, :2].tolist() == [2, 0]
    graph.add(np.array([1]), np.array([20]))
    assert set(neighbourhoods(graph, np.array([1]), seed=0).pins[0, :2].tolist()) == {2, 3}


def test_hard_negatives_are_a_band_of_the_walk(graph: LiveGraph) -> None:
    order = graph.walk(np.array([3]), np.ones(1), 60, 9 ^ 3, BAND_WALK).pins
    assert hard_negatives(graph, 3, 9, band=(20, 60)).tolist() == order[20:60].tolist()
    assert len(hard_negatives(graph, 3, 9, band=(5_000, 6_000))) == 0

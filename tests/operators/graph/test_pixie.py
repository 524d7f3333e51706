"""Walks: against exact visit counts, and each part of the paper's algorithm on its own."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from operators.graph.live import LiveGraph
from operators.graph.pixie import Walking, allotted


def random_graph(seed: int, pins: int = 60, boards: int = 25, edges: int = 300) -> tuple[LiveGraph, np.ndarray]:
    """A graph with popular and rare pins, and its matrix ``(pins, boards)``."""
    random = np.random.default_rng(seed)
    popular = 1 / np.arange(1, pins + 1)
    pin = random.choice(pins, edges, p=popular / popular.sum())
    board = random.integers(0, boards, edges)
    matrix = np.zeros((pins, boards))
    matrix[pin, board] = 1
    graph = LiveGraph()
    graph.add(pin + 1, board + 1)
    return graph, matrix


def expected_visits(matrix: np.ndarray, query: int, restart: float) -> np.ndarray:
    """Share of visits of each pin: Σ_k (1 − α)^k α · e_q P^(k+1)."""
    boards = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    pins = matrix.T / np.maximum(matrix.T.sum(1, keepdims=True), 1)
    step = boards @ pins
    here = np.zeros(len(matrix))
    here[query] = 1
    visits = np.zeros(len(matrix))
    for k in range(60):
        here = here @ step
        visits += restart * (1 - restart) ** k * here
    return visits


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("restart", [0.25, 0.5])
def test_visits_are_those_of_the_personalised_page_rank(seed: int, restart: float) -> None:
    graph, matrix = random_graph(seed)
    query = int(np.flatnonzero(matrix.sum(1))[seed])
    want = expected_visits(matrix, query, restart)
    found = graph.walk(np.array([query + 1]), np.ones(1), 100, seed, Walking(steps=100_000, restart=restart))
    assert found.steps.tolist() == [100_000]
    others = found.pins - 1
    assert set(others.tolist()) == set(np.flatnonzero(want).tolist()) - {query}
    assert spearmanr(found.scores, want[others]).statistic >= 0.9
    # Five standard deviations of a count; restarts make visits hang together, hence twice that.
    np.testing.assert_allclose(found.scores / 1e5, want[others], atol=10 * np.sqrt(want.max() / 1e5))


def test_what_several_queries_lead_to_is_boosted() -> None:
    """A ring of boards of two pins: from 1 and from 3 every second visit is 2's, from 1 alone all are."""
    graph = LiveGraph()
    graph.add(np.array([1, 2, 3, 2, 4, 5]), np.array([10, 10, 11, 11, 12, 12]))
    one = graph.walk(np.array([1]), np.ones(1), 10, 1, Walking(steps=1_000, restart=1.0))
    assert one.pins.tolist() == [2] and one.scores[0] == pytest.approx(500, abs=80)
    steps = Walking(steps=2_000, restart=1.0)
    both = graph.walk(np.array([1, 3]), np.ones(2), 10, 1, steps)
    assert both.pins.tolist() == [2]
    assert both.scores[0] == pytest.approx((2 * np.sqrt(500)) ** 2, rel=0.15), "(√500 + √500)² = 2000, not 1000"


def test_two_visits_from_each_of_two_pins_count_eight_and_four_from_one_count_four() -> None:
    """Walkers that cannot go elsewhere: two steps from each of two pins all end at one pin."""
    graph = LiveGraph()
    for board, query in ((10, 1), (11, 2)):
        # The query has one board; of that board's pins the walk draws 9 or the query itself, so look for seeds where
        # it drew 9 each time.
        graph.add(np.array([query, 9]), np.array([board, board]))
    want = {8.0}
    seen: set[float] = set()
    for seed in range(200):
        found = graph.walk(np.array([1, 2]), np.ones(2), 5, seed, Walking(steps=4, restart=1.0))
        assert found.steps.tolist() == [2, 2]
        seen.update(np.round(found.scores, 9).tolist())
    assert want <= seen
    # (√a + √b)² for a, b ≤ 2 visits of two steps each.
    possible = {round((np.sqrt(a) + np.sqrt(b)) ** 2, 9) for a in range(3) for b in range(3)}
    assert seen <= possible
    four = LiveGraph()
    four.add(np.array([1, 9]), np.array([10, 10]))
    scores = {
        score
        for seed in range(200)
        for score in four.walk(np.array([1]), np.ones(1), 5, seed, Walking(steps=4, restart=1.0)).scores.round(9)
    }
    assert max(scores) == 4.0, "(√4)²"


@given(
    st.lists(st.tuples(st.integers(0, 1_000), st.floats(0, 10)), min_size=1, max_size=20),
    st.integers(1, 100_000),
)
def test_steps_follow_the_published_scaling(queries: list[tuple[int, float]], steps: int) -> None:
    degrees, weights = np.array([d for d, _ in queries]), np.array([w for _, w in queries])
    largest = max(int(degrees.max()), 1)
    found = allotted(degrees, weights, largest, steps)
    assert ((found >= 1) == (degrees > 0)).all(), "every pin with a board has a step, the others none"
    assert found.sum() <= steps + np.count_nonzero(degrees)
    scaled = np.array([d * (log(largest) - log(d)) if d else 0.0 for d in degrees.tolist()]) * weights
    if scaled.sum() > 0:
        want = np.maximum(scaled / scaled.sum() * steps, degrees > 0)
        np.testing.assert_allclose(found[degrees > 0], want[degrees > 0], atol=1.001, rtol=1e-9)


def test_steps_grow_more_slowly_than_degrees() -> None:
    degrees = np.array([1, 10, 100])
    one, ten, hundred = allotted(degrees, np.ones(3), 1_000, 100_000).tolist()
    assert one < ten < hundred and ten < 10 * one and hundred < 10 * ten


def test_a_preferred_key_is_kept_to_where_it_can_be() -> None:
    random = np.random.default_rng(0)
    graph = LiveGraph()
    pins, boards = np.arange(1, 401), np.arange(1, 101)
    graph.tell_pins(pins, (pins % 2).astype(np.uint8))
    graph.tell_boards(boards, (boards % 2).astype(np.uint8))
    graph.add(random.choice(pins, 4_000), random.choice(boards, 4_000))
    of = {key: graph.walk(np.array([2]), np.ones(1), 100, 3, Walking(steps=20_000, key=key)) for key in (-1, 0, 1, 7)}
    share = {key: float(found.scores[found.pins % 2 == 1].sum() / found.scores.sum()) for key, found in of.items()}
    assert 0.3 < share[-1] < 0.7 and share[7] == share[-1], "nobody has key 7, so it prefers nothing"
    assert share[1] > 0.99 and share[0] < 0.01
    graph.add(np.array([1_000, 1_001]), np.array([500, 500]))
    lonely = graph.walk(np.array([1_000]), np.ones(1), 10, 3, Walking(steps=100, key=1))
    assert lonely.pins.tolist() == [1_001], "where no neighbour has the key, any will do"


def test_early_stop_ends_a_walk_when_enough_pins_are_sure() -> None:
    graph, _ = random_graph(1, pins=200, boards=80, edges=2_000)
    query = np.array([5, 9])
    whole = graph.walk(query, np.ones(2), 20, 4)
    early = graph.walk(query, np.ones(2), 20, 4, Walking(many=30, visits=8))
    assert whole.steps.sum() >= 99_998 and early.steps.sum() < 20_000
    assert (early.steps > 30 * 8).all(), "each query pin on its own"
    assert len(set(whole.pins.tolist()) & set(early.pins.tolist())) >= 14


def test_the_same_seed_gives_the_same_answer_bit_for_bit_and_a_save_another() -> None:
    graph, _ = random_graph(2)
    ask = (np.array([3, 8, 9]), np.array([1.0, 0.5, 0.2]), 60)
    first, again, other = graph.walk(*ask, 5), graph.walk(*ask, 5), graph.walk(*ask, 6)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.scores, other.scores)
    graph.add(np.array([8, 999]), np.array([777, 777]))
    assert 999 in graph.walk(*ask, 5).pins and 999 not in first.pins


def test_unknown_pins_and_those_without_a_board_have_no_steps() -> None:
    graph = LiveGraph()
    assert graph.walk(np.array([1]), np.ones(1), 5, 1).pins.tolist() == []
    graph.add(np.array([1, 2, 3]), np.array([10, 10, 11]))
    graph.remove(np.array([3]))
    found = graph.walk(np.array([99, 3, 1]), np.ones(3), 5, 1, Walking(steps=100))
    assert found.steps.tolist() == [0, 0, 100] and found.pins.tolist() == [2]
    nobody = graph.walk(np.array([99, 3]), np.ones(2), 5, 1)
    assert nobody.pins.tolist() == [] and nobody.steps.tolist() == [0, 0]
    assert graph.walk(np.zeros(0, np.int64), np.zeros(0), 5, 1).pins.tolist() == []

"""The board graph against the formula over a plain set of edges."""

from __future__ import annotations

from collections import defaultdict
from math import log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.board_graph import BoardGraph, Origin

Edge = tuple[int, int]  # pin, board
ROWS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 6), st.sampled_from([*Origin])), max_size=60)
ALL = np.arange(1, 13)


def add(graph: BoardGraph, rows: list[tuple[int, int, Origin]]) -> None:
    for pin, board, origin in rows:
        graph.add(np.array([pin]), np.array([board]), origin)


def expected(edges: set[Edge], seeds: list[int], weights: list[float]) -> dict[int, float]:
    pins: dict[int, set[int]] = defaultdict(set)
    boards: dict[int, set[int]] = defaultdict(set)
    for pin, board in edges:
        pins[board].add(pin)
        boards[pin].add(board)
    scores: dict[int, float] = defaultdict(float)
    for seed, weight in zip(seeds, weights, strict=True):
        for board in boards[seed]:
            for pin in pins[board] - set(seeds):
                scores[pin] += weight / log2(2 + len(pins[board]))
    return {pin: score / sqrt(len(boards[pin])) for pin, score in scores.items()}


@given(ROWS, ROWS, st.lists(st.integers(1, 12), max_size=3), st.randoms(use_true_random=False))
def test_scores_follow_the_formula_whatever_came_and_went(added, dropped, removed, random) -> None:  # type: ignore[no-untyped-def]
    graph = BoardGraph()
    add(graph, random.sample(added, len(added)))
    reasons = {row for row in added if row[1]}
    for pin, board, origin in dropped:
        graph.drop(np.array([pin]), np.array([board]), origin)
        reasons.discard((pin, board, origin))
    graph.remove(np.array(removed, np.int64))
    edges = {(pin, board) for pin, board, _ in reasons if pin not in removed}
    assert len(graph) == len(edges)
    seeds, weights = [1, 2, 99], [1.0, 0.5, 3.0]
    want = expected(edges, seeds, weights)
    found = graph.related(np.array(seeds), np.array(weights), 20)
    assert dict(zip(found.pins.tolist(), found.scores.tolist(), strict=True)) == pytest.approx(want)
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    few = graph.related(np.array(seeds), np.array(weights), 2)
    assert few.scores.tolist() == found.scores[:2].tolist()


def test_the_same_edge_twice_is_one_edge_and_either_reason_keeps_it() -> None:
    graph = BoardGraph()
    pin, board = np.array([1, 1]), np.array([5, 5])
    graph.add(pin, board)
    graph.add(pin, board, Origin.HOME)
    assert len(graph) == 1
    graph.drop(pin, board, Origin.SAVED)
    assert len(graph) == 1
    graph.drop(pin, board, Origin.HOME)
    assert len(graph) == 0
    graph.add(pin, board)
    assert len(graph) == 1


def test_bounds_take_the_latest_pins_of_a_board_and_the_latest_boards_of_a_pin() -> None:
    graph = BoardGraph()
    pins = np.arange(1, 1001)
    graph.add(pins, np.full(1000, 7))
    graph.add(np.array([1, 2000]), np.array([8, 8]))
    found = graph.related(np.array([1]), np.ones(1), 500, max_boards=2, max_pins_per_board=10)
    assert set(found.pins.tolist()) == {2000, *range(991, 1001)}
    found = graph.related(np.array([1]), np.ones(1), 500, max_boards=1)
    assert found.pins.tolist() == [2000]


def test_nothing_is_related_to_the_unknown() -> None:
    assert BoardGraph().related(np.array([1]), np.ones(1), 5).pins.tolist() == []


def test_the_first_saves_go_and_homes_stay_when_there_are_too_many() -> None:
    graph, random = BoardGraph(most_saved=1_000), np.random.default_rng(3)
    homes = np.arange(1, 501)
    graph.add(homes, homes % 50 + 1, Origin.HOME)
    saves: list[Edge] = []
    for _ in range(60):
        pins, boards = random.integers(1, 501, 100), random.integers(100, 400, 100)
        graph.add(pins, boards)
        saves += list(zip(pins.tolist(), boards.tolist(), strict=True))
        assert len(graph) <= 500 + 1_250
    latest = set(list(dict.fromkeys(reversed(saves)))[:500])
    assert len(graph) >= 1_500, "all homes and at least the thousand latest"
    want = expected(latest | {(pin, pin % 50 + 1) for pin in homes.tolist()}, [7], [1.0])
    found = graph.related(np.array([7]), np.ones(1), 500)
    assert set(want) <= set(found.pins.tolist()), "what is at home or was saved lately is still found"

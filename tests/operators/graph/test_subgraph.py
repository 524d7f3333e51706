"""The subgraph of two convolutions, and where pins stand: nothing is lost when numbers change."""

from __future__ import annotations

import numpy as np

from operators.graph.live import LiveGraph
from operators.graph.neighbourhood import neighbourhoods
from operators.graph.origin import Origin
from operators.graph.standing import Standing, changed_enough, standing
from operators.graph.subgraph import subgraph


def graph_of(*edges: tuple[int, int]) -> LiveGraph:
    graph = LiveGraph()
    graph.add(np.array([pin for pin, _ in edges]), np.array([board for _, board in edges]))
    return graph


def test_places_name_the_same_neighbours_and_inner_pins_come_first() -> None:
    random = np.random.default_rng(3)
    graph = LiveGraph()
    graph.add(random.integers(1, 200, 400), random.integers(1, 60, 400))
    pins = np.array([7, 150, 3, 999])
    part = subgraph(pins, lambda some: neighbourhoods(graph, some, seed=1))
    assert part.pins[:4].tolist() == pins.tolist() and part.asked == 4
    assert len(np.unique(part.pins)) == len(part.pins) and (part.pins > 0).all()
    p = len(part.neighbours)
    direct = neighbourhoods(graph, part.pins[:p], seed=1)
    there = direct.pins > 0
    alone = ~there.any(1)
    assert alone[3], "a pin that stands nowhere"
    assert (part.neighbours[alone, 0] == np.flatnonzero(alone)).all() and (part.weights[alone, 0] == 1).all()
    assert (part.neighbours[~alone] >= 0).tolist() == there[~alone].tolist()
    assert (part.pins[part.neighbours[there]] == direct.pins[there]).all()
    np.testing.assert_allclose(part.weights.sum(1), 1, atol=1e-5)
    assert part.neighbours[:4].max() < p <= len(part.pins)


def test_standing_tells_boards_apart_in_whatever_order_they_came() -> None:
    one, other = graph_of((1, 10), (1, 20), (2, 10)), graph_of((2, 10), (1, 20), (1, 10))
    pins = np.array([1, 2, 3])
    now, then = standing(one, pins), standing(other, pins)
    assert now.boards.tolist() == [2, 1, 0] and now.sums.tolist() == then.sums.tolist() and now.sums[2] == 0
    one.drop(np.array([1]), np.array([20]), Origin.SAVED)
    one.add(np.array([1]), np.array([30]))
    moved = standing(one, pins)
    assert moved.boards.tolist() == [2, 1, 0] and moved.sums[0] != now.sums[0] and moved.sums[1] == now.sums[1]


def test_few_boards_count_each_and_many_when_they_are_twice_as_many() -> None:
    def of(*boards: int) -> Standing:
        return Standing(np.array(boards), np.array(boards) * 7)

    then = of(0, 1, 3, 3, 10, 10, 10, 10, 10)
    now = of(1, 2, 3, 4, 11, 19, 20, 6, 5)
    assert changed_enough(then, now).tolist() == [True, True, False, True, False, False, True, False, True]

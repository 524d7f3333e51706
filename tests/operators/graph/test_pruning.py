"""Pruning by hand-made topics."""

from __future__ import annotations

import numpy as np
import pytest

from operators.graph.pruning import board_topics, diffuse, kept, nearness

#: Pins 0–3 are about topic 0, 4–7 about topic 1. Board 0 has the first four, board 1 all.
TOPICS = np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 1, 1, 1, 1]]
PINS = np.array([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7])
BOARDS = np.array([0] * 4 + [1] * 8)


def test_a_board_about_everything_is_diffuse() -> None:
    of_boards = board_topics(BOARDS, PINS, TOPICS, 3)
    assert of_boards.tolist() == [[1, 0], [0.5, 0.5], [0, 0]]
    assert diffuse(of_boards, 0.9).tolist() == [False, True, False]


def test_the_nearest_boards_of_a_pin_stay() -> None:
    near = nearness(PINS, BOARDS, TOPICS, board_topics(BOARDS, PINS, TOPICS, 2))
    assert near[0] == pytest.approx(1) and near[4] == pytest.approx(np.sqrt(0.5))
    # 2^0 = 1 board of each pin: of 0–3 the one of their topic, of 4–7 their only one.
    assert np.flatnonzero(kept(PINS, 0.0, near)).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


@pytest.mark.parametrize(("degree", "delta", "stay"), [(8, 2 / 3, 4), (100, 0.91, 67), (1, 0.5, 1), (5, 1.0, 5)])
def test_a_pin_keeps_its_degree_to_the_power_of_delta_the_newest_without_topics(
    degree: int, delta: float, stay: int
) -> None:
    pins = np.concatenate([np.full(degree, 3), np.array([9])])
    assert np.flatnonzero(kept(pins, delta)).tolist() == [*range(degree - stay, degree), degree]


def test_nothing_to_prune() -> None:
    none = np.zeros(0, np.intp)
    assert kept(none, 0.5).tolist() == []

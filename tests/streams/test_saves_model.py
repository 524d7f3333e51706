"""The model of saves learns in another thread while the hot state changes, and is asked by slates."""

from __future__ import annotations

import asyncio

import numpy as np

from operators.batch import Ints
from streams.pace import Pace
from streams.saves_model import LOOK_SECONDS, learn
from streams.state import HotState


def saves(random: np.random.Generator, n: int) -> tuple[Ints, Ints]:
    """Boards of even pins and boards of odd ones."""
    boards = random.integers(1, 300, n)
    return 2 * random.integers(1, 100, n) + boards % 2, boards


async def test_it_learns_what_is_due_while_saves_come_and_then_rests() -> None:
    state, random = HotState(), np.random.default_rng(0)
    state.board_graph.add(*saves(random, 5_000))
    owed = len(state.board_graph) // state.together.bounds.saves
    assert owed >= 3 and state.together.due
    waits: list[float] = []
    for _ in range(owed):
        learning = asyncio.create_task(learn(state, Pace()))
        await asyncio.sleep(0)
        state.board_graph.add(np.array([1_000 + len(waits)]), np.array([2]))
        state.together.recommend(np.array([2, 4, 6]), 10)
        waits.append(await learning)
    assert min(waits) > 0 and state.together.taste.steps == owed
    assert not state.together.due and await learn(state, Pace()) == LOOK_SECONDS
    assert set(state.together.recommend(np.array([2, 4, 6]), 20).pins % 2) == {0}


async def test_an_erased_pinners_pins_and_deleted_ones_are_out_of_its_answers() -> None:
    state, random = HotState(), np.random.default_rng(0)
    state.board_graph.add(*saves(random, 5_000))
    await learn(state, Pace())
    assert 8 in state.together.recommend(np.array([2, 4, 6]), 500).pins
    state.board_graph.remove(np.array([8]))
    assert 8 not in state.together.recommend(np.array([2, 4, 6]), 500).pins

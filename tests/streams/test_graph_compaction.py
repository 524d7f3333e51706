"""The board graph is compacted in another thread while saves are folded."""

import asyncio

import numpy as np
import pytest

from operators.graph.compaction import Compaction
from streams.graph_compaction import compact
from streams.state import HotState


def saves(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return random.integers(1, 3_000, n), random.integers(1, 600, n)


def loosened(*states: HotState) -> np.random.Generator:
    """Saves that leave one run after another behind."""
    random = np.random.default_rng(3)
    while not states[0].board_graph.loose:
        some = saves(random, 2_000)
        for state in states:
            state.board_graph.add(*some)
    return random


async def test_nothing_is_lost_of_what_comes_meanwhile_and_memory_comes_back() -> None:
    state, plain = HotState(), HotState()
    random = loosened(state, plain)
    compacting = asyncio.create_task(compact(state))
    for _ in range(20):
        await asyncio.sleep(0)
        some = saves(random, 100)
        for each in (state, plain):
            each.board_graph.add(*some)
    assert await compacting
    await compact(state)  # so small a graph is loose again by what came meanwhile
    assert not state.board_graph.loose and not await compact(state)
    assert len(state.board_graph) == len(plain.board_graph)
    answers = [each.board_graph.walk(some[0][:5], np.ones(5), 100, 1) for each in (state, plain)]
    assert all(np.array_equal(one, other) for one, other in zip(*answers, strict=True))


async def test_where_there_is_no_memory_for_it_the_graph_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    state = HotState()
    random = loosened(state)

    def full(_: Compaction) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Compaction, "run", full)
        with pytest.raises(MemoryError):
            await compact(state)
    before = len(state.board_graph)
    state.board_graph.add(*saves(random, 500))
    assert len(state.board_graph) > before
    assert await compact(state), "the next try may have room"

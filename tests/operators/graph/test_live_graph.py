"""The live graph: what came and went, compacted at any moment or restored, is the graph of what is left."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from math import log2, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.graph.live import LiveGraph
from operators.graph.origin import Origin
from operators.graph.pixie import Walking

Edge = tuple[int, int]  # pin, board
Reasons = set[tuple[int, int, Origin]]
PINS, BOARDS = 12, 6
EDGE = st.tuples(st.integers(1, PINS), st.integers(0, BOARDS), st.sampled_from([*Origin]))
CHANGE = st.one_of(
    st.tuples(st.just("add"), EDGE),
    st.tuples(st.just("add"), EDGE),
    st.tuples(st.just("drop"), EDGE),
    st.tuples(st.just("remove"), st.integers(1, PINS)),
    st.tuples(st.just("pin key"), st.tuples(st.integers(1, PINS), st.integers(0, 30))),
    st.tuples(st.just("board key"), st.tuples(st.integers(1, BOARDS), st.integers(0, 30))),
)
CHANGES = st.lists(CHANGE, max_size=120)
#: What may happen to the storage between two changes; none of it may show.
MEANWHILE = st.sampled_from(["", "", "", "compact", "begin", "end", "restore"])
ALL = {"max_boards": 10**6, "max_pins_per_board": 10**6}


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def change(graph: LiveGraph, what: str, row) -> None:  # type: ignore[no-untyped-def]
    if what == "add":
        graph.add(column(row[0]), column(row[1]), row[2])
    elif what == "drop":
        graph.drop(column(row[0]), column(row[1]), row[2])
    elif what == "remove":
        graph.remove(column(row))
    elif what == "pin key":
        graph.tell_pins(column(row[0]), np.array([row[1]], np.uint8))
    else:
        graph.tell_boards(column(row[0]), np.array([row[1]], np.uint8))


def left(changes: list) -> set[Edge]:  # type: ignore[type-arg]
    reasons: Reasons = set()
    for what, row in changes:
        if what == "add" and row[1]:
            reasons.add(row)
        elif what == "drop":
            reasons.discard(row)
        elif what == "remove":
            reasons = {each for each in reasons if each[0] != row}
    return {(pin, board) for pin, board, _ in reasons}


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


def walked(graph: LiveGraph, key: int = -1) -> list[list[float]]:
    """Everything that walks of a hundred steps say, for every key."""
    found = graph.walk(np.arange(1, PINS + 1), np.ones(PINS), 50, 11, Walking(steps=100, key=key))
    one = graph.walk(column(3), np.ones(1), 50, 12, Walking(steps=100, key=key))
    return [each.tolist() for each in (*found, *one)]


@given(CHANGES)
def test_scores_follow_the_formula_whatever_came_and_went(changes) -> None:  # type: ignore[no-untyped-def]
    graph = LiveGraph()
    for what, row in changes:
        change(graph, what, row)
    edges = left(changes)
    assert len(graph) == len(edges)
    seeds, weights = [1, 2, 99], [1.0, 0.5, 3.0]
    want = expected(edges, seeds, weights)
    found = graph.related(np.array(seeds), np.array(weights), 20)
    assert dict(zip(found.pins.tolist(), found.scores.tolist(), strict=True)) == pytest.approx(want)
    assert found.scores.tolist() == sorted(found.scores, reverse=True)
    few = graph.related(np.array(seeds), np.array(weights), 2)
    assert few.scores.tolist() == found.scores[:2].tolist()
    degrees = np.bincount([pin for pin, _ in edges], minlength=1)
    assert graph.largest == degrees.max()


@given(CHANGES, st.lists(MEANWHILE, max_size=120), st.integers(-1, 30))
def test_neither_compaction_nor_a_snapshot_changes_any_walk(changes, meanwhile, key) -> None:  # type: ignore[no-untyped-def]
    plain, busy = LiveGraph(), LiveGraph()
    running = None
    for n, (what, row) in enumerate(changes):
        change(plain, what, row)
        change(busy, what, row)
        then = meanwhile[n] if n < len(meanwhile) else ""
        if then == "begin" and running is None:
            running = busy.compaction()
        elif then == "end" and running is not None:
            for side in running:
                side.run()
                side.swap()
            running = None
        elif then == "compact" and running is None:
            busy.compact()
        elif then == "restore" and running is None:
            restored = LiveGraph()
            restored.restore(busy.snapshot())
            busy = restored
    assert len(busy) == len(plain) == len(left(changes))
    assert walked(busy, key) == walked(plain, key)
    busy.compact() if running is None else None
    assert walked(busy, key) == walked(plain, key)


def test_a_compaction_in_another_thread_loses_nothing_of_what_comes_meanwhile() -> None:
    random = np.random.default_rng(5)
    graph, plain = LiveGraph(), LiveGraph()
    pins, boards = random.integers(1, 20_000, 300_000), random.integers(1, 5_000, 300_000)
    for each in (graph, plain):
        each.add(pins, boards)
    before = len(graph)
    sides = graph.compaction()
    threads = [threading.Thread(target=side.run) for side in sides]
    for thread in threads:
        thread.start()
    for row in range(200):
        some = slice(row * 50, row * 50 + 50)
        new = (random.integers(1, 25_000, 500), random.integers(1, 6_000, 500))
        for each in (graph, plain):
            each.add(*new)
            each.drop(pins[some], boards[some], Origin.SAVED)
            each.remove(column(row + 1))
    for thread in threads:
        thread.join()
    for side in sides:
        side.swap()
    assert len(graph) == len(plain) != before
    queries = pins[-20:]
    one, other = (each.walk(queries, np.ones(20), 500, 3, Walking(steps=20_000)) for each in (graph, plain))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)) and len(one.pins) == 500
    graph.compact(), plain.compact()
    assert graph.nbytes == plain.nbytes


def test_the_same_edge_twice_is_one_edge_and_either_reason_keeps_it() -> None:
    graph = LiveGraph()
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
    graph = LiveGraph()
    pins = np.arange(1, 1001)
    graph.add(pins, np.full(1000, 7))
    graph.add(np.array([1, 2000]), np.array([8, 8]))
    found = graph.related(np.array([1]), np.ones(1), 500, max_boards=2, max_pins_per_board=10)
    assert set(found.pins.tolist()) == {2000, *range(991, 1001)}
    found = graph.related(np.array([1]), np.ones(1), 500, max_boards=1)
    assert found.pins.tolist() == [2000]


def test_nothing_is_related_to_the_unknown() -> None:
    assert LiveGraph().related(np.array([1]), np.ones(1), 5).pins.tolist() == []


def test_the_first_saves_go_and_homes_stay_when_there_are_too_many() -> None:
    graph, random = LiveGraph(most_saved=1_000), np.random.default_rng(3)
    homes = np.arange(1, 501)
    graph.add(homes, homes % 50 + 1, Origin.HOME)
    saves: list[Edge] = []
    for _ in range(60):
        pins, boards = random.integers(1, 501, 100), random.integers(100, 400, 100)
        graph.add(pins, boards)
        saves += list(zip(pins.tolist(), boards.tolist(), strict=True))
        assert len(graph) <= 500 + 1_100
    latest = set(list(dict.fromkeys(reversed(saves)))[:500])
    assert len(graph) >= 1_500, "all homes and at least the thousand latest"
    want = expected(latest | {(pin, pin % 50 + 1) for pin in homes.tolist()}, [7], [1.0])
    found = graph.related(np.array([7]), np.ones(1), 500)
    assert set(want) <= set(found.pins.tolist()), "what is at home or was saved lately is still found"


def test_boards_and_pins_that_nobody_saves_any_more_take_no_memory_for_ever() -> None:
    graph = LiveGraph(most_saved=2_000)
    sizes: list[int] = []
    for n in range(200):
        fresh = np.arange(n * 1_000, n * 1_000 + 1_000) + 1
        graph.add(fresh, fresh)
        sizes.append(graph.nbytes)
    assert 2_000 <= len(graph) <= 2_200
    assert max(sizes[20:]) <= 2 * max(sizes[:20])


def test_a_key_beyond_the_last_is_refused() -> None:
    with pytest.raises(ValueError, match="0 … 30"):
        LiveGraph().tell_pins(column(1), np.array([31], np.uint8))


def test_a_board_of_100_000_pins_a_pin_of_100_000_boards_and_a_bot_stay_within_time_and_memory() -> None:
    graph = LiveGraph()
    many = np.arange(1, 100_001)
    graph.add(many, np.full(len(many), 7))
    graph.add(np.full(len(many), 5), many + 1_000)
    graph.add(many + 500_000, many + 1_000)
    warm = Walking(steps=1_000)
    graph.walk(column(5), np.ones(1), 10, 1, warm), graph.related(column(5), np.ones(1), 10)
    graph.drop(column(1), column(7), Origin.SAVED), graph.remove(column(2))
    began = time.process_time()
    for minute in range(60):
        bot = np.arange(1_000) + 200_000 + minute * 1_000
        graph.add(bot, np.full(1_000, 7))
        graph.add(bot, np.full(1_000, 7))  # and once more
    found = graph.walk(column(5), np.ones(1), 100, 1, Walking(steps=100_000))
    assert 0 < len(found.pins) <= 100 and found.steps.sum() == 100_000
    assert 0 < len(graph.related(column(5), np.ones(1), 100).pins) <= 100
    graph.drop(column(3), column(7), Origin.SAVED)
    graph.remove(column(5, 6))
    assert graph.walk(column(5), np.ones(1), 10, 1).pins.tolist() == []
    assert time.process_time() - began < 5, "milliseconds of work; a minute where a bound is missing"
    assert graph.nbytes < 40_000_000

"""The model of saves: it learns from edges step by step, within bounds, and begins again where it stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from operators.collaborative.factors import Around, Factors, Fitting
from operators.collaborative.model import Blend, Bounds, SavesModel
from operators.collaborative.rows import Rows
from operators.collaborative.spectrum import Spectrum
from operators.collaborative.taste import Learning, Taste
from operators.graph.live import LiveGraph

GROUPS, PINS, PINNERS = 4, 30, 120
LEARNING = Learning(width=16, rate=0.03, most=10_240)
BOUNDS = Bounds(saves=10, lists=64, wide=64, renewed=32)
FITTING = Fitting(width=8)


def saves(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pinners who save pins of one group each; ids of pins of group g are 1 + g · PINS …"""
    random = np.random.default_rng(seed)
    pinners = np.repeat(np.arange(1, PINNERS + 1), 8)
    pins = 1 + pinners % GROUPS * PINS + random.integers(0, PINS, len(pinners))
    order = random.permutation(len(pins))
    return pinners[order], pins[order]


def made() -> SavesModel:
    return SavesModel(bounds=BOUNDS, learning=LEARNING, directions=GROUPS, fitting=FITTING)


def factors_of(model: SavesModel) -> Factors:
    assert model.factors is not None
    return model.factors


def stream(model: SavesModel, pinners: np.ndarray, pins: np.ndarray) -> SavesModel:
    for begin in range(0, len(pins), 20):
        model.add(pinners[begin : begin + 20], pins[begin : begin + 20])
        while model.due:
            model.learn(model.draw())
    return model


@pytest.fixture(scope="module")
def learnt() -> SavesModel:
    model = stream(made(), *saves())
    assert model.taste.steps > 15 and model.spectrum.passes > 2 and factors_of(model).rounds > 8
    return model


@pytest.mark.parametrize("member", ["neighbours", "taste", "spectrum", "factors"])
def test_each_member_finds_what_goes_with_a_list(learnt: SavesModel, member: str) -> None:
    alone = made()
    alone.restore(learnt.snapshot())
    alone.blend = replace(Blend(neighbours=0, taste=0, spectrum=0, factors=0), **{member: 1.0})
    for group in range(GROUPS):
        seeds = 1 + group * PINS + np.arange(3)
        found = alone.recommend(seeds, 20).pins
        assert not set(found) & set(seeds)
        assert np.mean((found - 1) // PINS == group) > 0.8


def test_neighbours_are_the_product_of_normalised_matrices(learnt: SavesModel) -> None:
    pinners, pins = saves()
    edges = np.zeros((PINNERS + 1, GROUPS * PINS + 1))
    edges[pinners, pins] = 1
    of_pin, of_pinner = np.maximum(edges.sum(0), 1), np.maximum(edges.sum(1), 1)
    scaled = edges / np.sqrt(of_pin) / np.sqrt(of_pinner)[:, None]
    listed = np.array([1, 2, 3])
    wanted = (scaled.T @ scaled)[listed].sum(axis=0)
    graph = learnt.graph
    found, scores = learnt._beside(graph.pins.lookup(listed).astype(np.int64))
    np.testing.assert_allclose(scores, wanted[graph.pins.ids[found]], rtol=1e-9)


def test_what_is_restored_goes_on_as_if_nothing_had_happened() -> None:
    pinners, pins = saves()
    whole = stream(made(), pinners, pins)
    first = stream(made(), pinners[:480], pins[:480])
    again = made()
    again.restore({name: np.array(column) for name, column in first.snapshot().items()})
    stream(again, pinners[480:], pins[480:])
    for name, column in whole.snapshot().items():
        np.testing.assert_array_equal(column, again.snapshot()[name], err_msg=name)
    lists = [np.array([1, 2, 3]), np.array([40])]
    np.testing.assert_array_equal(whole.score(lists)[1], again.score(lists)[1])


def test_a_save_that_came_already_changes_nothing() -> None:
    pinners, pins = saves()
    model = stream(made(), pinners, pins)
    before = model.snapshot()
    model.add(pinners, pins)
    assert not model.due
    for name, column in model.snapshot().items():
        np.testing.assert_array_equal(column, before[name], err_msg=name)


def test_a_new_pin_is_found_with_its_first_saves_and_a_deleted_one_no_longer(learnt: SavesModel) -> None:
    model = made()
    model.restore(learnt.snapshot())
    new = 9_999
    model.add(np.array([4, 8, 12, 16]), np.full(4, new))  # pinners of group 0
    listed = np.unique(saves()[1][saves()[0] == 4])
    assert new in model.recommend(listed, 40).pins
    model.drop(np.array([new]))
    assert new not in model.recommend(listed, 500).pins
    assert new not in model.score([listed])[0]
    assert len(model.recommend(listed, 500).pins) == len(model.score([listed])[0]) - len(listed)


def test_nobody_knows_the_pins_of_a_list() -> None:
    model = made()
    assert not len(model.recommend(np.array([5]), 3).pins)
    model.learn(model.draw())
    stream(model, *saves())
    assert np.isfinite(model.score([np.array([777_777]), np.empty(0, np.int64)])[1]).all()


def test_many_pins_are_answered_by_neighbours_alone() -> None:
    model = SavesModel(bounds=replace(BOUNDS, learnt_pins=100), learning=LEARNING, directions=GROUPS, fitting=FITTING)
    stream(model, *saves())
    assert not model.due
    assert set((model.recommend(np.array([1, 2, 3]), 10).pins - 1) // PINS) == {0}


def test_a_robot_and_a_famous_pin_cost_no_more_than_the_bounds() -> None:
    bounds = replace(BOUNDS, pins_of_board=50, boards_of_pin=20, boards=10)
    model = SavesModel(bounds=bounds, learning=LEARNING, directions=GROUPS, fitting=FITTING)
    model.add(np.full(5_000, 1), np.arange(1, 5_001))
    model.add(np.arange(1, 501), np.full(500, 7))
    batch = model.draw()
    assert len(batch.rows.pins) <= 64 * 50
    assert len(batch.around.boards.pins) <= 32 * bounds.boards_of_renewed
    assert len(batch.around.of.pins) <= len(np.unique(batch.around.boards.pins)) * 50
    found, _ = model._beside(model.graph.pins.lookup(np.array([7, 4_999])).astype(np.int64))
    assert len(found) <= 10 * 50


def test_pins_that_are_numbered_anew_keep_what_was_learnt() -> None:
    model = stream(made(), *saves())
    model.drop(np.arange(1, 1 + PINS))
    before = model.recommend(np.array([PINS + 1, PINS + 2]), 30)
    snapshot = model.graph.snapshot()
    model.graph.restore(snapshot)  # as the graph does when most of its pins are gone
    assert len(model.graph.pins) == (GROUPS - 1) * PINS
    after = model.recommend(np.array([PINS + 1, PINS + 2]), 30)
    np.testing.assert_array_equal(before.pins, after.pins)
    model.learn(model.draw())
    assert len(model.taste) == len(factors_of(model)) == (GROUPS - 1) * PINS


def test_answers_while_a_step_is_under_way_and_new_pins_come() -> None:
    model = stream(made(), *saves())
    batch = model.draw()
    model.add(np.array([4, 8]), np.array([500, 501]))
    ids, scores = model.score([np.array([1, 2])])
    assert scores.shape == (1, len(ids)) and {500, 501} <= set(ids.tolist())
    model.learn(batch)
    model.learn(model.draw())
    assert len(model.taste) == len(factors_of(model)) == len(model.graph.pins)


def test_a_large_softmax_is_sampled_without_bias() -> None:
    """The sampled softmax stands for the whole one: weights of those drawn add up to those left out."""
    taste = Taste(Learning(width=4, rate=0.001, most=50), seed=1)
    taste.grow(1_000)
    pins, weight = taste._softmax_over(np.array([3, 999, 3]), np.random.default_rng(0))
    assert {3, 999} <= set(pins.tolist()) and len(pins) <= 50
    assert np.isclose(np.exp(weight).sum(), 1_000, rtol=0.01)
    rows = Rows(np.array([0, 3, 5]), np.array([1, 2, 3, 4, 5]))
    for _ in range(300):
        taste.learn(rows, np.zeros(1_000, np.float32))
    best = np.argsort(-taste.scores(rows, np.zeros(1_000, np.float32)), axis=1)
    assert set(best[0, :3]) == {1, 2, 3} and set(best[1, :2]) == {4, 5}


def test_the_spectrum_finds_the_widest_directions() -> None:
    random = np.random.default_rng(0)
    edges = random.random((200, 40)) < np.where(np.arange(40) % 4 == (np.arange(200) % 4)[:, None], 0.6, 0.02)
    edges[:, 0] = True
    _, pins = np.nonzero(edges)
    rows = Rows(np.concatenate([[0], np.cumsum(edges.sum(axis=1))]), pins)
    boards = edges.sum(axis=0)
    spectrum = Spectrum(4, iterations=30)
    spectrum.grow(40)
    for _ in range(30):
        spectrum.learn(rows, boards)
        spectrum.turn()
    scaled = edges / np.sqrt(boards) / np.sqrt(edges.sum(axis=1))[:, None]
    exact = np.linalg.svd(scaled, full_matrices=False)[2][:4]
    ours = spectrum._basis[:40]
    np.testing.assert_allclose(ours @ ours.T, exact.T @ exact, atol=1e-3)


def test_factors_are_renewed_by_the_normal_equations_and_lists_folded_in_by_theirs() -> None:
    random = np.random.default_rng(0)
    edges = random.random((50, 12)) < 0.3
    edges[:2] = True
    rows = Rows(np.concatenate([[0], np.cumsum(edges.sum(axis=1))]), np.nonzero(edges)[1])
    boards, width = edges.sum(axis=0), 5
    factors = Factors(Fitting(width, unobserved=0.2, penalty=0.3))
    factors.grow(12)
    penalty = 0.3 * boards.mean() ** 0.5 * np.eye(width)
    before = factors._vectors[:12].astype(np.float64)

    def folded(vectors: np.ndarray) -> np.ndarray:
        every = 0.2 * vectors.T @ vectors + penalty
        return np.stack(
            [np.linalg.solve(every + vectors[has].T @ vectors[has], vectors[has].sum(axis=0)) for has in edges]
        )

    lists = folded(before)
    pins = np.array([3, 7])
    of = [np.flatnonzero(edges[:, pin]) for pin in pins]
    around = Around(pins, Rows(np.cumsum([0, *map(len, of)]), np.concatenate(of)), rows)
    factors.learn(rows, around, boards, 50)
    factors.turn(boards)
    wanted = before.copy()
    for pin, has in zip(pins, of, strict=True):
        left = 0.2 * lists.T @ lists + penalty + lists[has].T @ lists[has]
        wanted[pin] = np.linalg.solve(left, lists[has].sum(axis=0))
    np.testing.assert_allclose(factors._vectors[:12], wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(factors.scores(rows, boards), folded(wanted) @ wanted.T, rtol=1e-3, atol=1e-4)


def test_latest_boards_of_a_pin_stand_for_all_that_it_is_on() -> None:
    rows = Rows(np.array([0, 2, 4]), np.array([0, 1, 0, 1]))
    one, other = Factors(Fitting(4)), Factors(Fitting(4))
    for factors, some in ((one, np.array([0, 1])), (other, np.array([0]))):
        factors.grow(3)
        factors.learn(rows, Around(np.array([0]), Rows(np.array([0, len(some)]), some), rows), np.array([2, 2, 0]), 2)
    np.testing.assert_allclose(one._vectors[0], other._vectors[0], rtol=1e-4)


def test_factors_that_begin_anew_answer_as_before_until_they_are_ripe() -> None:
    model = made()
    model.factors = Factors(replace(FITTING, rounds=5, ripe=3))
    model.add(*saves())
    answers: dict[int, np.ndarray] = {}
    while factors_of(model).rounds < 8:
        model.learn(model.draw())
        answers[factors_of(model).rounds] = factors_of(model).scores(
            Rows(np.array([0, 2]), np.array([0, 1])), np.zeros(0)
        )
    for before, after in ((3, 4), (4, 5), (7, 8)):
        assert not np.array_equal(answers[before], answers[after])
    for before, after in ((5, 6), (6, 7)):
        np.testing.assert_array_equal(answers[before], answers[after])


def test_factors_answer_when_every_pin_was_renewed_and_a_pin_without_boards_has_none() -> None:
    model = made()
    model.add(*saves())
    while not factors_of(model).rounds:
        before = factors_of(model).steps
        model.learn(model.draw())
    assert before + 1 == np.ceil(GROUPS * PINS / BOUNDS.renewed)
    gone = model.graph.pins.lookup(np.array([5]))
    model.drop(np.array([5]))
    while factors_of(model).rounds < 2:
        model.learn(model.draw())
    assert not factors_of(model)._vectors[gone].any() and factors_of(model)._vectors[0].any()


def test_without_factors_nothing_of_them_is_kept_or_asked_for() -> None:
    pinners, pins = saves()
    model = SavesModel(bounds=BOUNDS, learning=LEARNING, directions=GROUPS)
    stream(model, pinners, pins)
    columns = {name: np.array(column) for name, column in model.snapshot().items()}
    assert not any(name.startswith("factors") for name in columns)
    assert len(columns["model"]) == 4
    again = SavesModel(bounds=BOUNDS, learning=LEARNING, directions=GROUPS)
    again.restore(columns)
    other = SavesModel(bounds=BOUNDS, learning=LEARNING, directions=GROUPS)
    other.graph.add(pins, pinners)
    other.take_up(columns)
    lists = [np.array([1, 2, 3])]
    np.testing.assert_array_equal(model.score(lists)[1], again.score(lists)[1])
    np.testing.assert_allclose(model.score(lists)[1], other.score(lists)[1], rtol=1e-4, atol=1e-4)


def test_the_graph_is_shared_not_copied() -> None:
    graph = LiveGraph()
    model = SavesModel(graph, bounds=BOUNDS, learning=LEARNING, directions=GROUPS, fitting=FITTING)
    graph.add(np.array([1, 2, 3]), np.array([9, 9, 9]))
    assert set(model.recommend(np.array([1]), 5).pins.tolist()) == {2, 3}


def test_what_was_learnt_is_taken_up_on_a_graph_with_other_numbers(learnt: SavesModel) -> None:
    pinners, pins = saves()
    again = made()
    order = np.random.default_rng(1).permutation(len(pins))
    again.graph.add(pins[order], pinners[order])
    assert learnt.due is False
    columns = learnt.keepsake()()
    again.take_up({name: np.array(column) for name, column in columns.items()})
    assert not again.due and not learnt.busy
    lists = [np.array([1, 2, 3]), np.array([40])]
    (one, before), (other, after) = (model.score(lists) for model in (learnt, again))
    np.testing.assert_allclose(before[:, np.argsort(one)], after[:, np.argsort(other)], rtol=1e-4, atol=1e-4)
    again.add(pinners[:40] + 1_000, pins[:40])
    assert again.due
    again.learn(again.draw())
    assert again.taste.steps == learnt.taste.steps + 1
    assert factors_of(again).rounds >= factors_of(learnt).rounds > 0


def test_pins_that_came_since_begin_at_chance_and_no_step_is_taken_while_somebody_copies(learnt: SavesModel) -> None:
    model, again = made(), made()
    model.restore(learnt.snapshot())
    model.add(np.arange(1, 21) + 1_000, np.full(20, 5))
    assert model.due
    copied = model.keepsake()
    assert model.busy and not model.due and len(model.recommend(np.array([1, 2]), 5).pins)
    again.graph.add(np.array([777, 778]), np.array([5_000, 5_000]))
    again.graph.add(*saves()[::-1])
    again.take_up(copied())
    assert model.due
    assert set((again.recommend(np.array([1, 2, 3]), 10).pins - 1) // PINS) == {0}
    assert 778 in again.recommend(np.array([777]), 5).pins


def test_lists_that_have_only_begun_teach_nothing_and_answers_follow_the_weights_slowly() -> None:
    taste = Taste(replace(LEARNING, least=3, steady=0.9), seed=1)
    taste.grow(10)
    nothing = np.zeros(10, np.float32)
    taste.learn(Rows(np.array([0, 2, 4]), np.array([0, 1, 2, 3])), nothing)
    assert taste.steps == 0
    asked = Rows(np.array([0, 2]), np.array([4, 5]))
    before = taste.scores(asked, nothing)
    for _ in range(30):
        taste.learn(Rows(np.array([0, 2, 6]), np.array([0, 1, 4, 5, 6, 7])), nothing)
    assert taste.steps == 30 and not np.array_equal(before, taste.scores(asked, nothing))
    weights, mean = taste._tables[0], taste._tables[1]
    np.testing.assert_array_equal(weights[0], mean[0])  # nobody has shown it
    assert 0 < np.abs(weights[5] - mean[5]).max() < 0.03 * 30


def test_the_spectrum_passes_more_boards_than_taste_learns_from() -> None:
    model = SavesModel(bounds=replace(BOUNDS, lists=16, wide=64), learning=LEARNING, directions=GROUPS, fitting=FITTING)
    stream(model, *saves())
    batch = model.draw()
    assert len(batch.rows.starts) - 1 > 16
    head = batch.rows.head(16)
    assert len(head.starts) == 17 and len(head.pins) == head.starts[-1]

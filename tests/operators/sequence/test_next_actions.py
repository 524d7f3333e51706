"""What comes next: sequences are found, order counts, memory is bounded, the same actions give the same answer."""

import numpy as np
import pytest

from operators.sequence.next_actions import NextActions

HOUR = 3_600_000
NOW = 1_750_000_000_000


def _walks(chance, pinners, length, items):
    """Pinners who go from each item to the next of a circle, one in five times anywhere."""
    out = []
    for pinner in range(1, pinners + 1):
        item = int(chance.integers(items))
        for step in range(length):
            out.append((pinner, NOW + (pinner * length + step) * 1000, item + 1))
            item = (item + 1) % items if chance.random() < 0.8 else int(chance.integers(items))
    return [np.array(column) for column in zip(*out, strict=True)]


def test_what_follows_is_found_and_in_its_direction():
    model = NextActions()
    model.update(*_walks(np.random.default_rng(0), 200, 20, 50))
    come = model.next(np.array([7]), 1.0, 5)
    assert come.items[0] == 8
    assert 6 not in come.items[:1]
    assert (np.diff(come.scores) <= 0).all()
    assert 7 not in come.items


def test_one_by_one_is_as_all_at_once_and_the_same_again():
    pinners, times, items = _walks(np.random.default_rng(1), 40, 15, 30)
    whole, parts = NextActions(), NextActions()
    whole.update(pinners, times, items)
    for at in range(0, len(pinners), 7):
        parts.update(pinners[at : at + 7], times[at : at + 7], items[at : at + 7])
    for pinner in (1, 20, 40):
        history = items[pinners == pinner][::-1]
        one, two = (model.next(history, 60.0, 10) for model in (whole, parts))
        assert one.items.tolist() == two.items.tolist()
        assert one.scores == pytest.approx(two.scores)


def test_learning_lifts_what_was_chosen():
    """The likelihood of what comes is higher after a thousand outcomes than with the weights of the first."""
    pinners, times, items = _walks(np.random.default_rng(2), 300, 20, 50)
    model = NextActions()
    places = []
    for at in range(len(pinners)):
        if at % 19 == 18:
            scores = model.scores(int(pinners[at]), int(times[at]), np.arange(1, 51))
            places.append(int((scores > scores[items[at] - 1]).sum()))
        model.update(pinners[at : at + 1], times[at : at + 1], items[at : at + 1])
    assert np.mean(places[-80:]) < np.mean(places[:30])
    assert np.mean(np.array(places[-80:]) == 0) > 0.6


def test_memory_is_bounded_and_the_lately_active_stay():
    model = NextActions(followers=8, max_items=100, max_pinners=50)
    chance = np.random.default_rng(3)
    sizes = []
    for block in range(30):
        pinners = np.sort(chance.integers(block * 20 + 1, block * 20 + 40, 200))
        items = chance.integers(block * 30 + 1, block * 30 + 60, 200)
        model.update(pinners, NOW + block * 48 * HOUR + np.arange(200) * 1000, items)
        sizes.append(model.nbytes)
    assert max(sizes[15:]) <= 2 * max(sizes[5:15])
    come = model.next(items[::-1], 1.0, 20)
    assert len(come.items)
    assert come.items.min() > 29 * 30 - 200


def test_a_full_table_keeps_the_frequent_followers():
    model = NextActions(followers=4)
    chance = np.random.default_rng(4)
    for pinner in range(1, 2001):
        after = 2 if chance.random() < 0.5 else int(chance.integers(3, 200))
        model.update(np.full(2, pinner), NOW + np.array([pinner * 10, pinner * 10 + 5]), np.array([1, after]))
    assert model.next(np.array([1]), 1.0, 1).items.tolist() == [2]


def test_strangers_erased_and_clocks_that_go_back():
    model = NextActions()
    assert len(model.next(np.array([1]), 1.0, 5).items) == 0
    model.update(np.array([0, 1]), np.array([NOW, NOW]), np.array([5, 6]))
    assert len(model) == 1
    model.update(np.array([1, 2, 1]), np.array([NOW - 9 * HOUR, NOW + 10**13, 1_200_000_000_000]), np.array([7, 6, 8]))
    assert np.isfinite(model.scores(1, NOW, np.array([6, 7, 8]))).all()
    assert model.scores(1, NOW, np.array([12345]))[0] == -np.inf
    model.erase(1)
    model.update(np.array([1]), np.array([NOW]), np.array([6]))
    assert len(model.next(np.zeros(0, np.int64), 0.0, 5).items) == 0
    assert len(model.next(np.array([12345]), 1.0, 5).items) == 0


def test_items_that_nothing_is_known_of_keep_their_place():
    """What was done a moment ago is in the history before anything is learned of it."""
    model = NextActions()
    for pinner in range(1, 50):
        model.update(np.full(3, pinner), NOW + np.arange(3) * 1000, np.array([1, 2, 3]))
    assert model.next(np.array([777, 1]), 1.0, 2).items.tolist() == [3]
    assert model.next(np.array([1]), 1.0, 2).items.tolist() == [2]


def test_an_erased_history_is_gone():
    model = NextActions()
    model.update(np.full(2, 1), np.array([NOW, NOW + 1]), np.array([6, 7]))
    model.erase(1)
    model.update(np.full(1, 1), np.array([NOW + 2]), np.array([8]))
    assert len(model.next(np.array([7]), 1.0, 5).items) == 0


def test_it_goes_on_from_a_snapshot_as_if_nothing_had_been():
    pinners, times, items = _walks(np.random.default_rng(6), 150, 30, 400)
    sizes = {"followers": 8, "max_items": 150, "max_pinners": 60}
    whole, half, other = (NextActions(**sizes) for _ in range(3))
    whole.update(pinners, times, items)
    half.update(pinners[:2_345], times[:2_345], items[:2_345])
    half.erase(1)
    other.restore(half.snapshot())
    assert not other.remembers(np.array([1])).any()
    other.update(pinners[2_345:], times[2_345:], items[2_345:])
    one, two = whole.snapshot(), other.snapshot()
    assert len(whole) == len(other) == len(pinners)
    # Memory was looked after twice since, so who was erased is nobody's row any more.
    assert all(np.array_equal(column, two[name]) for name, column in one.items())


def test_many_items_are_learned_as_few_are():
    """Rows of more than 65,536 items are wider numbers."""
    few, many = NextActions(followers=4), NextActions(followers=4, max_items=60_000)
    pinners, times, items = _walks(np.random.default_rng(6), 30, 20, 40)
    for model in (few, many):
        model.update(pinners, times, items)
    one, two = (model.next(items[:10], 1.0, 20) for model in (few, many))
    assert one.items.tolist() == two.items.tolist()
    assert one.scores.tolist() == two.scores.tolist()
    assert many.snapshot()["followers"].dtype == np.int32
    few.restore(many.snapshot())
    assert few.next(items[:10], 1.0, 20).scores.tolist() == one.scores.tolist(), "a file of wider numbers serves"

"""Canonical pins: groups are right whatever the order, and hand over when a pin goes."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.vision.canonical import NEAR, SURE, Canonical
from operators.vision.fingerprint import BITS, VIEWS, WORDS, distances
from operators.vision.hamming import HammingIndex
from operators.vision.rolled_up import first_of_each


def views(seed: int, flipped: int = 0) -> np.ndarray:
    """A fingerprint whose views are alike, with so many bits of the picture ``seed`` flipped."""
    bits = np.random.default_rng(seed).integers(0, 2, BITS, np.uint8)
    bits[np.random.default_rng(seed + 1000).permutation(BITS)[:flipped]] ^= 1
    return np.repeat(np.packbits(bits).view(np.uint64)[None], len(VIEWS), 0)


def groups(index: Canonical, pins: list[int]) -> dict[int, list[int]]:
    return {pin: index.group(pin) for pin in pins}


def test_a_copy_rolls_up_to_the_earliest_pin():
    index = Canonical()
    assert index.add(7, 200, views(1)) == 7
    assert index.add(3, 300, views(1, 10)) == 7
    assert index.add(9, 100, views(1, 20)) == 9
    assert index.canonical(3) == 9
    assert index.group(7) == [9, 7, 3]
    assert index.add(4, 50, views(2)) == 4


def test_the_next_earliest_takes_over_and_a_bridge_that_goes_parts_a_group():
    index = Canonical()
    far = NEAR + 10
    for pin, flipped in ((1, 0), (2, far // 2), (3, far)):
        index.add(pin, pin, views(5, flipped))
    assert index.group(3) == [1, 2, 3]
    index.remove(2)
    assert (index.group(1), index.group(3)) == ([1], [3])
    index.add(2, 2, views(5, far // 2))
    index.remove(1)
    assert index.canonical(3) == 2
    assert index.canonical(1) == 1


def test_flat_pictures_are_only_themselves():
    index, flat = Canonical(), np.zeros((len(VIEWS), WORDS), np.uint64)
    assert [index.add(pin, pin, flat) for pin in (1, 2)] == [1, 2]
    index.add(3, 3, views(1))
    index.add(4, 4, views(1))
    assert index.add(3, 5, flat) == 3
    assert index.canonical(4) == 4


def test_a_second_opinion_is_asked_only_where_the_fingerprint_is_unsure():
    asked: list[set[int]] = []

    def opinion(one: int, other: int) -> bool:
        asked.append({one, other})
        return {one, other} == {1, 3}

    index = Canonical(opinion=opinion)
    index.add(1, 1, views(1))
    assert index.add(2, 2, views(1, SURE)) == 1
    assert not asked
    index.remove(2)
    assert index.add(3, 3, views(1, SURE + 1)) == 1
    assert index.add(4, 4, views(9)) == 4
    assert index.add(5, 5, views(9, SURE + 1)) == 5
    assert asked == [{1, 3}, {4, 5}]


def test_beyond_its_capacity_it_forgets_what_came_first():
    index = Canonical(capacity=2)
    for pin in (1, 2, 3):
        index.add(pin, pin, views(1))
    assert len(index) == 2
    assert index.group(3) == [2, 3]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90)), max_size=12), st.randoms(use_true_random=False))
def test_groups_are_those_of_brute_force_whatever_came_and_went(pictures: list[tuple[int, int]], chance: random.Random):
    prints = {pin: views(*picture) for pin, picture in enumerate(pictures, 1)}
    pins = list(prints)
    chance.shuffle(pins)
    gone = set(pins[: len(pins) // 3])
    index = Canonical()
    for pin in pins:
        index.add(pin, 1000 - pin, prints[pin])
    for pin in gone:
        index.remove(pin)
    left = sorted(set(pins) - gone)
    expected: dict[int, set[int]] = {pin: {pin} for pin in left}
    for one in left:
        for other in left:
            if int(distances(prints[one], prints[other])) <= NEAR and expected[one] is not expected[other]:
                expected[one] |= expected[other]
                for each in expected[one]:
                    expected[each] = expected[one]
    assert groups(index, left) == {pin: sorted(expected[pin], reverse=True) for pin in left}
    assert all(index.canonical(pin) == max(expected[pin]) for pin in left)
    again = Canonical()
    again.load(index.save())
    assert groups(again, left) == groups(index, left)
    assert {name: column.tolist() for name, column in again.save().items()} == {
        name: column.tolist() for name, column in index.save().items()
    }


def test_the_index_misses_nothing():
    draw, index = np.random.default_rng(3), HammingIndex()
    prints = [views(seed, int(draw.integers(0, 70))) for seed in range(20) for _ in range(10)]
    # Different flips of one picture, so that distances of all sizes occur.
    for each in prints:
        each[:] ^= np.packbits(draw.random(BITS) < 0.06).view(np.uint64)
    slots = [index.add(each) for each in prints]
    for each in prints[:60]:
        apart = distances(each[None], np.array(prints))
        near = {slot: int(d) for slot, d in zip(slots, apart, strict=True) if d <= NEAR}
        assert len(near) > 1
        assert index.within(each, NEAR) == near
    index.remove(slots[0])
    assert slots[0] not in index.within(prints[0], NEAR)
    assert index.add(prints[0]) == slots[0]


def test_many_pins_are_looked_up_at_once_whatever_came_and_went():
    draw, index = random.Random(5), Canonical(capacity=40)
    assert index.canonicals(np.array([3, 4])).tolist() == [3, 4]
    for step in range(400):
        pin = draw.randint(1, 60)
        if draw.random() < 0.3:
            index.remove(pin)
        else:
            index.add(pin, draw.randint(0, 9), views(draw.randint(0, 8), draw.randint(0, 60)))
        if step % 20 == 0:
            saved = Canonical(capacity=40)
            saved.load(index.save())
            pins = list(range(1, 70))
            expected = [index.group(each)[0] for each in pins]
            assert index.canonicals(np.array(pins)).tolist() == expected
            assert saved.canonicals(np.array(pins)).tolist() == expected


def test_what_is_near_to_a_pin_is_told_by_fingerprint():
    index = Canonical()
    for pin, seed, flipped in ((1, 1, 0), (2, 1, 5), (3, 1, 0), (4, 2, 0)):
        index.add(pin, pin, views(seed, flipped))
    assert [each.tolist() for each in index.near_to(1)] == [views(1, 5).tolist()]
    assert [each.tolist() for each in index.near_to(2)] == [views(1).tolist()]
    assert index.near_to(4) == [] == index.near_to(9)


def test_the_first_of_each_group_in_order():
    assert first_of_each(np.array([5, 2, 5, 9, 2])).tolist() == [0, 1, 3]
    assert first_of_each(np.array([5, 2, 5, 9, 2]), without=np.array([5, 7])).tolist() == [1, 3]
    assert first_of_each(np.zeros(0, np.int64)).tolist() == []

"""Regions: what many people cropped becomes few boxes, whatever came first."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.vision.regions import OVERLAP, overlaps, regions

side = st.tuples(st.integers(0, 19), st.integers(1, 10)).map(lambda each: (each[0] / 30, (each[0] + each[1]) / 30))
boxes = st.lists(st.tuples(side, side).map(lambda s: (s[0][0], s[1][0], s[0][1], s[1][1])), max_size=25)


def test_overlaps_by_hand():
    one = np.array([[0, 0, 0.5, 1], [0, 0, 0, 0]])
    other = np.array([[0.25, 0, 0.75, 1], [0, 0, 0.5, 1], [0.6, 0, 0.7, 1], [0, 0, 0, 0]])
    assert overlaps(one, other) == pytest.approx(np.array([[1 / 3, 1, 0, 0], [0, 0, 0, 0]]))


def test_crops_of_one_thing_become_their_mean():
    draw = np.random.default_rng(0)
    shoe, hat = np.array([0.1, 0.6, 0.4, 0.9]), np.array([0.5, 0.05, 0.8, 0.3])
    people = np.concatenate([shoe + draw.normal(0, 0.01, (30, 4)), hat + draw.normal(0, 0.01, (10, 4))])
    found = regions(people)
    assert found.crops.tolist() == [30, 10]
    assert found.boxes == pytest.approx(np.stack([people[:30].mean(0), people[30:].mean(0)]))


def test_nothing_cropped():
    assert len(regions(np.empty((0, 4))).crops) == 0


@given(boxes, st.randoms(use_true_random=False))
def test_order_has_no_say_and_no_crop_is_lost(given_boxes: list[tuple[float, ...]], chance: random.Random):
    shuffled = given_boxes.copy()
    chance.shuffle(shuffled)
    found = regions(np.array(given_boxes).reshape(-1, 4), most=100)
    again = regions(np.array(shuffled).reshape(-1, 4), most=100)
    assert found.boxes.tolist() == again.boxes.tolist()
    assert found.crops.tolist() == again.crops.tolist()
    assert found.crops.sum() == len(given_boxes)
    apart = overlaps(found.boxes, found.boxes)
    np.fill_diagonal(apart, 0)
    assert not (apart >= OVERLAP).any()
    assert np.all(np.diff(found.crops) <= 0)
    if len(found.boxes):
        assert found.boxes.min() >= 0
        assert found.boxes.max() <= 1

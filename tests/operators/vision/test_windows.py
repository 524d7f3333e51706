from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.vision.regions import overlaps
from operators.vision.windows import SAME, Box, windows


def overlap(one: Box, other: Box) -> float:
    return float(overlaps(np.array([one]), np.array([other]))[0, 0])


edges = st.tuples(*[st.floats(0, 1)] * 4)
boxes = edges.map(lambda e: (min(e[0], e[2]), min(e[1], e[3]), max(e[0], e[2]), max(e[1], e[3])))


@given(st.integers(0, 4))
def test_a_grid_covers_the_picture_once(side: int) -> None:
    grid = windows(side, [])
    assert sorted(grid) == list(range(side * side))
    assert sum((right - left) * (bottom - top) for left, top, right, bottom in grid.values()) == pytest.approx(
        min(side, 1)
    )
    assert not [one for one in grid.values() for other in grid.values() if one != other and overlap(one, other) > 1e-9]


@given(st.integers(1, 4), st.lists(boxes, max_size=5))
def test_a_window_goes_only_where_an_object_is_nearly_the_same(side: int, objects) -> None:
    whole, left = windows(side, []), windows(side, objects)
    for place, box in whole.items():
        covered = any(overlap(box, one) > SAME for one in objects)
        assert (place in left) != covered and (covered or left[place] == box)


@given(boxes, boxes)
def test_overlap_is_symmetric_and_a_share(one, other) -> None:
    assert 0 <= overlap(one, other) <= 1 + 1e-9 and overlap(one, other) == overlap(other, one)


def test_overlap_of_known_boxes() -> None:
    assert overlap((0, 0, 1, 1), (0, 0, 0.5, 0.5)) == 0.25
    assert overlap((0, 0, 0.5, 1), (0.25, 0, 0.75, 1)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 0.5, 1), (0.5, 0, 1, 1)) == 0

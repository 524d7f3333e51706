from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.lens_photo import OVERHANG, WHOLE, clipped, cut
from streams.lens_query import covered

fractions = st.floats(0, 1)
PIXELS = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=6))
def test_any_numbers_are_a_box_in_the_picture_or_a_sentence(edges: list[float]) -> None:
    try:
        left, top, right, bottom = clipped(edges)
    except ValueError as error:
        assert len(str(error)) > 10
    else:
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1


def test_what_hangs_over_a_little_is_cut_off() -> None:
    assert clipped((-OVERHANG, 0.25, 1 + OVERHANG, 1.01)) == (0.0, 0.25, 1.0, 1.0)


@given(st.tuples(*[fractions] * 4).filter(lambda e: e[0] < e[2] and e[1] < e[3]))
def test_a_cut_has_a_pixel_and_its_boxes_lead_back(box) -> None:
    photo = cut(PIXELS, box)
    assert photo.pixels.size
    assert photo.place(WHOLE) == pytest.approx(box)
    left, top, right, bottom = photo.place((0.25, 0.25, 0.75, 0.75))
    assert box[0] <= left <= right <= box[2] and box[1] <= top <= bottom <= box[3]


def test_a_cut_is_the_part_that_was_drawn() -> None:
    assert cut(PIXELS, (0.5, 0.25, 1.0, 0.75)).pixels.tolist() == PIXELS[10:30, 30:60].tolist()


def test_covered_counts_what_lies_in_any_box() -> None:
    assert covered([]) == 0 and covered([WHOLE]) == 1
    assert covered([(0, 0, 0.5, 1), (0.25, 0, 0.75, 1)]) == 0.75

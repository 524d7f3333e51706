"""Vectors as bits: packed, ±1 and brute force agree, and what they promise holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.vision.bits import binarise, hamming, nearest, signs

WIDTHS = st.sampled_from([8, 32, 64, 72, 256])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    width = draw(WIDTHS)
    few = st.floats(-1, 1, width=32)
    made = [draw(arrays(np.float32, (draw(st.integers(1, 6)), width), elements=few)) for _ in range(2)]
    return made[0], made[1], draw(arrays(np.float32, width, elements=few))


@given(pairs())
def test_packed_bits_and_signs_say_the_same(given: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    queries, rows, means = given
    apart = hamming(binarise(queries, means), binarise(rows, means))
    counted = ((queries > means)[:, None] != (rows > means)[None]).sum(2)
    np.testing.assert_array_equal(apart, counted)
    np.testing.assert_array_equal(signs(queries, means) @ signs(rows, means).T, len(means) - 2 * apart)


def test_bits_are_a_thirty_second_and_in_order() -> None:
    vectors = np.zeros((1, 256), np.float32)
    vectors[0, [0, 9]] = 1
    bits = binarise(vectors, np.full(256, 0.5, np.float32))
    assert bits.nbytes * 32 == vectors.nbytes
    assert bits[0, :3].tolist() == [0b1000_0000, 0b0100_0000, 0]


def test_the_nearest_come_first_and_of_equal_ones_the_earlier() -> None:
    assert nearest(np.array([[3, 1, 1, 0]]), 3).tolist() == [[3, 1, 2]]


@pytest.mark.parametrize(("width", "means"), [(8, 16), (12, 12)])
def test_lengths_that_cannot_be_bits_are_refused(width: int, means: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        binarise(np.zeros((1, width), np.float32), np.zeros(means, np.float32))


def test_nothing_is_no_error() -> None:
    none = np.zeros((0, 32), np.uint8)
    assert hamming(none, np.zeros((3, 32), np.uint8)).shape == (0, 3)
    assert hamming(np.zeros((2, 32), np.uint8), none).shape == (2, 0)

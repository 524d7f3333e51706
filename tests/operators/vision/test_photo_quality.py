"""Sharpness and light on made pictures; real photos are in ``tests/quality/test_photo_quality.py``."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from operators.vision.photo_quality import photo_quality, steepness

any_picture = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)))


def slope(width: int, across: bool) -> np.ndarray:
    """Luma that goes from black to white within ``width`` pixels."""
    line = np.clip((np.arange(64) - 32) / width, 0, 1).astype(np.float32)
    return np.tile(line, (64, 1)) if across else np.tile(line, (64, 1)).T.copy()


@pytest.mark.parametrize("across", [True, False])
def test_a_step_is_as_steep_as_can_be_and_a_slope_spreads_its_change(across: bool):
    assert steepness(slope(1, across)) == pytest.approx(1)
    assert steepness(slope(50, across)) == pytest.approx(1 / 5, abs=1e-3)
    found = [steepness(slope(width, across)) for width in (1, 2, 3, 4, 6, 8)]
    assert found == sorted(found, reverse=True)


def test_a_camera_that_moved_is_seen_though_edges_along_its_way_stay_sharp():
    squares = np.kron(np.indices((8, 8)).sum(0) % 2, np.ones((12, 12))).astype(np.float32)
    moved = np.mean([np.roll(squares, shift, 1) for shift in range(6)], axis=0, dtype=np.float32)
    assert steepness(squares) > 0.9
    assert steepness(moved) < 0.4


def test_light_rises_with_light_and_black_is_dark():
    found = [photo_quality(np.full((20, 30, 3), level, np.uint8)) for level in (0, 60, 120, 180, 255)]
    lights = [one.light for one in found]
    assert lights == sorted(lights)
    assert found[0].dark
    assert not found[-1].dark


def test_a_picture_without_edges_has_nothing_sharp():
    assert photo_quality(np.full((40, 40, 3), 200, np.uint8)).blurred


@given(any_picture)
def test_any_picture_gets_numbers_from_0_to_1(pixels: np.ndarray):
    judged = photo_quality(pixels)
    assert all(0 <= number <= 1 for number in judged[:3])
    assert judged.quality == judged.sharpness * judged.light
    assert (judged.blurred, judged.dark) == (judged.sharpness < 0.5, judged.light < 0.5)


def test_the_same_picture_larger_is_as_good():
    small = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    large = small.repeat(4, 0).repeat(4, 1)
    assert photo_quality(large) == pytest.approx(photo_quality(small), abs=1e-6)


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 5), (5, 5, 4)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match=r"pixels"):
        photo_quality(np.zeros(shape, np.uint8))

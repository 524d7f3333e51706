"""Fingerprints: what they must not notice, and what they must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.vision.canonical import NEAR, SURE
from operators.vision.fingerprint import BITS, VIEWS, WORDS, distances, fingerprint

seeds = st.integers(0, 10_000)


def picture(seed: int, height: int = 120, width: int = 100) -> np.ndarray:
    """Soft blobs of colour, as large and small as things in a photo are."""
    draw, image = np.random.default_rng(seed), np.zeros((height, width, 3))
    y, x = np.arange(height)[:, None, None] / height, np.arange(width)[:, None] / width
    for size in (0.5, 0.3, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05):
        across, down = draw.random(2)
        image += np.exp(-((x - across) ** 2 + (y - down) ** 2) / size**2) * draw.normal(size=3)
    image -= image.min()
    return (40 + 180 * image / image.max()).astype(np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> int:
    return int(distances(fingerprint(one), fingerprint(other)))


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_size_and_brightness_do_not_matter(seed: int):
    image = picture(seed)
    assert apart(image, image) == 0
    assert apart(image, image[::2, ::2]) <= SURE
    assert apart(image, (image * 0.7).astype(np.uint8)) <= SURE
    assert apart(image, image + 20) <= SURE


@settings(deadline=None, max_examples=15)
@given(seeds)
def test_a_cropped_copy_is_near_whichever_is_looked_at_first(seed: int):
    image = picture(seed, 240, 240)
    cropped = image[5:-5, 5:-5]
    assert apart(image, cropped) <= NEAR
    assert apart(cropped, image) == apart(image, cropped)


@settings(deadline=None, max_examples=15)
@given(seeds, seeds)
def test_other_pictures_and_mirror_images_are_far(one: int, other: int):
    if one != other:
        assert apart(picture(one), picture(other)) > NEAR
    assert apart(picture(one), picture(one)[:, ::-1]) > NEAR


def test_bits_are_balanced_and_shaped():
    prints = np.stack([fingerprint(picture(seed)) for seed in range(40)])
    assert prints.shape == (40, len(VIEWS), WORDS)
    share = np.bitwise_count(prints[:, 0]).sum() / (40 * BITS)
    assert 0.4 < share < 0.6


@pytest.mark.parametrize("value", [0, 17, 255])
def test_a_picture_of_one_colour_has_none(value: int):
    assert not fingerprint(np.full((30, 40, 3), value, np.uint8)).any()


def test_the_smallest_and_the_longest_pictures():
    assert not fingerprint(np.zeros((1, 1, 3), np.uint8)).any()
    assert fingerprint(picture(1)[:1]).any()
    assert fingerprint(picture(1, 3, 4000)).any()


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (0, 4, 3)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="fingerprint is of"):
        fingerprint(np.zeros(shape, np.uint8))

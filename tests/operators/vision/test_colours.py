"""Colours: CIELAB, the salient palette of pictures whose colours are known, and how far palettes are apart."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench.quality.made_pictures import HARMS, PICTURES, colours
from bench.quality.salient_colours import FOUND, of_made
from operators.vision.colours import Palette, palette_distance, salient_palette, to_lab, to_rgb

SEEDS = range(20)
any_picture = arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)))


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((128, 128, 128), (53.59, 0, 0)),
    ],
)
def test_known_colours_in_cielab(rgb: tuple[int, ...], lab: tuple[float, ...]):
    assert to_lab(np.array(rgb, np.uint8)) == pytest.approx(lab, abs=0.03)


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 30), st.just(3))))
def test_every_colour_survives_the_way_there_and_back(rgb: np.ndarray):
    assert (to_rgb(to_lab(rgb)) == rgb).all()


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("kind", PICTURES)
def test_every_colour_of_a_made_picture_is_found_and_in_order(kind: str, harm: str):
    for seed in SEEDS:
        farthest, places = of_made(kind, harm, seed)
        assert farthest <= FOUND, (seed, farthest)
        assert places[0] == 0, (seed, places)
        # A background may come anywhere behind what the picture is of: it is large.
        of_objects = places[:-1] if kind == "discs" else places
        assert of_objects == sorted(of_objects), (seed, places)


@given(any_picture, st.integers(1, 6))
def test_any_picture_has_a_palette(pixels: np.ndarray, k: int):
    palette = salient_palette(pixels, k)
    assert 1 <= len(palette.lab) == len(palette.weights) <= k
    assert palette.weights.sum() == pytest.approx(1, abs=1e-5)
    assert (palette.weights > 0).all()
    assert (np.diff(palette.weights) <= 0).all()
    again = salient_palette(pixels.copy(), k)
    assert (again.lab == palette.lab).all()
    assert (again.weights == palette.weights).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (300, 2), (640, 480)])
def test_a_flat_picture_has_one_colour(shape: tuple[int, int]):
    palette = salient_palette(np.full((*shape, 3), (200, 30, 90), np.uint8))
    assert to_rgb(palette.lab).tolist() == [[200, 30, 90]]


def test_a_picture_of_48_megapixels_takes_hardly_longer_than_a_small_one():
    pixels = np.tile(colours(np.random.default_rng(0), 1)[0], (6000, 8000, 1))
    pixels[2000:4000, 3000:5000] = 255 - pixels[0, 0]
    salient_palette(pixels[:9, :9])  # compiled before the clock runs
    start = time.process_time()
    palette = salient_palette(pixels)
    assert time.process_time() - start < 0.25
    assert to_rgb(palette.lab)[0].tolist() == pixels[3000, 4000].tolist()


@pytest.mark.parametrize("wrong", [np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)])
def test_what_is_no_picture_is_refused(wrong: np.ndarray):
    with pytest.raises(ValueError, match="pixels"):
        salient_palette(wrong)
    with pytest.raises(ValueError, match="palette"):
        salient_palette(np.zeros((4, 4, 3), np.uint8), 0)


@given(any_picture, any_picture)
def test_distance_is_none_to_itself_and_the_same_either_way(one: np.ndarray, other: np.ndarray):
    a, b = salient_palette(one), salient_palette(other)
    assert palette_distance(a, a) == 0
    assert palette_distance(a, b) == pytest.approx(palette_distance(b, a))
    assert palette_distance(a, b) >= 0


def test_distance_counts_colours_by_weight_and_is_delta_e_for_single_ones():
    def palette(*colours: tuple[float, tuple[float, float, float]]) -> Palette:
        return Palette(
            np.array([lab for _, lab in colours], np.float32), np.array([weight for weight, _ in colours], np.float32)
        )

    assert palette_distance(palette((1, (50, 0, 0))), palette((1, (50, 3, 4)))) == 5
    both = palette((0.9, (50, 0, 0)), (0.1, (50, 40, 0)))
    assert palette_distance(both, palette((1, (50, 0, 0)))) == pytest.approx(0.1 * 40 / 2)
    assert palette_distance(both, palette((1, (50, 40, 0)))) == pytest.approx(0.9 * 40 / 2)

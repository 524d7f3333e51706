"""Is a photo sharp, and is it well lit? Both judged so that what it shows matters little.

Sharpness is the steepness of the strongest edges: how much of the change across six pixels lies between two
neighbours, 1 for a perfect step and 1/5 for an even slope. It is asked along four directions and the least counts, for
a camera that moved leaves edges along its way sharp. Only strong edges are asked, so blank walls and noise have no
say. The idea that blur is the width of edges is that of Marziliano, Dufaux, Winkler and Ebrahimi, "A no-reference
perceptual blur metric", ICIP 2002.

Light is the lesser of two: how bright the photo is on the whole, and how bright its brightest places are. A photo of
something black is dark on the whole but has bright places; one taken with too little light has neither.

The constants were chosen on the training split of real photos; ``docs/lens.md`` has what they do on others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.vision.area_means import Pixels, area_means

#: Judged at about this many pixels on the longer side: blur that does not show at this size does not matter.
SIDE = 320
#: The strongest edges of each direction: this share of all places …
EDGES = 0.05
#: … as long as the luma (0 … 1) changes by this much.
LEAST_EDGE = 0.03
#: Below this steepness a photo is blurred; and how fast sharpness rises about it.
BLURRED_BELOW, STEEPNESS_SCALE = 0.44, 0.05
#: Below this mean of luma, or of its bright end, a photo is dark; and how fast light rises about it.
DARK_BELOW, DULL_BELOW, LIGHT_SCALE = 0.30, 0.62, 0.05
#: The quantile of luma that is the bright end: not the last one, which a lamp may be.
BRIGHT_END = 0.99
#: Rec. 709 weights of red, green and blue.
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


class PhotoQuality(NamedTuple):
    """How good a photo is, each number in 0 … 1; a flag is set where its number is below ½.

    Attributes:
        sharpness: of its strongest edges; 0 where it has none, as nothing in it is sharp then.
        light: how well lit. Too much light is not judged.
        quality: their product: a photo must be both.
        blurred, dark: whether it is.
    """

    sharpness: float
    light: float
    quality: float
    blurred: bool
    dark: bool


def photo_quality(pixels: Pixels) -> PhotoQuality:
    """Judge a picture ``(h, w, 3)`` of any size.

    Raises:
        ValueError: the picture has another shape or no pixels.
    """
    luma = _luma(pixels)
    sharpness = _squash(steepness(luma), BLURRED_BELOW, STEEPNESS_SCALE)
    light = lightness(luma)
    return PhotoQuality(sharpness, light, sharpness * light, sharpness < 0.5, light < 0.5)


def steepness(luma: NDArray[np.float32]) -> float:
    """Steepness of the strongest edges of ``(h, w)`` luma in 0 … 1, least of four directions; 0 without edges."""
    return float(_steepness(luma, EDGES, LEAST_EDGE))


def lightness(luma: NDArray[np.float32]) -> float:
    """How well lit ``(h, w)`` luma in 0 … 1 is, from 0 to 1."""
    place = int(BRIGHT_END * (luma.size - 1))
    bright = float(np.partition(luma, place, axis=None)[place])
    mean = float(luma.mean(dtype=np.float64))
    return min(_squash(mean, DARK_BELOW, LIGHT_SCALE), _squash(bright, DULL_BELOW, LIGHT_SCALE))


def _luma(pixels: Pixels) -> NDArray[np.float32]:
    # A whole number of pixels for one, as areas of mixed sizes would be of mixed sharpness.
    shrink = max(1, round(max(pixels.shape) / SIDE))
    small = area_means(pixels, *(max(1, side // shrink) for side in pixels.shape[:2]))
    return (small @ LUMA) / np.float32(255)


def _squash(value: float, middle: float, scale: float) -> float:
    return 1 / (1 + math.exp((middle - value) / scale))


#: Bins of the histogram that finds the strongest edges; a change of luma is at most 1.
_BINS = 512


@njit(cache=True, nogil=True)
def _steepness(luma: NDArray[np.float32], edges: float, least: float) -> float:  # pragma: no cover - compiled
    height, width = luma.shape
    lowest, found_edges = 1.0, False
    for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
        # From two steps before a place to three after it.
        top, bottom = 2 * down, height - 3 * down
        left, right = (3, width - 2) if across < 0 else (2 * across, width - 3 * across)
        histogram = np.zeros(_BINS + 1, np.int64)
        for y in range(top, bottom):
            for x in range(left, right):
                change = abs(luma[y + 3 * down, x + 3 * across] - luma[y - 2 * down, x - 2 * across])
                histogram[int(change * _BINS)] += 1
        wanted, at = edges * histogram.sum(), _BINS
        found = histogram[at]
        while at > 0 and found < wanted:
            at -= 1
            found += histogram[at]
        threshold = max(at / _BINS, least)
        whole, steepest = 0.0, 0.0
        for y in range(top, bottom):
            for x in range(left, right):
                change = abs(luma[y + 3 * down, x + 3 * across] - luma[y - 2 * down, x - 2 * across])
                if change < threshold:
                    continue
                step = 0.0
                for k in range(-2, 3):
                    here = luma[y + k * down, x + k * across]
                    step = max(step, abs(luma[y + (k + 1) * down, x + (k + 1) * across] - here))
                whole += change
                steepest += step
        if whole > 0:  # a direction without edges says nothing
            lowest = min(lowest, steepest / whole)
            found_edges = True
    return lowest if found_edges else 0.0

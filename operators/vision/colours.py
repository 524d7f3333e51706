"""The colours that a photo is remembered by: a palette in CIELAB, weighted by what draws the eye.

The picture is made small, its colours are grouped (k-means), near-equal groups are joined, and each counts as much as
its parts are salient.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.vision.area_means import Pixels, area_means, fitting
from operators.vision.lab import Lab, to_lab, to_rgb
from operators.vision.salience import purity, salience

__all__ = ["Palette", "palette_distance", "salient_palette", "to_lab", "to_rgb"]

#: The longer side of the small picture.
SIDE = 64
#: Groups to begin with, more than are wanted, so that no colour is missed; and rounds of k-means.
GROUPS, ROUNDS = 14, 6
#: Groups nearer than this are one colour. Lightness counts less, as light falls unevenly on things of one colour.
ONE_COLOUR, LIGHTNESS = 12.0, 0.6
#: A colour is the mean of the parts within this distance of its group's middle, so that mixtures do not shift it.
CORE = 8.0
#: k-means++ draws by these numbers, so that the same picture has the same palette.
_DRAWS = np.random.default_rng(0).random(GROUPS)


class Palette(NamedTuple):
    """Colours, most salient first.

    Attributes:
        lab: ``(k, 3)`` float32, CIELAB under D65.
        weights: ``(k,)`` float32, their shares of the salience; they fall and add up to 1.
    """

    lab: Lab
    weights: NDArray[np.float32]


def salient_palette(pixels: Pixels, k: int = 5) -> Palette:
    """At most ``k`` colours of a picture ``(h, w, 3)`` of any size; fewer where it has fewer.

    Raises:
        ValueError: the picture has another shape or no pixels, or ``k`` is less than 1.
    """
    if k < 1:
        raise ValueError(f"a palette of {k} colours is none")
    lab = to_lab(area_means(pixels, *fitting(pixels, SIDE)))
    parts = lab.reshape(-1, 3)
    scaled = parts * np.array([LIGHTNESS, 1, 1], np.float32)
    pure = purity(lab)
    groups = _join(*_group(scaled, pure.ravel(), _DRAWS, ROUNDS), ONE_COLOUR)
    group, apart = _nearest(scaled, groups)
    counts = np.maximum(np.bincount(group, minlength=len(groups)), 1)
    middles = np.stack([np.bincount(group, parts[:, axis], len(groups)) / counts for axis in range(3)], axis=1)
    salient = salience(group.reshape(lab.shape[:2]), middles.astype(np.float32)).ravel() * pure.ravel()
    core = salient * (apart <= CORE)
    weights = np.bincount(group, salient, len(groups))
    colours = np.stack([np.bincount(group, core * parts[:, axis], len(groups)) for axis in range(3)], axis=1)
    cores = np.bincount(group, core, len(groups))
    colours = np.where(cores[:, None] > 0, colours / np.maximum(cores, 1e-12)[:, None], middles)
    first = np.argsort(-weights, kind="stable")[: min(k, np.count_nonzero(weights))]
    return Palette(colours[first].astype(np.float32), (weights[first] / weights[first].sum()).astype(np.float32))


def palette_distance(a: Palette, b: Palette) -> float:
    """How far two palettes are apart, in units of CIE76's ΔE: 0 for equal ones, and the same either way.

    The mean distance of each colour to the nearest of the other palette, by weight, both ways.
    """
    apart = np.sqrt(((a.lab[:, None].astype(np.float64) - b.lab) ** 2).sum(axis=2))
    return float((a.weights @ apart.min(axis=1) + b.weights @ apart.min(axis=0)) / 2)


@njit(cache=True, nogil=True)
def _nearest(
    points: NDArray[np.float32], centres: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # pragma: no cover - compiled
    """The nearest centre of each point, and its distance."""
    which, apart = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    for i in range(len(points)):
        best = np.float32(np.inf)
        for j in range(len(centres)):
            x, y, z = points[i, 0] - centres[j, 0], points[i, 1] - centres[j, 1], points[i, 2] - centres[j, 2]
            square = x * x + y * y + z * z
            if square < best:
                best, which[i] = square, j
        apart[i] = np.sqrt(best)
    return which, apart


@njit(cache=True, nogil=True)
def _group(
    points: NDArray[np.float32], weights: NDArray[np.float32], draws: NDArray[np.float64], rounds: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:  # pragma: no cover - compiled
    """k-means from a k-means++ start: centres, no two equal, and what the points of each weigh."""
    centres = np.empty((len(draws), 3), np.float32)
    centres[0] = points[int(draws[0] * len(points))]
    k = 1
    left = np.full(len(points), np.inf, np.float32)
    while k < len(draws):
        total = 0.0
        for i in range(len(points)):
            x, y, z = (
                points[i, 0] - centres[k - 1, 0],
                points[i, 1] - centres[k - 1, 1],
                points[i, 2] - centres[k - 1, 2],
            )
            left[i] = min(left[i], weights[i] * (x * x + y * y + z * z))
            total += left[i]
        if total <= 0:
            break
        wanted, i = draws[k] * total, 0
        while i < len(points) - 1 and wanted >= left[i]:
            wanted -= left[i]
            i += 1
        centres[k] = points[i]
        k += 1
    centres = centres[:k]
    counts = np.zeros(k)
    for _ in range(rounds):
        which, _apart = _nearest(points, centres)
        sums, counts = np.zeros((k, 3)), np.zeros(k)
        for i in range(len(points)):
            counts[which[i]] += weights[i]
            for axis in range(3):
                sums[which[i], axis] += weights[i] * points[i, axis]
        for j in range(k):
            if counts[j] > 0:
                for axis in range(3):
                    centres[j, axis] = sums[j, axis] / counts[j]
    return centres, counts


@njit(cache=True, nogil=True)
def _join(
    centres: NDArray[np.float32], counts: NDArray[np.float64], least: float
) -> NDArray[np.float32]:  # pragma: no cover - compiled
    """Centres of which no two are nearer than ``least``: the nearest two become their mean until that is so."""
    centres, counts = centres[counts > 0].copy(), counts[counts > 0].copy()
    k = len(centres)
    while k > 1:
        one, other, best = 0, 0, np.inf
        for i in range(k):
            for j in range(i):
                x, y, z = centres[i, 0] - centres[j, 0], centres[i, 1] - centres[j, 1], centres[i, 2] - centres[j, 2]
                square = x * x + y * y + z * z
                if square < best:
                    one, other, best = j, i, square
        if best >= least * least:
            break
        both = counts[one] + counts[other]
        for axis in range(3):
            centres[one, axis] = (counts[one] * centres[one, axis] + counts[other] * centres[other, axis]) / both
        counts[one] = both
        k -= 1
        centres[other], counts[other] = centres[k], counts[k]
    return centres[:k].copy()

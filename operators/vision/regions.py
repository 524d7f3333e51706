"""Regions of interest: where in an image people crop, made of all their boxes at once.

Recomputed from the rows instead of folded, so the order in which crops came has no say and nothing has to be merged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints

#: Left, top, right, bottom in fractions of the image, ``(n, 4)``.
Boxes = NDArray[np.float64]

#: Boxes that share this much of what they cover together are of one thing.
OVERLAP = 0.5
#: Regions of an image, the most cropped first.
MOST_REGIONS = 16


class Regions(NamedTuple):
    """Regions, most cropped first: mean boxes ``(m, 4)`` and how many crops each is made of ``(m,)``."""

    boxes: Boxes
    crops: Ints


def regions(boxes: Boxes, overlap: float = OVERLAP, most: int = MOST_REGIONS) -> Regions:
    """Join what overlaps most, again and again, into means weighted by crops, until nothing overlaps enough.

    ``boxes`` ``(n, 4)`` in any order; time grows with n³, so give it hundreds.
    """
    # Sorted by where they lie, so that equal overlaps are joined in the same order whatever came first.
    means, counts = np.unique(np.asarray(boxes, np.float64), axis=0, return_counts=True)
    shared = overlaps(means, means)
    np.fill_diagonal(shared, -1.0)
    while len(means) > 1:
        one, other = sorted(divmod(int(shared.argmax()), len(means)))
        if shared[one, other] < overlap:
            break
        means[one] = np.average(means[[one, other]], axis=0, weights=counts[[one, other]])
        counts[one] += counts[other]
        means, counts = np.delete(means, other, 0), np.delete(counts, other)
        shared = np.delete(np.delete(shared, other, 0), other, 1)
        shared[one] = shared[:, one] = overlaps(means[one : one + 1], means)[0]
        shared[one, one] = -1.0
    order = np.lexsort((*means.T, -counts))[:most]
    return Regions(means[order], counts[order])


def overlaps(left: Boxes, right: Boxes) -> NDArray[np.float64]:
    """Intersection over union of every pair, ``(n, 4)`` and ``(m, 4)`` → ``(n, m)``; 0 where neither has an area."""
    start = np.maximum(left[:, None, :2], right[None, :, :2])
    end = np.minimum(left[:, None, 2:], right[None, :, 2:])
    both = np.prod(np.maximum(end - start, 0), axis=2)
    either = _areas(left)[:, None] + _areas(right) - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)

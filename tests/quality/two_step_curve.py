"""The curve of two-step detection: of every threshold the calls that it saves and the objects that it loses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


class Point(NamedTuple):
    """Shares, 0 … 1, of calls saved and of objects lost at a threshold."""

    threshold: float
    saved: float
    lost: float


class Curve(NamedTuple):
    """One point a threshold, and of how many objects."""

    points: list[Point]
    objects: int

    def __str__(self) -> str:
        lines = [
            f"  from {one.threshold:.1f}: calls saved {one.saved:.3f}, objects lost {one.lost:.3f}"
            for one in self.points
        ]
        return "\n".join(lines)


def curve(likelihoods: Sequence[float], objects: Sequence[int]) -> Curve:
    """Of pictures with these likelihoods (0 … 1) and numbers of objects: what each threshold saves and loses."""
    likely, held = np.array(likelihoods), np.array(objects)
    points = []
    for threshold in THRESHOLDS:
        skipped = likely < threshold - 1e-12
        points.append(Point(threshold, float(skipped.mean()), float(held[skipped].sum() / max(1, held.sum()))))
    return Curve(points, int(held.sum()))

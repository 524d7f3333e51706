"""Utility: what the ranker expects, and one number for each pin where it expects nothing.

The weighted sum of calibrated probabilities is Pinterest's (Pinnability, "multi-task, calibrated", 2020). It stands in
``streams/feed.linchpin``, so that weights change in minutes, without training again.
"""

from __future__ import annotations

import msgspec
import numpy as np

from operators.fusion import SMOOTHING
from operators.slate.candidates import PERSONAL, SOURCES, Floats

#: The ranker's outputs, in order.
ACTIONS = ("save", "closeup", "outbound_click", "hide")
#: Without a ranker: what quality, and sources that are the same for everybody, count beside those that know the pinner.
QUALITY, GENERAL = 0.5, 0.1
#: Sources that look at the same things.
ALIKE = (("boards", "walks"), ("boards", "together"), ("visual", "interests"))


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one action of each kind is worth; a hide costs."""

    save: float = 1.0
    closeup: float = 0.3
    outbound_click: float = 0.5
    hide: float = -3.0


def unranked(quality: Floats, scores: Floats) -> Floats:
    """The order without a ranker, ``(n,)`` in 0 … 1.6: who proposes the pin, and how early, before how good it is.

    Scales of sources have nothing in common, so places count (reciprocal rank fusion, as in ``operators.fusion``).
    ``boards``, ``walks`` and ``together`` look at the same boards, ``visual`` and ``interests`` at the same vectors: of
    such the best place counts.
    ``docs/degradation.md`` has what it is worth.

    Args:
        quality: ``(n,)`` of any scale, NaN where unknown (counts as the middle of those known).
        scores: ``(n, sources)`` in the order of ``SOURCES``, NaN where a source did not propose the pin.
    """
    personal = [name in PERSONAL for name in SOURCES[: scores.shape[1]]]
    good = np.where(np.isnan(quality), 0.5, _share_below(quality)).astype(np.float32)
    general = np.logical_not(personal)
    points = _points(scores)
    for one, other in ((SOURCES.index(one), SOURCES.index(other)) for one, other in ALIKE):
        if scores.shape[1] > other:
            points[:, one] = points[:, [one, other]].max(axis=1)
            points[:, other] = 0
    fused = _fused(points[:, personal]) + QUALITY * good + GENERAL * _fused(points[:, general])
    return fused.astype(np.float32)


def _points(scores: Floats) -> Floats:
    """Points for each place in each column; 0 where no source proposes the pin."""
    points = np.zeros(scores.shape, np.float32)
    for column, own in zip(scores.T, points.T, strict=True):
        known = ~np.isnan(column)
        places = np.searchsorted(np.sort(-column[known]), -column[known], side="left")
        own[known] = 1 / (SMOOTHING + 1 + places)
    return points


def _fused(points: Floats) -> Floats:
    """The sum of all columns, the best pin's made 1."""
    total = points.sum(axis=1)
    return total / total.max() if total.any() else total


def _share_below(values: Floats) -> Floats:
    """Rank from 0 to 1 among the known (equal values share the lower rank's place); 0 where unknown."""
    known = ~np.isnan(values)
    share = np.zeros(len(values), np.float32)
    if known.any():
        ordered = np.sort(values[known])
        share[known] = (np.searchsorted(ordered, values[known], side="right")) / len(ordered)
    return share

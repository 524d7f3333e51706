"""How much each part of a picture draws the eye, from its colours alone.

What the edge of a picture is made of is its background, unless it is not on the edge more than elsewhere (boundary
connectivity: Zhu, Liang, Wei and Sun, "Saliency optimization from robust background detection", CVPR 2014); what
differs from it in colour is looked at, and so is the middle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.vision.lab import Lab

Shares = NDArray[np.float32]
#: What the dullest part still counts, beside 1 for the most salient: the background is a colour of the picture too.
LEAST = 0.05
#: A difference from the background's colours (CIE76) that is as striking as any.
STRIKING = 40.0
#: A colour with this much of its share of the whole on the rim is all background.
RIM = 0.33
#: Half width of the middle, where half the picture's side is 1.
MIDDLE = 0.6
#: A change of colour (CIE76) towards a neighbour that marks a part as a mixture of two colours.
MIXED = 6.0
#: What a mixture counts still: a fine pattern is nothing but edges.
LEAST_PURE = 0.02


def salience(region: NDArray[np.int64], centres: Lab) -> Shares:
    """Salience ``(h, w)`` in 0 … 1 of the parts of a picture.

    Args:
        region: ``(h, w)``, which of the colours each part has.
        centres: ``(k, 3)``, those colours.
    """
    background = _background(region, len(centres))
    among = background / max(background.sum(), 1e-9)
    apart = np.sqrt(((centres[:, None] - centres) ** 2).sum(axis=2))
    striking = np.minimum(1, (apart * among).sum(axis=1) / STRIKING)
    drawn = striking * (1 - background)
    middle = _middle(*region.shape)
    return (LEAST + (1 - LEAST) * drawn[region] * middle).astype(np.float32)


def _background(region: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """How far each colour is background, in 0 … 1: its share of the rim as against its share of the whole."""
    rim = np.ones(region.shape, bool)
    rim[1:-1, 1:-1] = False
    areas = np.bincount(region.ravel(), minlength=k) / region.size
    edges = np.bincount(region[rim], minlength=k) / rim.sum()
    return np.clip(edges / (RIM * np.maximum(areas, 1e-9)), 0, 1)


def _middle(height: int, width: int) -> NDArray[np.float64]:
    y, x = (np.linspace(-1, 1, side + 2)[1:-1] ** 2 for side in (height, width))
    return np.exp(-(y[:, None] + x) / (2 * MIDDLE**2))


def purity(lab: Lab) -> Shares:
    """Purity ``(h, w)`` in 0 … 1 of parts ``(h, w, 3)``.

    A part on an edge mixes the colours of both sides and so differs from both neighbours, across or down; the part
    beside it is like the one of them that lies further in.
    """
    mixed = np.maximum(_between(lab), _between(lab.swapaxes(0, 1)).T)
    return (LEAST_PURE + (1 - LEAST_PURE) / (1 + (mixed / MIXED**2) ** 2)).astype(np.float32)


def _between(lab: Lab) -> Shares:
    """How much each part differs from the more similar one of those before and after it, squared; 0 at the ends."""
    steps = ((lab[1:] - lab[:-1]) ** 2).sum(axis=2)
    differs = np.zeros(lab.shape[:2], np.float32)
    differs[1:-1] = np.minimum(steps[1:], steps[:-1])
    return differs

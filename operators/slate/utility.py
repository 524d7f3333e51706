"""Utility: one number from what the ranker expects, with weights that people choose.

The weighted sum of calibrated probabilities is Pinterest's (Pinnability, "multi-task, calibrated", 2020): weights
change in minutes, without training again.
"""

from __future__ import annotations

import msgspec
import numpy as np

from operators.slate.candidates import Floats

#: The ranker's outputs, in order.
ACTIONS = ("save", "closeup", "outbound_click", "hide")


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one action of each kind is worth; a hide costs."""

    save: float = 1.0
    closeup: float = 0.3
    outbound_click: float = 0.5
    hide: float = -3.0


def utility(probabilities: Floats, weights: Weights) -> Floats:
    """``(n, 4)`` probabilities in the order of :data:`ACTIONS` → ``(n,)`` expected worth of showing each pin."""
    return probabilities @ np.asarray(msgspec.structs.astuple(weights), np.float32)


def popularity(quality: Floats, scores: Floats) -> Floats:
    """The order without a ranker: quality of the pin times how strongly its sources propose it, ``(n,)`` in 0 … 2.

    Args:
        quality: ``(n,)`` of any scale, NaN where unknown (counts as the middle of those known).
        scores: ``(n, sources)``, NaN where a source did not propose the pin. Scales differ, so ranks are used.
    """
    best = np.zeros(len(quality), np.float32)
    for column in scores.T:
        best = np.maximum(best, _share_below(column))
    known = _share_below(quality)
    return np.where(np.isnan(quality), np.float32(0.5), known) * (1 + best)


def _share_below(values: Floats) -> Floats:
    """Rank from 0 to 1 among the known (equal values share the lower rank's place); 0 where unknown."""
    known = ~np.isnan(values)
    share = np.zeros(len(values), np.float32)
    if known.any():
        ordered = np.sort(values[known])
        share[known] = (np.searchsorted(ordered, values[known], side="right")) / len(ordered)
    return share

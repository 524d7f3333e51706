"""Blend: how many of the candidates each source may propose for one pinner, learned from what came of its pins.

Sources keep their own order; their scores are never compared. Each (pinner, source) has a Beta posterior for every kind
of action; one draw of each, weighted by what the action is worth, is what the source is worth to this slate, and the
worths become whole shares (Thompson sampling; the integer ratios are those of Pinterest's blending of 2016). A pinner
of whom nothing is known has what is known of all pinners.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import SOURCES

Floats = NDArray[np.float64]
#: What is counted of each source's pins: impressions, then the actions in the order of ``operators.events.Kind``.
COUNTED = 5
#: What is expected of an impression before anything is counted, in the order of actions, and for how many that counts.
BEGINNING, _FIRST = np.array([0.1, 0.02, 0.03, 0.002]), 20.0
#: The stream of the seed that shares are drawn from; ties and exploration have others.
_STREAM = 1


class Blending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sources share the candidates of a slate."""

    #: Pins of one round in which every source has its share; 0 gives all sources the same.
    round: int = 100
    #: Part of it that all sources have alike: one that is never asked is never learned of.
    even: float = 0.3
    #: Shares grow with this power of worth: 1 in proportion, more and the best source has nearly all.
    sharpness: float = 2.0
    #: Impressions that what is known of all pinners counts for.
    prior: float = 100.0
    #: Impressions of one pinner and source beyond which older ones no longer make it surer.
    most: float = 2_000.0
    #: What an impression that leads to each action is worth.
    closeup: float = 0.3
    outbound_click: float = 0.5
    save: float = 1.0
    hide: float = -3.0

    @property
    def rewards(self) -> Floats:
        """``(4,)`` in the order in which actions are counted."""
        return np.array([self.closeup, self.outbound_click, self.save, self.hide])


def posteriors(own: Ints, everybody: Ints, blending: Blending) -> tuple[Floats, Floats]:
    """Parameters α and β of what each action's probability may be, ``(sources, 4)`` each.

    Args:
        own: ``(sources, 5)`` impressions and actions of one pinner, by the source that proposed the pin.
        everybody: the same of all pinners.
    """
    total = everybody.sum(axis=0)
    # A source that nobody has seen yet is worth what all are.
    common = (total[1:] + _FIRST * BEGINNING) / (total[0] + _FIRST)
    mean = (everybody[:, 1:] + blending.prior * common) / (everybody[:, :1] + blending.prior)
    shown = own[:, :1].astype(np.float64)
    scale = np.minimum(1.0, blending.most / np.maximum(shown, 1.0))
    shown, acted = shown * scale, own[:, 1:] * scale
    # Actions may outnumber impressions that were reported: a probability stays below 1.
    mean = np.clip(mean, 1e-4, 0.9)
    alpha = blending.prior * mean + acted
    return alpha, blending.prior * (1 - mean) + np.maximum(shown - acted, 0.0)


def worths(own: Ints, everybody: Ints, blending: Blending, seed: int) -> Floats:
    """``(sources,)``: one draw of what an impression of each source's pins is worth; the same for the same seed."""
    alpha, beta = posteriors(own, everybody, blending)
    return np.random.default_rng([seed, _STREAM]).beta(alpha, beta) @ blending.rewards


def shares(worth: Floats, blending: Blending) -> Ints:
    """``(sources,)`` whole numbers that add up to ``blending.round``, by worth (largest remainder).

    A source worth nothing has its even part all the same, at least 1; where a round is shorter than the sources are
    many, all have 1.
    """
    n = len(worth)
    least = max(1, int(blending.round * blending.even / n))
    if blending.round < n * least:
        return np.ones(n, np.int64)
    free = blending.round - n * least
    good = np.maximum(worth, 0.0) / max(float(worth.max(initial=0.0)), 1e-12)
    good **= blending.sharpness
    wanted = free * (good / good.sum() if good.sum() > 0 else np.full(n, 1 / n))
    whole = np.floor(wanted).astype(np.int64)
    rest = np.argsort(-(wanted - whole), kind="stable")[: free - int(whole.sum())]
    whole[rest] += 1
    return whole + least


def drawn_shares(
    own: Ints, everybody: Ints, blending: Blending, seed: int, sources: Sequence[str] = SOURCES
) -> dict[str, int]:
    """Source → its share, for one slate. ``sources`` are those of the rows of ``own`` and ``everybody``."""
    return dict(zip(sources, shares(worths(own, everybody, blending, seed), blending).tolist(), strict=True))

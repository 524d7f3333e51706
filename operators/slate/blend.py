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
from numba import njit
from numpy.typing import NDArray

from operators.batch import Ints
from operators.chance import stream
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
    def rewards(self) -> tuple[float, float, float, float]:
        """What each action is worth, in the order in which actions are counted."""
        return self.closeup, self.outbound_click, self.save, self.hide


@njit(cache=True)
def _posteriors(own, everybody, prior, most):  # type: ignore[no-untyped-def]
    n = len(own)
    total = np.zeros(COUNTED)
    for source in range(n):
        total += everybody[source]
    alpha, beta = np.empty((n, COUNTED - 1)), np.empty((n, COUNTED - 1))
    for source in range(n):
        shown = np.float64(own[source, 0])
        scale = min(1.0, most / max(shown, 1.0))
        for action in range(COUNTED - 1):
            # A source that nobody has seen yet is worth what all are.
            common = (total[1 + action] + _FIRST * BEGINNING[action]) / (total[0] + _FIRST)
            mean = (everybody[source, 1 + action] + prior * common) / (everybody[source, 0] + prior)
            # Actions may outnumber impressions that were reported: a probability stays below 1.
            mean = min(max(mean, 1e-4), 0.9)
            acted = own[source, 1 + action] * scale
            alpha[source, action] = prior * mean + acted
            beta[source, action] = prior * (1 - mean) + max(shown * scale - acted, 0.0)
    return alpha, beta


def posteriors(own: Ints, everybody: Ints, blending: Blending) -> tuple[Floats, Floats]:
    """Parameters α and β of what each action's probability may be, ``(sources, 4)`` each.

    Args:
        own: ``(sources, 5)`` impressions and actions of one pinner, by the source that proposed the pin.
        everybody: the same of all pinners.
    """
    return _posteriors(own, everybody, blending.prior, blending.most)


@njit(cache=True)
def _worths(own, everybody, prior, most, rewards, seed):  # type: ignore[no-untyped-def]
    alpha, beta = _posteriors(own, everybody, prior, most)
    np.random.seed(np.uint32(stream(seed, _STREAM)))
    worth = np.zeros(len(own))
    for source in range(len(own)):
        for action in range(COUNTED - 1):
            worth[source] += rewards[action] * np.random.beta(alpha[source, action], beta[source, action])
    return worth


def worths(own: Ints, everybody: Ints, blending: Blending, seed: int) -> Floats:
    """``(sources,)``: one draw of what an impression of each source's pins is worth; the same for the same seed."""
    return _worths(own, everybody, blending.prior, blending.most, blending.rewards, np.uint64(seed))


@njit(cache=True)
def _shares(worth, round_, even, sharpness):  # type: ignore[no-untyped-def]
    n = len(worth)
    least = max(1, int(round_ * even / n))
    if round_ < n * least:
        return np.ones(n, np.int64)
    free, best = round_ - n * least, 1e-12
    for each in worth:
        best = max(best, each)
    good = (np.maximum(worth, 0.0) / best) ** sharpness
    total = good.sum()
    wanted = free * good / total if total > 0 else np.full(n, free / n)
    whole = np.floor(wanted).astype(np.int64)
    for source in np.argsort(whole - wanted, kind="mergesort")[: free - whole.sum()]:
        whole[source] += 1
    return whole + least


def shares(worth: Floats, blending: Blending) -> Ints:
    """``(sources,)`` whole numbers that add up to ``blending.round``, by worth (largest remainder).

    A source worth nothing has its even part all the same, at least 1; where a round is shorter than the sources are
    many, all have 1.
    """
    return _shares(worth, blending.round, blending.even, blending.sharpness)


def drawn_shares(
    own: Ints, everybody: Ints, blending: Blending, seed: int, sources: Sequence[str] = SOURCES
) -> dict[str, int]:
    """Source → its share, for one slate. ``sources`` are those of the rows of ``own`` and ``everybody``."""
    return dict(zip(sources, shares(worths(own, everybody, blending, seed), blending).tolist(), strict=True))

"""Importance neighbourhoods: the pins that short random walks from a pin visit most, each with its share of visits.

Ying et al., "Graph Convolutional Neural Networks for Web-Scale Recommender Systems" (PinSage, KDD 2018), section 3.1:
visits of walks with restarts, L1-normalised, approximate personalised PageRank, and weigh what a pin gathers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.graph.live import LiveGraph
from operators.graph.pixie import Scratch, Walking
from operators.id_index import Ints

#: The paper's T is 50 of three billion pins.
SIZE = 10
#: How far one pin's walk goes: half a millisecond, and the order of the first ten hardly changes with more.
WALK = Walking(steps=2_000, restart=0.5)
#: Places in a longer walk's order that hard negatives come from: near, but not what belongs there. The paper's 2,000 to
#: 5,000, in a graph of thousands of pins.
BAND = (50, 300)
BAND_WALK = Walking(steps=20_000, restart=0.5)


class Neighbourhoods(NamedTuple):
    """Of n pins: ``pins`` ``(n, size)`` int64, 0 where there are fewer, and ``weights`` ``(n, size)`` float32.

    Weights of a row add up to 1, or are all 0 for a pin without a neighbour.
    """

    pins: Ints
    weights: NDArray[np.float32]


def neighbourhoods(
    graph: LiveGraph, pins: Ints, seed: int, size: int = SIZE, how: Walking = WALK, scratch: Scratch | None = None
) -> Neighbourhoods:
    """The ``size`` pins that a walk from each of ``pins`` ``(n,)`` visits most, never itself; best first.

    The same graph and seed give the same answer, whatever other pins are asked for beside it.
    """
    found = np.zeros((len(pins), size), np.int64)
    weights = np.zeros((len(pins), size), np.float32)
    one = np.ones(1)
    for row, pin in enumerate(pins.tolist()):
        # Of one query pin the boosted score (Σ √V)² is the number of its visits.
        walked = graph.walk(np.array([pin], np.int64), one, size, seed ^ pin, how, scratch)
        if len(walked.pins):
            found[row, : len(walked.pins)] = walked.pins
            weights[row, : len(walked.pins)] = walked.scores / walked.scores.sum()
    return Neighbourhoods(found, weights)


def hard_negatives(
    graph: LiveGraph, pin: int, seed: int, band: tuple[int, int] = BAND, how: Walking = BAND_WALK
) -> Ints:
    """The pins at places ``band[0] … band[1] - 1`` (from 0) of what a walk from ``pin`` visits, as far as there are."""
    walked = graph.walk(np.array([pin], np.int64), np.ones(1), band[1], seed ^ pin, how)
    return walked.pins[band[0] :]

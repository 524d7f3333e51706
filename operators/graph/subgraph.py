"""What two convolutions need of a graph, numbered anew: the pins that are asked for, their neighbours, and theirs.

The producer's part of PinSage's pipeline (Ying et al., KDD 2018, section 3.3): nothing but what is reached is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
#: Pins → their neighbours ``(n, size)``, 0 where there are fewer, and weights of the same shape.
Of = Callable[[Ints], tuple[Ints, NDArray[np.float32]]]


class Subgraph(NamedTuple):
    """``pins`` ``(m,)``: the ``asked`` first, then their neighbours, then those of these.

    ``neighbours`` ``(p, size)`` int32 are places among ``pins``, -1 where there are fewer, of the first ``p`` pins;
    those of the asked are all below ``p``. ``weights`` is of the same shape.
    """

    pins: Ints
    neighbours: NDArray[np.int32]
    weights: NDArray[np.float32]
    asked: int


def subgraph(pins: Ints, of: Of) -> Subgraph:
    """The subgraph of ``pins`` ``(n,)``, each once; ``of`` gives neighbourhoods, with numbers above 0.

    A pin without a neighbour is its own, so that it is not far from where it will be with its first ones.
    """
    near, near_weights = of(pins)
    inner = _followed_by(pins, near)
    further, further_weights = of(inner[len(pins) :])
    found, weights = np.concatenate([near, further]), np.concatenate([near_weights, further_weights])
    every = _followed_by(inner, found)
    order = np.argsort(every, kind="stable")
    places = order[np.searchsorted(every[order], np.where(found > 0, found, every[0]))]
    places[found <= 0] = -1
    alone = np.flatnonzero(~(found > 0).any(axis=1))
    places[alone, 0], weights[alone, 0] = alone, 1.0
    return Subgraph(every, places.astype(np.int32), weights.astype(np.float32), len(pins))


def _followed_by(first: Ints, others: Ints) -> Ints:
    """``first``, then what of ``others`` is not among them, 0 left out."""
    more = np.setdiff1d(others, first)
    return np.concatenate([first, more[more > 0]])

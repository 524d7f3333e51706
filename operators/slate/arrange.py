"""Arrange: from what candidates are worth to a slate's places, some of them for exploration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import Floats
from operators.slate.choices import Choices
from operators.slate.exploration import Newness, Places, explored, worth_exploring
from operators.slate.ordering import KernelOf, order


def arranged(
    worth: Floats,
    kernel_of: KernelOf,
    owners: Ints,
    domains: Ints,
    repeats: NDArray[np.bool_],
    newness: Newness,
    *,
    rate: float,
    seed: int,
    choices: Choices,
) -> Places:
    """The places of a slate among ``n`` candidates that may be shown; arrays ``(n,)``.

    The order is that of :func:`operators.slate.ordering.order`; exploration then gives some of its places away. Repeats
    are never explored. ``rate`` is weighted actions for each examined impression, of all pins.
    """
    base = order(worth, kernel_of, owners, domains, seed=seed, ordering=choices.ordering, last=repeats)
    if choices.exploration.share <= 0:
        return Places.unexplored(base)
    free = worth_exploring(newness, choices.exploration) & ~repeats
    free[base] = False
    eligible = np.flatnonzero(free)
    best_first = eligible[np.argsort(-worth[eligible], kind="stable")]
    return explored(base, best_first, newness, rate=rate, seed=seed, choices=choices.exploration)

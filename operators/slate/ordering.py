"""Ordering: from utilities to the places of a slate."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import Floats
from operators.slate.diversity import diverse_order, similarity

VectorsOf = Callable[[NDArray[np.intp]], NDArray[np.float32]]


class Ordering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a slate is ordered; see :func:`operators.slate.diversity.diverse_order`."""

    #: Pins in a slate.
    size: int = 25
    #: Diversity chooses among this many best pins for each place of the slate.
    pool: int = 5
    strength: float = 0.4
    spacing: float = 1.0
    window: int = 4


def order(
    utilities: Floats,
    vectors_of: VectorsOf,
    owners: Ints,
    domains: Ints,
    *,
    seed: int,
    ordering: Ordering,
    last: NDArray[np.bool_] | None = None,
) -> NDArray[np.intp]:
    """Indices of the slate's pins, first place first.

    Args:
        utilities: ``(n,)``.
        vectors_of: ``(m,)`` indices → ``(m, d)``, L2-normalised, zero rows where unknown; asked for the best only.
        owners, domains: ``(n,)``, 0 where unknown.
        seed: settles ties, so that equal pins take turns between slates and a slate can be made again.
        last: ``(n,)`` pins that may only fill places that the others leave, such as repeats.
    """
    if last is not None and last.any():
        first_rows, last_rows = np.flatnonzero(~last), np.flatnonzero(last)
        first = _best(utilities, vectors_of, owners, domains, first_rows, ordering.size, seed, ordering)
        rest = _best(utilities, vectors_of, owners, domains, last_rows, ordering.size - len(first), seed, ordering)
        return np.concatenate([first, rest])
    rows = np.arange(len(utilities))
    return _best(utilities, vectors_of, owners, domains, rows, ordering.size, seed, ordering)


def _best(
    utilities: Floats,
    vectors_of: VectorsOf,
    owners: Ints,
    domains: Ints,
    rows: NDArray[np.intp],
    size: int,
    seed: int,
    ordering: Ordering,
) -> NDArray[np.intp]:
    ties = np.random.default_rng(seed).permutation(len(rows))
    pool = rows[np.lexsort((ties, -utilities[rows]))[: size * ordering.pool]]
    chosen = diverse_order(
        _spread(utilities[pool]),
        similarity(vectors_of(pool)),
        owners[pool],
        domains[pool],
        k=size,
        strength=ordering.strength,
        spacing=ordering.spacing,
        window=ordering.window,
    )
    return pool[chosen]


def _spread(values: Floats) -> NDArray[np.float64]:
    """Values moved to 0 … 1; all 0 when they are all the same."""
    wide = values.astype(np.float64)
    low, high = (wide.min(), wide.max()) if len(wide) else (0.0, 0.0)
    return (wide - low) / (high - low) if high > low else np.zeros(len(wide))

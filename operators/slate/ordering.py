"""Ordering: from utilities to the places of a slate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.chance import best_first
from operators.slate.candidates import Floats
from operators.slate.diversity import diverse_order
from operators.slate.ssd import ssd_order

KernelOf = Callable[[NDArray[np.intp]], Floats]


class Ordering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a slate is ordered; see :mod:`operators.slate.diversity` and :mod:`operators.slate.ssd`."""

    #: Pins in a slate.
    size: int = 25
    #: Diversity chooses among this many best pins for each place of the slate.
    pool: int = 5
    strength: float = 0.4
    spacing: float = 1.0
    window: int = 4
    #: ``dpp`` weighs all pins chosen so far, ``ssd`` those of a window of :attr:`sliding` places.
    method: Literal["dpp", "ssd"] = "dpp"
    sliding: int = 10


def order(
    utilities: Floats,
    kernel_of: KernelOf,
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
        kernel_of: ``(m,)`` indices → ``(m, m)`` of :func:`operators.slate.diversity.similarity`; asked for the best
            only, and not at all without diversity.
        owners, domains: ``(n,)``, 0 where unknown.
        seed: settles ties, so that equal pins take turns between slates and a slate can be made again.
        last: ``(n,)`` pins that may only fill places that the others leave, such as repeats.
    """
    if last is not None and last.any():
        first_rows, last_rows = np.flatnonzero(~last), np.flatnonzero(last)
        first = _best(utilities, kernel_of, owners, domains, first_rows, ordering.size, seed, ordering)
        rest = _best(utilities, kernel_of, owners, domains, last_rows, ordering.size - len(first), seed, ordering)
        return np.concatenate([first, rest])
    rows = np.arange(len(utilities))
    return _best(utilities, kernel_of, owners, domains, rows, ordering.size, seed, ordering)


def _best(
    utilities: Floats,
    kernel_of: KernelOf,
    owners: Ints,
    domains: Ints,
    rows: NDArray[np.intp],
    size: int,
    seed: int,
    ordering: Ordering,
) -> NDArray[np.intp]:
    pool = rows[best_first(utilities[rows], np.uint64(seed), size * ordering.pool)]
    how = diverse_order if ordering.method == "dpp" else partial(ssd_order, sliding=ordering.sliding)
    chosen = how(
        _spread(utilities[pool]),
        kernel_of(pool) if ordering.strength > 0 else np.eye(len(pool), dtype=np.float32),
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

"""What the greedy orders of a slate share: how many places are filled, and soft spacing.

Soft spacing subtracts ``λ·Σ 1/d`` for every pin of the same owner or domain ``d`` places before, within a window.
"""

from __future__ import annotations

from numba import njit


def places(k: int, n: int, strength: float) -> int:
    """How many of ``k`` places ``n`` pins fill.

    Raises:
        ValueError: ``strength``, the share of diversity, is outside 0 … 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"diversity strength {strength} is not in 0 … 1")
    return min(k, n)


@njit(cache=True, forceinline=True)
def spaced(value, pin, step, order, owners, domains, spacing, window):  # type: ignore[no-untyped-def]
    """``value`` of a pin for the place ``step``, less its spacing from those that ``order`` has before."""
    for back in range(1, min(window, step) + 1):
        before = order[step - back]
        if owners[pin] != 0 and owners[pin] == owners[before]:
            value -= spacing / back
        if domains[pin] != 0 and domains[pin] == domains[before]:
            value -= spacing / back
    return value

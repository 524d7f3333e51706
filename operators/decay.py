"""Forward decay: sums that fade with time and yet merge in any order.

An event at time t adds ``2**((t - LANDMARK) / half_life)``; dividing a sum by the same power of
``now`` gives the exponentially decayed sum. Source: Cormode, Shkapenyuk, Srivastava, Xu, "Forward
Decay: A Practical Time Decay Model for Streaming Systems", ICDE 2009.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: 2024-01-01T00:00:00Z in milliseconds. Stored sums depend on it; never change it.
LANDMARK_MS = 1_704_067_200_000
DAY_MS = 86_400_000
#: Half-life of the sums that quality is made of. A double holds it until about 2043.
QUALITY_HALF_LIFE_MS = 7 * DAY_MS


def weight(time_ms: NDArray[np.int64], half_life_ms: int, landmark_ms: int = LANDMARK_MS) -> Floats:
    """What an event at ``time_ms`` adds to a sum. ``(n,)`` milliseconds since the epoch → ``(n,)``."""
    return np.exp2((time_ms - landmark_ms) / half_life_ms)


@overload
def as_of(total: Floats, now: int, half_life_ms: int, landmark_ms: int = LANDMARK_MS) -> Floats: ...
@overload
def as_of(total: float, now: int, half_life_ms: int, landmark_ms: int = LANDMARK_MS) -> float: ...
def as_of(total: Floats | float, now: int, half_life_ms: int, landmark_ms: int = LANDMARK_MS) -> Floats | float:
    """A sum of weights as it stands at ``now`` (ms): an event at ``now`` counts 1, one half-life ago 1/2."""
    return total * 2.0 ** ((landmark_ms - now) / half_life_ms)

"""PinSage among the sources of related pins."""

from __future__ import annotations

import numpy as np

from operators.slate.candidates import NOTHING, Found
from streams.engine import Engine
from streams.slate_sources.best import best_of


async def pinsage(engine: Engine, pin: int, k: int) -> Found:
    """Pins near in looks, words and neighbourhood, by cosine; none before it has such a vector.

    Raises StoreUnavailable.
    """
    if engine.pinsage is None:
        return NOTHING
    itself = np.array([pin], np.int64)
    near = await engine.pinsage.near(engine, itself, k + 1)
    real = near.ids[0] > 0
    return best_of(near.ids[0][real], near.scores[0][real], k, without=itself)

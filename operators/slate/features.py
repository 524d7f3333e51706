"""Features: what the ranker sees of a candidate. Training and serving both call :func:`features`.

``docs/slates.md`` explains each. After a change here the ranker is trained again (``make train-ranker``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.slate.candidates import SOURCES, Floats

#: The sources that the ranker in service was trained with: what only others propose is to it as if nobody did.
RANKED = SOURCES[:5]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of ``n`` (pinner, pin) pairs at one moment; every array ``(n,)`` float32, NaN where unknown.

    Pairs of several pinners may stand in one table.
    """

    quality: Floats  # of the pin, all audiences
    quality_followers: Floats
    quality_wider: Floats
    exposure: Floats  # position-weighted, decayed impressions of the pin, ≥ 0
    owner_quality: Floats
    domain_quality: Floats
    relevance: Floats  # cosine of the pin and the decayed mean of what the pinner saved
    nearest: Floats  # largest cosine of the pin and one lately saved pin
    age: Floats  # milliseconds since the pin was created
    follows: Floats  # 1 where the pinner follows the pin's owner, else 0
    activity: Floats  # how much the pinner saved lately (a count)
    now: NDArray[np.int64]  # stream time, milliseconds since the epoch
    scores: Floats  # (n, all sources of candidates), each source's own score

    def __len__(self) -> int:
        return len(self.quality)


_PLAIN = ("quality", "quality_followers", "quality_wider", "owner_quality", "domain_quality", "relevance", "nearest")
_LOGGED = ("exposure", "age", "activity")
#: Unknown for many pairs, so the net is told which zeros mean "unknown".
_FLAGGED = ("quality", "owner_quality", "domain_quality", "relevance", "age")
#: Scores of these are unbounded sums; the others are cosines or fractions.
_UNBOUNDED = ("boards", "trending")

#: Column names of :func:`features`, in order.
NAMES: tuple[str, ...] = (
    *_PLAIN,
    *(f"log_{name}" for name in _LOGGED),
    *(f"no_{name}" for name in _FLAGGED),
    "follows",
    "hour_sin",
    "hour_cos",
    *(f"from_{source}" for source in RANKED),
    "sources",
)


def features(signals: Signals) -> Floats:
    """``(n, len(NAMES))`` float32, finite; unknown is 0 with a flag beside it. Ages are logged in hours."""
    out = np.empty((len(signals), len(NAMES)), np.float32)
    column = 0

    def add(values: NDArray[np.float32] | NDArray[np.float64] | NDArray[np.bool_]) -> None:
        nonlocal column
        out[:, column] = values
        column += 1

    for name in _PLAIN:
        add(getattr(signals, name))
    add(np.log1p(np.maximum(signals.exposure, 0)))
    add(np.log1p(np.maximum(signals.age, 0) / HOUR_MS))
    add(np.log1p(np.maximum(signals.activity, 0)))
    for name in _FLAGGED:
        add(np.isnan(getattr(signals, name)))
    add(signals.follows)
    turn = (signals.now % DAY_MS) * (2 * np.pi / DAY_MS)
    add(np.sin(turn))
    add(np.cos(turn))
    for source, scores in zip(RANKED, signals.scores.T, strict=False):
        add(np.log1p(np.maximum(scores, 0)) if source in _UNBOUNDED else scores)
    add(np.count_nonzero(~np.isnan(signals.scores[:, : len(RANKED)]), axis=1).astype(np.float32))
    return np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)

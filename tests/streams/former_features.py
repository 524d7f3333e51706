"""The ranker's features as they were written by hand before the spec: what the spec has to equal, bit by bit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.slate.candidates import SOURCES, Floats
from operators.slate.features import Signals

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
#: The sources that there were; walks came later, and the ranker does not know them.
RANKED = SOURCES[:5]

_PLAIN = ("quality", "quality_followers", "quality_wider", "owner_quality", "domain_quality", "relevance", "nearest")
_LOGGED = ("exposure", "age", "activity")
#: Unknown for many pairs, so the net is told which zeros mean "unknown".
_FLAGGED = ("quality", "owner_quality", "domain_quality", "relevance", "age")
#: Scores of these are unbounded sums; the others are cosines or fractions.
_UNBOUNDED = ("boards", "trending")

_NAMES: tuple[str, ...] = (
    *_PLAIN,
    *(f"log_{name}" for name in _LOGGED),
    *(f"no_{name}" for name in _FLAGGED),
    "follows",
    "hour_sin",
    "hour_cos",
    *(f"from_{source}" for source in RANKED),
    "sources",
)


def former_features(signals: Signals) -> Floats:
    out = np.empty((len(signals), len(_NAMES)), np.float32)
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


def former_names() -> tuple[str, ...]:
    return _NAMES

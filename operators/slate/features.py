"""Signals: what is known of a candidate, and what of it a spec may use. Training and serving both come through here.

``streams/feed.linchpin`` makes the ranker's features of it (``docs/linchpin.md``); ``docs/slates.md`` explains each.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.linchpin.columns import Kind, Shape
from operators.slate.candidates import SOURCES, Floats


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

    def take(self, part: slice) -> Signals:
        """Some of the pairs; the arrays are views."""
        return Signals(*(getattr(self, field.name)[part] for field in fields(self)))


_COLUMNS = tuple(field.name for field in fields(Signals) if field.name != "scores")

#: The inputs that a spec may have: every signal by its name, and each source's own score as ``score_<source>``.
INPUTS: dict[str, Shape] = {
    **{name: Shape(Kind.TIME if name == "now" else Kind.FLOAT) for name in _COLUMNS},
    **{f"score_{source}": Shape(Kind.FLOAT) for source in SOURCES},
}


def inputs(signals: Signals) -> dict[str, NDArray[Any]]:
    """The columns of :data:`INPUTS`, ``(n,)`` each."""
    columns: dict[str, NDArray[Any]] = {name: getattr(signals, name) for name in _COLUMNS}
    return columns | {f"score_{source}": signals.scores[:, at] for at, source in enumerate(SOURCES)}

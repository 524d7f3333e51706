"""Candidates: the pins that the sources propose for one pinner, each pin once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.small_sets import taken_in_turns

Floats = NDArray[np.float32]

#: The sources, in the order of the columns of :attr:`Candidates.scores`. Append only: stored slates
#: and the ranker's features follow it.
SOURCES = (
    *("visual", "boards", "trending", "fresh", "followed", "walks"),
    *("pinsage", "together", "interests", "next", "topics"),
)
#: Sources that know the pinner. When none of them finds anything, the slate is merely popular.
PERSONAL = ("visual", "boards", "followed", "walks", "pinsage", "together", "interests", "next", "topics")


@dataclass(frozen=True, slots=True)
class Found:
    """What one source found: ``pins`` best first, and its own ``scores`` (any scale), both ``(n,)``."""

    pins: Ints
    scores: Floats

    def __len__(self) -> int:
        return len(self.pins)


NOTHING = Found(np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Candidates:
    """``pins`` ``(n,)``, each once; ``scores`` ``(n, len(SOURCES))``, NaN where a source did not propose the pin."""

    pins: Ints
    scores: Floats

    def __len__(self) -> int:
        return len(self.pins)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Candidates:
        """The candidates at ``rows`` (indices or a mask)."""
        return Candidates(self.pins[rows], self.scores[rows])

    def sources_of(self, row: int) -> dict[str, float]:
        """Source → its score, for one candidate."""
        return self.take(np.array([row])).sources()[0]

    def sources(self) -> list[dict[str, float]]:
        """Source → its score, for each candidate."""
        # A score that is not itself is NaN.
        return [
            {name: score for name, score in zip(SOURCES, scores, strict=True) if score == score}
            for scores in self.scores.tolist()
        ]


def merge(found: Mapping[str, Found], limit: int, shares: Mapping[str, int] | None = None) -> Candidates:
    """Join what the sources found, at most ``limit`` pins.

    Pins are taken in turns, so that no source crowds out the others; scales of different sources are never compared
    here. Without ``shares`` every source has its best taken, then every source its second, and so on; with them
    (source → whole number, 1 where it has none) sources have as many turns of a round as their shares, spread evenly.
    What a source has no pins left for goes to the others in proportion.

    Raises:
        KeyError: a source that is not in :data:`SOURCES`.
    """
    named = [(_column(name), each) for name, each in found.items() if len(each)]
    if not named:
        return Candidates(np.empty(0, np.int64), np.empty((0, len(SOURCES)), np.float32))
    pins, scores = taken_in_turns(
        np.concatenate([each.pins for _, each in named]),
        np.concatenate([each.scores for _, each in named]),
        starts=np.cumsum([0, *(len(each) for _, each in named)]),
        columns=np.array([column for column, _ in named]),
        width=len(SOURCES),
        limit=limit,
        shares=np.array([1 if shares is None else shares.get(SOURCES[column], 1) for column, _ in named]),
    )
    return Candidates(pins, scores)


def _column(name: str) -> int:
    if name not in SOURCES:
        raise KeyError(f"unknown source {name!r}: add it at the end of operators.slate.candidates.SOURCES")
    return SOURCES.index(name)

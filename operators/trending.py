"""Trending: the pins with most engagement in the last hours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Engagement, Ints
from operators.decay import LANDMARK_MS, Floats, as_of, weight
from operators.events import Kind
from operators.id_index import IdIndex, grown

HOUR_MS = 3_600_000
HALF_LIFE_MS = 6 * HOUR_MS
#: What one action counts, by kind. A hide does not count, so a score only rises when its pin is acted on.
WEIGHTS = np.zeros(len(Kind) + 1)
WEIGHTS[Kind.CLOSEUP], WEIGHTS[Kind.OUTBOUND_CLICK], WEIGHTS[Kind.SAVE] = 0.2, 0.5, 1.0
#: The largest ``k`` of :meth:`Trending.top`.
LARGEST = 2048
#: A double holds 2**1023: move the landmark before weights get near.
_REBASE = 512
_ALL = 2**62


def middle_of_hour(times: Ints) -> Ints:
    """``(n,)`` milliseconds to the middle of their hours."""
    return times // HOUR_MS * HOUR_MS + HOUR_MS // 2


class Top(NamedTuple):
    """Pins and their decayed scores, best first; equal scores by id."""

    pins: Ints
    scores: Floats


class Trending:
    """Forward-decayed score by pin, about 50 bytes each.

    All scores fade alike, so an untouched pin never overtakes: those touched since the last cut, and the
    best of that cut, hold the top. Asking therefore costs the candidates, not all pins.
    """

    def __init__(self) -> None:
        self._pins = IdIndex()
        self._scores = np.zeros(0)
        self._landmark = LANDMARK_MS
        self._candidate = np.zeros(0, np.bool_)
        self._candidates = np.zeros(0, np.int32)
        # So many of the best are surely among the candidates.
        self._sure = _ALL

    def __len__(self) -> int:
        return len(self._pins)

    @property
    def nbytes(self) -> int:
        return self._pins.nbytes + self._scores.nbytes + self._candidate.nbytes + self._candidates.nbytes

    def update(self, engagement: Engagement, ignored: NDArray[np.bool_] | None = None) -> None:
        """Fold events in, in any order, but those ``ignored`` (say, of deleted pins).

        An event counts as of the middle of its hour, so that sums by hour give the same state again.
        """
        points = WEIGHTS[engagement.kind]
        counts = points > 0 if ignored is None else (points > 0) & ~ignored
        self.add(engagement.pin[counts], middle_of_hour(engagement.time[counts]), points[counts])

    def add(self, pins: Ints, times: Ints, points: Floats) -> None:
        """Add ``points`` earned at ``times`` (ms); all ``(n,)``. Stored sums count as earned at the landmark."""
        if not len(pins):
            return
        self._rebase(int(times.max()))
        dense = self._pins.intern(pins)
        self._scores = grown(self._scores, len(self._pins))
        self._candidate = grown(self._candidate, len(self._pins))
        np.add.at(self._scores, dense, points * weight(times, HALF_LIFE_MS, self._landmark))
        new = np.unique(dense[~self._candidate[dense]])
        self._candidate[new] = True
        self._candidates = np.concatenate([self._candidates, new])
        if len(self._candidates) > 8 * LARGEST:
            self._cut()

    def top(self, k: int, now: int) -> Top:
        """The ``k`` (at most :data:`LARGEST`) pins with the largest scores as of ``now`` (ms)."""
        if k > LARGEST:
            raise ValueError(f"top({k}) asks for more than the {LARGEST} pins that are kept in order")
        if k > self._sure:
            self._candidates = np.flatnonzero(self._scores[: len(self._pins)] > 0).astype(np.int32)
            self._sure = _ALL
            self._cut()
        best = self._best(self._candidates, k)
        best = best[self._scores[best] > 0]
        scores = as_of(self._scores[best], now, HALF_LIFE_MS, self._landmark)
        return Top(self._pins.ids[best], scores)

    def remove(self, pins: Ints) -> None:
        """Take pins out; what they earned is forgotten."""
        dense = self._pins.lookup(pins)
        dense = np.unique(dense[dense >= 0])
        self._scores[dense] = 0
        if self._sure < _ALL:
            # Pins below the last cut may move up; `top` cuts again among all when it asks that deep.
            self._sure -= int(self._candidate[dense].sum())

    def _best(self, dense: NDArray[np.int32], k: int) -> NDArray[np.int32]:
        scores = self._scores[dense]
        if len(dense) > k > 0:
            dense = dense[scores >= np.partition(scores, len(dense) - k)[len(dense) - k]]
        return dense[np.lexsort((self._pins.ids[dense], -self._scores[dense]))][:k]

    def _cut(self) -> None:
        if len(self._candidates) > LARGEST:
            self._candidates = self._best(self._candidates, LARGEST)
            self._sure = min(self._sure, LARGEST)
        self._candidate[:] = False
        self._candidate[self._candidates] = True

    def _rebase(self, latest: int) -> None:
        """Move the landmark by whole half-lives, which only changes exponents, so no digit is lost."""
        steps = (latest - self._landmark) // HALF_LIFE_MS
        if steps > _REBASE:
            self._scores = np.ldexp(self._scores, -int(steps))
            self._landmark += int(steps) * HALF_LIFE_MS

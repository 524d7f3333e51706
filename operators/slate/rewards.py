"""Rewards: what came of the pins that each source proposed, by pinner and over all pinners.

Whole numbers that only add up, so any order of batches, a restart and another worker's rows give the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Engagement, Ints
from operators.id_index import IdIndex, grown
from operators.slate.blend import COUNTED
from operators.slate.candidates import SOURCES

#: Beyond, the least recently active pinners are forgotten: 20 bytes a source and pinner.
MAX_PINNERS = 100_000


@njit(cache=True)
def _fold(rows, masks, kinds, times, counts, everybody, latest):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row, mask, source = rows[i], masks[i], 0
        while mask and source < counts.shape[1]:
            if mask & 1:
                everybody[source, kinds[i] - 1] += 1
                counts[row, source, kinds[i] - 1] += 1
            mask >>= 1
            source += 1
        latest[row] = max(latest[row], times[i])


class Rewards:
    """Impressions, closeups, outbound clicks, saves and hides of each (pinner, source)."""

    def __init__(self, max_pinners: int = MAX_PINNERS) -> None:
        self._max_pinners = max_pinners
        self._pinners = IdIndex()
        self._counts = np.zeros((0, len(SOURCES), COUNTED), np.int32)
        self._latest = np.zeros(0, np.int64)
        #: The same of all pinners, also of those who are forgotten, ``(sources, 5)``.
        self.everybody: Ints = np.zeros((len(SOURCES), COUNTED), np.int64)

    def __len__(self) -> int:
        return len(self._pinners)

    @property
    def nbytes(self) -> int:
        return self._pinners.nbytes + self._counts.nbytes + self._latest.nbytes

    def update(self, engagement: Engagement) -> None:
        """Fold in events whose ``sources`` are known; rows whose pinner is 0 (erased) are left out."""
        known = np.flatnonzero((engagement.sources != 0) & (engagement.pinner != 0))
        if not len(known):
            return
        masks = engagement.sources[known].astype(np.int64)
        kinds, times = engagement.kind[known], engagement.time[known]
        rows = self._rows(engagement.pinner[known])
        _fold(rows, masks, kinds, times, self._counts, self.everybody, self._latest)
        self._evict()

    def load(self, pinners: Ints, sources: Ints, counts: NDArray[np.int64], latest: Ints) -> None:
        """Add stored sums of pinners: ``(n,)`` pinner and source number, ``(n, 5)`` counts, and the last event (ms)."""
        known = sources < len(SOURCES)
        rows = self._rows(pinners[known])
        np.add.at(self._counts, (rows, sources[known]), counts[known].astype(np.int32))
        np.maximum.at(self._latest, rows, latest[known])
        self._evict()

    def load_everybody(self, sources: Ints, counts: NDArray[np.int64]) -> None:
        """Add stored sums of all pinners: ``(n,)`` source numbers, ``(n, 5)`` counts."""
        known = sources < len(SOURCES)
        np.add.at(self.everybody, sources[known], counts[known])

    def of(self, pinner: int) -> Ints:
        """``(sources, 5)`` of one pinner; zeros where nothing is known."""
        row = self._pinners.find(pinner)
        if row < 0:
            return np.zeros((len(SOURCES), COUNTED), np.int64)
        return self._counts[row].astype(np.int64)

    def erase(self, pinner: int) -> None:
        """Forget a pinner, also in what everybody did."""
        if (row := self._pinners.forget(pinner)) >= 0:
            self.everybody -= self._counts[row]
            self._counts[row] = 0
            self._latest[row] = 0

    def _rows(self, pinners: Ints) -> NDArray[np.int32]:
        rows = self._pinners.intern(pinners)
        self._counts = grown(self._counts, len(self._pinners))
        self._latest = grown(self._latest, len(self._pinners))
        return rows

    def _evict(self) -> None:
        # By a tenth at a time, so that it is rare.
        if len(self._pinners) <= self._max_pinners * 1.1:
            return
        ids, latest = self._pinners.ids, self._latest[: len(self._pinners)]
        keep = np.sort(np.argsort(-latest, kind="stable")[: self._max_pinners])
        keep = keep[ids[keep] > 0]
        self._pinners = IdIndex(len(keep))
        self._pinners.intern(ids[keep])
        self._counts, self._latest = self._counts[keep], self._latest[keep]

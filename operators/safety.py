"""Safety: how likely each pin's picture is not safe for work, and what that means for its quality.

Scores come from the model ``safety``, 0 (harmless) … 1. What they are and are not: ``docs/safety.md``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.id_index import IdIndex, Ints, grown

Floats = NDArray[np.float64]

#: Below the first a picture counts as harmless, from the second on as surely not; its authors name .2 and .8.
HARMLESS, CERTAIN = 0.2, 0.8
#: What a surely unsafe picture takes off its pin's quality: as much as e times the hides that are expected.
PENALTY = 2.0
#: In place of a score where there is none.
_UNKNOWN = -1.0
_NEVER = int(np.iinfo(np.int64).min)


def penalty(scores: NDArray[np.float32]) -> Floats:
    """What scores take off quality, 0 … :data:`PENALTY`; nothing where they are unknown (NaN). ``(n,) -> (n,)``."""
    unsafe = (np.nan_to_num(scores.astype(np.float64)) - HARMLESS) / (CERTAIN - HARMLESS)
    return PENALTY * np.clip(unsafe, 0.0, 1.0)


class Safety:
    """The score of each pin, 28–56 bytes each. Any order of the same versions gives the same state."""

    def __init__(self) -> None:
        self._index = IdIndex()
        self._versions = np.full(0, _NEVER, np.int64)
        self._scores = np.full(0, _UNKNOWN, np.float32)
        #: Rises whenever scores may have changed.
        self.changes = 0

    def __len__(self) -> int:
        """Pins ever judged."""
        return len(self._index)

    @property
    def nbytes(self) -> int:
        return self._index.nbytes + self._versions.nbytes + self._scores.nbytes

    def take(self, pins: Ints, versions: Ints, scores: NDArray[np.float32]) -> None:
        """Keep the newest version's score of each pin, NaN where it shows nothing; all ``(n,)``.

        At the same version the later one wins, as another model may have looked at the same picture.
        """
        if not len(pins):
            return
        dense, size = self._index.intern(pins), len(self._index)
        self._versions, self._scores = grown(self._versions, size, _NEVER), grown(self._scores, size, -1)
        rows = np.argsort(versions, kind="stable")
        rows = rows[versions[rows] >= self._versions[dense[rows]]]
        # Of a pin that is there twice numpy keeps what was assigned last: the newest.
        self._versions[dense[rows]] = versions[rows]
        self._scores[dense[rows]] = np.nan_to_num(scores[rows], nan=_UNKNOWN)
        self.changes += len(rows)

    def scores(self, pins: Ints) -> NDArray[np.float32]:
        """Score of each pin, NaN where it is unknown. ``(n,) -> (n,)``."""
        held = self._held(pins)
        return np.where(held < 0, np.float32(np.nan), held)

    def above(self, pins: Ints, threshold: float) -> NDArray[np.bool_]:
        """Which pins have a score above a threshold of 0 or more; one without a score has not. ``(n,) -> (n,)``."""
        return self._held(pins) > threshold

    def _held(self, pins: Ints) -> NDArray[np.float32]:
        dense = self._index.lookup(pins)
        if not len(self._scores):
            return np.full(len(dense), _UNKNOWN, np.float32)
        return np.where(dense >= 0, self._scores[dense], np.float32(_UNKNOWN))

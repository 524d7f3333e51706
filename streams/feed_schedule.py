"""When is a pinner due for a slate: debounced, at most one pending entry each, newest first under overload.

A pinner who acts is ready ``quiet`` seconds after their latest trigger, but no later than ``longest`` seconds
after the first. When more are ready than a batch takes, whoever waited longest comes first: a crowd of a moment makes
nobody late. Once somebody has waited :data:`PATIENT` seconds it is no longer one of a moment: most of a batch goes to
whoever acted last (they are looking right now) and a fixed share to whoever has waited longest, so that nobody waits
for ever: with ``m`` pinners waiting longer, a pinner is taken within ``m // share + 1`` batches. Times are seconds of
any one clock, passed in.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.id_index import IdIndex, Ints, grown

Source = tuple[str, int]
#: Seconds after which those who wait are no longer a crowd of a moment.
PATIENT = 1.0
#: Pinners that are remembered beyond twice those who wait, before the others are forgotten.
_SPARE = 4096


class Due(NamedTuple):
    """A pinner whose slate is to be made now, and the latest event that asked for it."""

    pinner: int
    event_id: int
    #: Kafka's timestamp of that event, milliseconds.
    logged: int
    #: When the first and the latest trigger came.
    first: float
    latest: float
    #: Topic and partition of that event: whoever reads them makes the slate.
    source: Source = ("", 0)


@njit(cache=True)
def _note(rows, event_ids, logged, at, source, whats, times, waiting, order, count):  # type: ignore[no-untyped-def]
    """Fold triggers in; returns how many wait. ``whats``: event, logged, source; ``times``: first, latest."""
    for i in range(len(rows)):
        row = rows[i]
        if not waiting[row]:
            waiting[row] = True
            times[row, 0] = times[row, 1] = at
            order[count] = row
            count += 1
        elif logged[i] < whats[row, 1]:
            continue
        times[row, 1] = max(times[row, 1], at)
        whats[row, 0], whats[row, 1], whats[row, 2] = event_ids[i], logged[i], source
    return count


class FeedSchedule:
    """Pinners waiting for a slate, in columns: a row for each, and for as many again and some who waited before."""

    def __init__(self, quiet: float = 0.050, longest: float = 0.200, batch: int = 16, oldest_share: int = 4) -> None:
        """Raises ValueError unless ``0 ≤ quiet ≤ longest`` and ``1 ≤ oldest_share ≤ batch``."""
        if not 0 <= quiet <= longest:
            raise ValueError(f"quiet {quiet} s must lie between 0 and longest {longest} s")
        if not 1 <= oldest_share <= batch:
            raise ValueError(f"oldest_share {oldest_share} must lie between 1 and batch {batch}")
        self.quiet, self.longest, self.batch, self.oldest_share = quiet, longest, batch, oldest_share
        self._pinners, self._count = IdIndex(), 0
        self._sources: list[Source] = []
        self._whats, self._times = np.zeros((0, 3), np.int64), np.zeros((0, 2))
        self._waiting = np.zeros(0, np.bool_)
        #: Rows of those who wait, in the order in which they came.
        self._order = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Pinners that wait."""
        return self._count

    def due(self, pinners: Ints, event_ids: Ints, logged: Ints, at: float, source: Source = ("", 0)) -> None:
        """Triggers, ``(n,)`` each: ``pinners`` did something at ``at``. The latest in Kafka names the slate."""
        if len(self._pinners) > 2 * self._count + _SPARE:
            self._keep(self._order[: self._count])
        if source not in self._sources:
            self._sources.append(source)
        rows = self._pinners.intern(pinners)
        self._grow(len(self._pinners))
        self._count = _note(
            rows, event_ids, logged, at, self._sources.index(source),
            self._whats, self._times, self._waiting, self._order, self._count,
        )  # fmt: skip

    def take(self, at: float) -> list[Due]:
        """Up to ``batch`` pinners whose slates are to be made now; they no longer wait."""
        waiting = self._order[: self._count]
        first, latest = self._times[waiting].T
        ready = waiting[np.minimum(latest + self.quiet, first + self.longest) <= at]
        if not len(ready):
            return []
        overloaded = at - self._times[ready, 0].min() > PATIENT
        oldest = ready[_least(self._times[ready, 0], self.oldest_share if overloaded else self.batch)]
        self._waiting[oldest] = False
        others = ready[self._waiting[ready]]
        newest = others[_least(-self._times[others, 1], self.batch - len(oldest))]
        self._waiting[newest] = False
        taken = np.concatenate([oldest, newest])
        self._close_up()
        return [
            Due(pinner, event, logged, first, latest, self._sources[source])
            for pinner, (event, logged, source), (first, latest) in zip(
                self._pinners.ids[taken].tolist(),
                self._whats[taken].tolist(),
                self._times[taken].tolist(),
                strict=True,
            )
        ]

    def drop(self, pinner: int) -> None:
        """Forget a pinner, e.g. one who is erased."""
        if (row := self._pinners.forget(pinner)) >= 0:
            self._waiting[row] = False
            self._close_up()

    def give_up(self, sources: Collection[Source]) -> None:
        """Forget who waits for an event of these partitions: whoever has them now makes their slates."""
        waiting = self._order[: self._count]
        lost = np.array([source in sources for source in self._sources], np.bool_)
        self._waiting[waiting] = ~lost[self._whats[waiting, 2]]
        self._close_up()

    def _close_up(self) -> None:
        """Take those who no longer wait out of the order, which stays as it is."""
        left = self._order[: self._count]
        left = left[self._waiting[left]]
        self._count = len(left)
        self._order[: self._count] = left

    def _keep(self, rows: Ints) -> None:
        """Forget everybody but those in ``rows``, who wait."""
        ids = self._pinners.ids[rows]
        self._pinners = IdIndex(len(rows))
        self._pinners.intern(ids)
        self._whats, self._times = self._whats[rows], self._times[rows]
        self._waiting, self._order = np.ones(len(rows), np.bool_), np.arange(len(rows))

    def _grow(self, size: int) -> None:
        self._whats, self._times = grown(self._whats, size), grown(self._times, size)
        self._waiting, self._order = grown(self._waiting, size), grown(self._order, size)


def _least(values: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Where the ``k`` least stand, least first."""
    if k < len(values):
        some = np.argpartition(values, k)[:k]
        return some[np.argsort(values[some], kind="stable")]
    return np.argsort(values, kind="stable")

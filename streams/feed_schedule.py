"""When is a pinner due for a slate: debounced, at most one pending entry each, newest first under overload.

A pinner who acts is ready ``quiet`` seconds after their latest trigger, but no later than ``longest`` seconds
after the first. When more are ready than a batch takes, most of it goes to whoever acted last (they are looking
right now) and a fixed share to whoever has waited longest, so that nobody waits for ever: with ``m`` pinners
waiting longer, a pinner is taken within ``m // share + 1`` batches. Times are seconds of any one clock, passed in.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple


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
    source: tuple[str, int] = ("", 0)


@dataclass(slots=True)
class _Pending:
    due: Due
    ready: bool = False
    done: bool = False


class FeedSchedule:
    """Pinners waiting for a slate. Memory is one entry for each waiting pinner."""

    def __init__(self, quiet: float = 0.050, longest: float = 0.200, batch: int = 16, oldest_share: int = 4) -> None:
        """Raises ValueError unless ``0 ≤ quiet ≤ longest`` and ``1 ≤ oldest_share ≤ batch``."""
        if not 0 <= quiet <= longest:
            raise ValueError(f"quiet {quiet} s must lie between 0 and longest {longest} s")
        if not 1 <= oldest_share <= batch:
            raise ValueError(f"oldest_share {oldest_share} must lie between 1 and batch {batch}")
        self.quiet, self.longest, self.batch, self.oldest_share = quiet, longest, batch, oldest_share
        self._pending: dict[int, _Pending] = {}
        self._entries = 0  # breaks ties in the heaps, so that entries themselves are never compared
        self._soon: list[tuple[float, int, _Pending]] = []  # by the time of readiness
        self._oldest: list[tuple[float, int, _Pending]] = []  # ready, by first trigger
        self._newest: list[tuple[float, int, _Pending]] = []  # ready, by latest trigger, negated

    def __len__(self) -> int:
        """Pinners that wait."""
        return len(self._pending)

    def due(self, pinner: int, event_id: int, logged: int, at: float, source: tuple[str, int] = ("", 0)) -> None:
        """A trigger: ``pinner`` did something at ``at``. The latest in Kafka names the slate."""
        pending = self._pending.get(pinner)
        if pending is None:
            pending = self._pending[pinner] = _Pending(Due(pinner, event_id, logged, at, at, source))
            self._push(self._soon, at + self.quiet, pending)
            return
        before = pending.due
        if logged < before.logged:
            return
        latest = max(at, before.latest)
        pending.due = Due(pinner, event_id, logged, before.first, latest, source)
        if pending.ready and latest > before.latest:
            self._push(self._newest, -latest, pending)

    def take(self, at: float) -> list[Due]:
        """Up to ``batch`` pinners whose slates are to be made now; they no longer wait."""
        self._settle(at)
        taken: list[Due] = []
        while len(taken) < self.oldest_share and (entry := self._pop(self._oldest)):
            taken.append(entry.due)
        while len(taken) < self.batch and (entry := self._pop(self._newest)):
            taken.append(entry.due)
        return taken

    def next_at(self) -> float | None:
        """When :meth:`take` will next have something: a lower bound, or None when nobody waits."""
        if not self._pending:
            return None
        while self._oldest and self._oldest[0][2].done:
            heappop(self._oldest)
        if self._oldest:
            return self._oldest[0][0]
        return self._soon[0][0] if self._soon else None

    def drop(self, pinner: int) -> None:
        """Forget a pinner, e.g. one who is erased."""
        if pending := self._pending.pop(pinner, None):
            pending.done = True

    def give_up(self, sources: Collection[tuple[str, int]]) -> None:
        """Forget who waits for an event of these partitions: whoever has them now makes their slates."""
        for pinner in [pinner for pinner, pending in self._pending.items() if pending.due.source in sources]:
            self.drop(pinner)

    def _settle(self, at: float) -> None:
        """Move those who have become ready by ``at``."""
        while self._soon and self._soon[0][0] <= at:
            _, _, pending = heappop(self._soon)
            if pending.done:
                continue
            ready_at = min(pending.due.latest + self.quiet, pending.due.first + self.longest)
            if ready_at > at:
                self._push(self._soon, ready_at, pending)
                continue
            pending.ready = True
            self._push(self._oldest, pending.due.first, pending)
            self._push(self._newest, -pending.due.latest, pending)

    def _push(self, heap: list[tuple[float, int, _Pending]], key: float, pending: _Pending) -> None:
        if len(heap) > 2 * len(self._pending) + 64:  # mostly stale: keep the heap as small as what waits
            heap[:] = [entry for entry in heap if not self._stale(heap, *entry)]
            heapify(heap)
        self._entries += 1
        heappush(heap, (key, self._entries, pending))

    def _pop(self, heap: list[tuple[float, int, _Pending]]) -> _Pending | None:
        while heap:
            entry = heappop(heap)
            if not self._stale(heap, *entry):
                pending = entry[2]
                pending.done = True
                del self._pending[pending.due.pinner]
                return pending
        return None

    def _stale(self, heap: list[tuple[float, int, _Pending]], key: float, _entry: int, pending: _Pending) -> bool:
        return pending.done or (heap is self._newest and -key != pending.due.latest)

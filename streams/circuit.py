"""A circuit breaker: a part that failed a moment ago is not waited for again and again.

Closed, calls go through. A failure, or a call that took too long, opens it: calls fail at once while it rests.
After the rest one call goes through as a probe (half-open): in time, it closes the circuit; else the next rest is
twice as long. So a slow part costs one time-out for each rest, not one for each slate. (Nygard, *Release It!*, 2007.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from time import monotonic

from streams.stores.protocols import StoreUnavailable

log = logging.getLogger(__name__)
#: Seconds of the first rest, and of the longest.
REST, LONGEST_REST = 0.5, 10.0


class State(StrEnum):
    CLOSED = "closed"
    HALF_OPEN = "half-open"
    OPEN = "open"


class Resting(StoreUnavailable):
    """The part was not asked: its circuit is open, or another call probes it at this moment."""


class Circuit:
    """One for each part; not shared between threads.

    Args:
        part: its name, for errors and metrics.
        failures: so many in a row open it.
        rest, longest: seconds of the first rest, and of the longest.
        clock: seconds of any one clock.
    """

    def __init__(
        self,
        part: str,
        *,
        failures: int = 1,
        rest: float = REST,
        longest: float = LONGEST_REST,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if failures < 1 or not 0 < rest <= longest:
            raise ValueError(f"failures {failures} must be 1 or more, and 0 < rest {rest} ≤ longest {longest}")
        self.part, self._failures, self._rest, self._longest, self._clock = part, failures, rest, longest, clock
        self.state = State.CLOSED
        #: How often it opened, and calls that were spared.
        self.opened = self.spared = 0
        #: Called when the state changes.
        self.on_change: Callable[[Circuit], None] | None = None
        self._in_a_row = 0
        self._next_rest = rest
        self._until = 0.0
        #: Calls begun before the latest verdict say nothing about the time after it.
        self._verdicts = 0

    @contextmanager
    def call(self) -> Generator[None]:
        """Around one call: raises :class:`Resting` instead of letting it through; otherwise notes how it ends.

        Only :class:`StoreUnavailable` is the part's failure. A call that the caller stopped waiting for is told by
        :meth:`too_slow`; how it ends later changes nothing.
        """
        self._admit()
        before = self._verdicts
        try:
            yield
        except StoreUnavailable:
            if before == self._verdicts:
                self._failed()
            raise
        except BaseException:
            # No verdict on the part. A probe that ended so leaves the way free for the next.
            if before == self._verdicts and self.state is State.HALF_OPEN:
                self._change(State.OPEN)
            raise
        if before == self._verdicts:
            self._succeeded()

    def too_slow(self) -> None:
        """The caller no longer waits for a call that is under way."""
        if self.state is not State.OPEN:
            self._failed(at_once=True)

    @property
    def rests(self) -> float:
        """Seconds until the next call goes through; 0 when it does now."""
        return max(0.0, self._until - self._clock()) if self.state is State.OPEN else 0.0

    def _admit(self) -> None:
        if self.state is State.CLOSED:
            return
        if self.state is State.OPEN and self._clock() >= self._until:
            self._change(State.HALF_OPEN)
            return
        self.spared += 1
        raise Resting(self.part, "not asked, as it failed a moment ago", retry_after=max(self.rests, 0.1))

    def _failed(self, *, at_once: bool = False) -> None:
        self._verdicts += 1
        self._in_a_row += 1
        if self.state is State.CLOSED and self._in_a_row < self._failures and not at_once:
            return
        self._until = self._clock() + self._next_rest
        self._next_rest = min(self._next_rest * 2, self._longest)
        self.opened += 1
        self._change(State.OPEN)

    def _succeeded(self) -> None:
        self._in_a_row = 0
        self._next_rest = self._rest
        if self.state is not State.CLOSED:
            self._verdicts += 1
            self._change(State.CLOSED)

    def _change(self, state: State) -> None:
        before, self.state = self.state, state
        if state is State.CLOSED:
            log.info("%s answers in time again", self.part)
        elif before is State.CLOSED:
            log.warning("%s failed or was too slow: not asked for %.1f s", self.part, self.rests)
        if self.on_change is not None:
            self.on_change(self)

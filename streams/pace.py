"""Pace: while a worker is behind the log, counting goes first; slates and learning take only a share of its time.

A slate for something that happened minutes ago is worth little, and each costs as much as counting thousands of events.
"""

from __future__ import annotations

import math

#: A worker is behind when what it reads has been in Kafka for longer than this, seconds.
BEHIND = 5.0
#: Seconds that a crowd counts for: without them the next one would be there at once. One that comes back as soon as it
#: no longer counts was only held off, so it counts for twice as long, up to the longest.
CALM, LONGEST_CALM = 3.0, 60.0
#: The share of time that slates take meanwhile, and that each learner takes then, and while a crowd waits for slates.
SHARE, LEARNING, LEARNING_IN_A_CROWD = 0.1, 0.02, 0.2


class Pace:
    """How old the events are that are being read now."""

    def __init__(self) -> None:
        self.age = 0.0
        #: Do more pinners wait for slates than can be served at once, or did they a moment ago?
        self.crowded, self._crowded_until, self._calm = False, -math.inf, CALM

    def read(self, logged: int, now: int) -> None:
        """An event that Kafka has had since ``logged`` was read at ``now``; milliseconds."""
        self.age = (now - logged) / 1000

    def crowd(self, at: float, *, too_many: bool) -> None:
        """Do more pinners wait at ``at`` than can be served at once? Seconds of any one clock."""
        if too_many:
            if not self.crowded:
                soon = at - self._crowded_until < self._calm
                self._calm = min(2 * self._calm, LONGEST_CALM) if soon else CALM
            self._crowded_until = at + self._calm
        self.crowded = at < self._crowded_until

    @property
    def behind(self) -> bool:
        """Is what is read now so old that slates must wait?"""
        return self.age > BEHIND

    @property
    def pressed(self) -> bool:
        """Should what can wait leave the worker to what cannot?"""
        return self.crowded or self.behind

    def rest(self, spent: float) -> float:
        """Seconds to leave to counting after ``spent`` seconds of building slates."""
        return spent * (1 / SHARE - 1) if self.behind else 0.0

    def rest_of_learner(self, spent: float) -> float:
        """Seconds to leave to everything else after ``spent`` seconds of learning."""
        share = LEARNING if self.behind else LEARNING_IN_A_CROWD if self.crowded else 1.0
        return spent * (1 / share - 1)

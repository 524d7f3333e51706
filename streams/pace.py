"""Pace: while a worker is behind the log, counting goes first; slates and learning take only a share of its time.

A slate for something that happened minutes ago is worth little, and each costs as much as counting thousands of events.
"""

from __future__ import annotations

#: A worker is behind when what it reads has been in Kafka for longer than this, seconds.
BEHIND = 5.0
#: The share of time that slates take meanwhile, and that each learner takes.
SHARE, LEARNING = 0.1, 0.02


class Pace:
    """How old the events are that are being read now."""

    def __init__(self) -> None:
        self.age = 0.0

    def read(self, logged: int, now: int) -> None:
        """An event that Kafka has had since ``logged`` was read at ``now``; milliseconds."""
        self.age = (now - logged) / 1000

    @property
    def behind(self) -> bool:
        """Is what is read now so old that slates must wait?"""
        return self.age > BEHIND

    def rest(self, spent: float, share: float = SHARE) -> float:
        """Seconds to leave to counting after ``spent`` seconds of building slates, or of what else has a share."""
        return spent * (1 / share - 1) if self.behind else 0.0

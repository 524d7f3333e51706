"""Chosen topics: what pinners said that they are interested in, when they signed up or later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

#: Topics of a pinner, and characters of each, that are kept.
MOST, LONGEST = 32, 64
#: Beyond, those who chose longest ago are forgotten.
MAX_PINNERS = 100_000


class Choice(NamedTuple):
    """Topics in the order they were named, and when (ms)."""

    topics: tuple[str, ...]
    since: int


_NONE = Choice((), 0)


class Chosen:
    """The newest choice of each pinner, whatever order they come in; some 500 bytes each."""

    def __init__(self, max_pinners: int = MAX_PINNERS) -> None:
        self._max_pinners = max_pinners
        self._of: dict[int, Choice] = {}

    def __len__(self) -> int:
        return len(self._of)

    def accept(self, pinner: int, time: int, topics: Sequence[str]) -> None:
        """Take a choice made at ``time`` (ms); one of an earlier time has no effect, an empty one ends all."""
        if time < self._of.get(pinner, _NONE).since:
            return
        short = (" ".join(topic[:LONGEST].split()) for topic in topics)
        self._of[pinner] = Choice(tuple(dict.fromkeys(each for each in short if each))[:MOST], time)
        if len(self._of) > self._max_pinners * 1.1:
            latest = sorted(self._of.items(), key=lambda each: (-each[1].since, each[0]))
            self._of = dict(latest[: self._max_pinners])

    def of(self, pinner: int) -> Choice:
        """What a pinner chose; nothing when that is not known."""
        return self._of.get(pinner, _NONE)

    def erase(self, pinner: int) -> None:
        """Forget a pinner."""
        self._of.pop(pinner, None)

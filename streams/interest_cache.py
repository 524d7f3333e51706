"""Interests of pinners while slates are made: clusters of their latest actions, kept until they act again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from operators.batch import Ints
from operators.interests.medoids import ACTIONS, Interests, interests
from operators.slate.candidates import Floats

if TYPE_CHECKING:
    from streams.engine import Engine

#: Pinners whose interests are kept; a kilobyte or two each.
KEPT = 4_096


class Known(NamedTuple):
    """Interests of a pinner, the pins that stand for them, ``(c,)``, and the vectors of these, ``(c, d)``."""

    interests: Interests
    pins: Ints
    vectors: Floats
    #: All pins that they were made of.
    actions: Ints


class InterestCache:
    """The interests of the pinners asked for lately. The oldest half goes when it is full."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._of: dict[int, tuple[tuple[int, ...], Known]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def of(self, engine: Engine, pinner: int, now: int) -> Known:
        """Interests as of ``now`` (ms), or as of the same actions before: importance of all fades alike.

        Made of vectors that the cache of vectors holds; :func:`load` them before. O(:data:`ACTIONS`²).
        """
        pins, times = latest(engine, pinner)
        vectors, found = engine.vector_cache.held(pins)
        key = (hash(pins.tobytes()), int(times.max(initial=0)), int(found.sum()))
        before = self._of.get(pinner)
        if before is not None and before[0] == key:
            return before[1]
        pins, times, vectors = pins[found], times[found], vectors[found]
        made = interests(vectors, times, now)
        known = Known(made, pins[made.medoids], vectors[made.medoids], pins)
        self._of.pop(pinner, None)
        self._of[pinner] = (key, known)
        if len(self._of) > self._kept:
            self._of = dict(list(self._of.items())[self._kept // 2 :])
        return known

    def forget(self, pinner: int) -> None:
        """Forget a pinner, e.g. an erased one."""
        self._of.pop(pinner, None)


def latest(engine: Engine, pinner: int) -> tuple[Ints, Ints]:
    """Pins of the latest closeups, clicks and saves, each once, newest first, and their times (ms)."""
    actions = engine.state.recent.actions(pinner, ACTIONS)
    _, first = np.unique(actions.pins, return_index=True)
    rows = np.sort(first)
    return actions.pins[rows], actions.times[rows]


async def load(engine: Engine, pinners: list[int]) -> None:
    """Have the vectors of what pinners did lately in memory. Raises StoreUnavailable when Milvus is gone."""
    await engine.vector_cache.load(np.concatenate([latest(engine, pinner)[0] for pinner in pinners]))

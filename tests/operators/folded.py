"""Random engagement, and cutting it into batches: what the tests of the folds share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind

#: 2026-03-01T00:00:00Z
START = 1_772_323_200_000
DAY = 86_400_000


def engagement(
    rows: int, seed: int, *, pins: int = 50, pinners: int = 20, days: float = 30, attributed: float = 0.9
) -> Engagement:
    """Events in random order over ``days``; a share of rows is attributed, to an owner and domain that may change."""
    random = np.random.default_rng(seed)
    pin = random.integers(1, pins + 1, rows)
    kind = random.choice(list(Kind), rows, p=[0.7, 0.1, 0.05, 0.1, 0.05]).astype(np.uint8)
    known = random.random(rows) < attributed
    moved = random.random(rows) < 0.05
    return Engagement(
        source=Source("saves", 0, 0, rows - 1),
        offset=np.arange(rows),
        logged=START + np.arange(rows),
        time=START + random.integers(0, int(days * DAY), rows),
        event_id=1 + random.permutation(rows) * 1_000_003,
        kind=kind,
        pinner=random.integers(1, pinners + 1, rows),
        pin=pin,
        board=np.where(kind == Kind.SAVE, random.integers(1, 30, rows), 0),
        slate=np.zeros(rows, np.int64),
        position=random.integers(-1, 40, rows).astype(np.int16),
        surface=random.integers(0, 5, rows).astype(np.uint8),
        owner=np.where(known, pin % 7 + moved + 1, 0),
        domain=np.where(known, pin % 5 + 100 * moved + 1, 0),
        is_follower=(random.random(rows) < 0.3).astype(np.uint8),
    )


def take(events: Engagement, rows: NDArray[np.integer]) -> Engagement:
    """Some rows, in the order given."""
    return Engagement(events.source, *(getattr(events, name)[rows] for name in ENGAGEMENT_COLUMNS))


def shuffled(events: Engagement, seed: int, batches: int) -> list[Engagement]:
    """The same events in another order, cut into batches at random."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(events))
    cuts = np.sort(random.integers(0, len(events) + 1, batches - 1))
    return [take(events, part) for part in np.split(order, cuts)]

"""Making: the message of a slate, from its draft and its places. Serving and replay both come through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import Candidates, Floats
from operators.slate.exploration import Places
from operators.slate.slate import Item, Probabilities, Slate, Stage, slate_id


class Made(NamedTuple):
    """When a slate was made and how long its stages took: what no replay can know."""

    trigger_logged: int
    emitted: int
    stages: list[Stage]


def seed_of(pinner: int, trigger_event: int) -> int:
    """What chance starts from in a slate: the same trigger has the same."""
    return slate_id(pinner, trigger_event) & 0xFFFFFFFF


def items_of(candidates: Candidates, places: Places, scores: Floats, probabilities: Floats | None) -> list[Item]:
    """The places of a slate; ``candidates``, ``scores`` and ``probabilities`` are of those that filters kept."""
    rows = places.rows
    expected = (
        [None] * len(rows) if probabilities is None else [Probabilities(*p) for p in probabilities[rows].tolist()]
    )
    return list(
        map(
            Item,
            candidates.pins[rows].tolist(),
            scores[rows].tolist(),
            candidates.take(rows).sources(),
            expected,
            places.propensities.tolist(),
            places.explored.tolist(),
        )
    )


def slate_of(
    made: Made,
    *,
    pinner: int,
    trigger_event: int,
    now: int,
    items: list[Item],
    repeats: NDArray[np.bool_],
    popular: bool,
    models: dict[str, str],
    degraded: list[str],
    shares: Mapping[str, int],
    dropped: Mapping[str, Ints],
    explained: int,
) -> Slate:
    """The slate. ``repeats`` ``(places,)`` says which were seen before; of each filter ``explained`` pins are named."""
    used = {"popular": popular, "repeats": bool(repeats.any())}
    return Slate(
        slate=slate_id(pinner, trigger_event),
        pinner=pinner,
        trigger_event=trigger_event,
        now=now,
        trigger_logged=made.trigger_logged,
        emitted=made.emitted,
        freshness_ms=made.emitted - made.trigger_logged,
        items=items,
        models=models,
        degraded=degraded,
        fallback=[name for name, leant_on in used.items() if leant_on],
        seed=seed_of(pinner, trigger_event),
        shares=dict(shares),
        stages=made.stages,
        dropped={name: len(pins) for name, pins in dropped.items()},
        dropped_pins={name: pins[:explained].tolist() for name, pins in dropped.items()},
    )

"""What a slate in the making leaves behind, so that it can be explained and replayed: its record."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.slate.candidates import SOURCES, Floats
from operators.slate.choices import Choices
from operators.slate.diversity import similarity
from operators.slate.exploration import Newness, Places
from operators.slate.features import Signals
from operators.slate.record import Header, Record
from operators.slate.slate import Slate
from streams.slate_drafts import Draft

Near = list[tuple[NDArray[np.int32], Floats]]


class Known(NamedTuple):
    """What is known of one slate's candidates, and what the ranker expects of each."""

    signals: Signals
    newness: Newness
    probabilities: Floats | None
    rate: float


class Placed(NamedTuple):
    """A slate's places, which candidates could be shown, and how alike the chosen are to whom they were chosen from."""

    places: Places
    showable: NDArray[np.bool_]
    near: Near


class Kernels:
    """The kernels of diversity, from vectors; keeps those that it made."""

    def __init__(self, vectors_of: Callable[[NDArray[np.intp]], Floats]) -> None:
        self._vectors_of = vectors_of
        self._made: list[tuple[NDArray[np.intp], Floats]] = []

    def __call__(self, pool: NDArray[np.intp]) -> Floats:
        kernel = similarity(self._vectors_of(pool))
        self._made.append((pool, kernel))
        return kernel

    def near(self, base: NDArray[np.intp]) -> Near:
        """Of each kernel, where the pins of ``base`` stand in it, and their rows: all that the choice looked at."""
        out: Near = []
        for pool, kernel in self._made:
            chosen = np.flatnonzero(np.isin(pool, base))
            out.append((chosen.astype(np.int32), kernel[chosen]))
        return out


def record_of(draft: Draft, known: Known, placed: Placed, slate: Slate, spec: str, choices: Choices) -> Record:
    """The record of a slate; its ``message`` is added when it is sent."""
    header = Header(
        pinner=slate.pinner,
        trigger_event=slate.trigger_event,
        now=slate.now,
        choices=choices,
        popular=draft.popular,
        spec=spec,
        models=slate.models,
        degraded=slate.degraded,
        sources=list(SOURCES),
        found=draft.blend.found,
        shares=draft.blend.shares,
        own=draft.blend.own.tolist(),
        everybody=draft.blend.everybody.tolist(),
        rate=known.rate,
    )
    return Record(
        header=header,
        candidates=draft.merged,
        question=draft.question,
        domains=draft.merged_facts.domains,
        signals=known.signals,
        newness=known.newness,
        showable=placed.showable,
        probabilities=known.probabilities,
        near=placed.near,
    )

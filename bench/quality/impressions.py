"""Impressions for models of ranking: features, labels of each head, who, and which rows are for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Rows of each part in time order: ``train`` learns, ``validation`` chooses and calibrates, ``test`` is later."""

    train: Ints
    validation: Ints
    test: Ints

    @classmethod
    def of(cls, number: Ints) -> Parts:
        """From 0, 1 or 2 for each row."""
        return cls(*(np.flatnonzero(number == each) for each in range(3)))


@dataclass(frozen=True)
class Impressions:
    """``m`` rows.

    Attributes:
        features: ``(m, F)`` float32, of what was known before the row, named by ``names``.
        labels, asked: ``(m, H)`` bool for each of ``heads``; a head is about the rows where it is asked.
        group: ``(m,)`` who looked: rows of one are resampled together.
        baselines: name → ``(m, H)`` scores that models are to beat.
        own: features of this pinner and this pin together.
        weights: ``(m,)`` how many a row stands for of a policy that shows everything equally often; where known.
        pins: ``(m, 2)`` category and item of each row, ``times`` ``(m,)`` seconds; with a sequence only.
        latest: ``(m, L)`` rows of ``events``, newest first, -1 where there are fewer.
        events: ``(e, 4)`` category, item, kind and second.
    """

    heads: Sequence[str]
    names: Sequence[str]
    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    group: Ints
    baselines: Mapping[str, NDArray[np.float64]]
    parts: Parts
    own: Sequence[str] = ()
    weights: NDArray[np.float64] | None = None
    pins: Ints | None = None
    times: Ints | None = None
    latest: Ints | None = None
    events: Ints | None = None

    def of(self, head: int, part: str) -> Ints:
        """Rows of a part that a head is about."""
        rows: Ints = getattr(self.parts, part)
        return rows[self.asked[rows, head]]

    def without(self, names: Sequence[str]) -> Impressions:
        """The same without some features."""
        kept = [at for at, name in enumerate(self.names) if name not in names]
        return replace(self, names=[self.names[at] for at in kept], features=self.features[:, kept], own=())

    def save(self, file: Path) -> None:
        """For ``training.ranking_models``, which runs in another environment."""
        np.savez(file, **self._columns())

    def bytes(self) -> bytes:
        """What models learn from, to tell whether it is the same as before."""
        return b"".join(np.ascontiguousarray(each).tobytes() for each in self._columns().values())

    def _columns(self) -> dict[str, NDArray[Any]]:
        columns: dict[str, NDArray[Any]] = {"features": self.features, "labels": self.labels, "asked": self.asked}
        columns |= {name: getattr(self.parts, name) for name in ("train", "validation", "test")}
        for name in ("weights", "pins", "times", "latest", "events"):
            if getattr(self, name) is not None:
                columns[name] = getattr(self, name)
        return columns

"""A figure: what was measured, over what, and how it stands to what is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from streams.settings import Settings

Say = Callable[[str], None]


class MissingData(Exception):
    """A data set that this part needs is not there; the message names the folder and what to do."""


@dataclass(frozen=True)
class Figure:
    """One measure on one split.

    Attributes:
        part: which part of the engine it is about.
        split: the pictures it is of. ``train`` and ``validation`` were looked at while choices were made, ``test`` was
            not; ``all`` is a whole set on which nothing was chosen, or both halves together.
        values: one for each seed; a single one where nothing is random.
        over: how much data that is.
        least, most: the goal, if there is one.
    """

    part: str
    what: str
    split: str
    values: tuple[float, ...]
    over: str
    least: float | None = None
    most: float | None = None

    @property
    def value(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def met(self) -> bool | None:
        """Whether the mean reaches the goal; None without one."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def goal(self) -> str:
        """``≥ 0.92``; empty without one."""
        bounds = (("≥", self.least), ("≤", self.most))
        return ", ".join(f"{sign} {bound:g}" for sign, bound in bounds if bound is not None)

    def row(self) -> tuple[str, ...]:
        """For a table: part, what, split, value and its spread over seeds, goal, whether it is met, data."""
        spread = f" ± {np.std(self.values):.3f}" if len(self.values) > 1 else ""
        met = {None: "", True: "yes", False: "NO"}[self.met]
        return self.part, self.what, self.split, f"{self.value:.3f}{spread}", self.goal, met, self.over

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            "part": self.part,
            "what": self.what,
            "split": self.split,
            "value": round(self.value, 4),
            "seeds": [round(value, 4) for value in self.values],
            "least": self.least,
            "most": self.most,
            "met": self.met,
            "over": self.over,
        }


@dataclass(frozen=True)
class Given:
    """What a part is measured with: the real data, how many seeds, whether a part of the data will do, Triton.

    ``absent`` takes what a part can do without and is not there: its name, and why or what to do.
    """

    data: Path
    seeds: int
    quick: bool
    triton: Settings
    say: Say
    absent: dict[str, str] = field(default_factory=dict[str, str])

    def folder(self, name: str) -> Path:
        """A data set. Raises MissingData."""
        folder = self.data / name
        if not folder.is_dir():
            raise MissingData(f"no {folder}: set PINSTREAM_DATA, or --data, to the folder that holds {name}/")
        return folder

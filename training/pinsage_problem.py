"""What PinSage learns from and is judged by: features, neighbourhoods and pairs as arrays in one file.

Written by ``training/pinsage_data.py`` in the engine's environment, which has the live graph; read where torch is.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Problem:
    """``n`` pins and ``v`` views of their graph; in each, edges of the pairs that it teaches are hidden.

    Attributes:
        visual: ``(n, d)`` float32, L2-normalised: what a picture's encoder says, or stands in for it.
        text: ``(n, t)`` float32, L2-normalised; ``t`` may be 0.
        degrees: ``(v + 2, n)``: boards of each pin in each view, in validation and in test.
        neighbours: ``(v + 2, n, size)`` int32 rows, -1 where there are fewer.
        weights: the same of float32; each row adds up to 1 or is 0.
        hard: ``(v, n, h)`` int32 rows in the band of hard negatives, -1 where there are fewer.
        pairs: ``(p, 3)`` int32: view, query and positive.
        validation: ``(m, 2)`` int32: query and positive.
        test: the same; nothing was chosen by them.
        novel: ``(n,)`` bool: in no view does it stand on a board.
        walks: ``(len(test),)``: the positive's place, from 0, in the order of a long walk from the query.
    """

    visual: np.ndarray
    text: np.ndarray
    degrees: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray
    hard: np.ndarray
    pairs: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    novel: np.ndarray
    walks: np.ndarray

    @property
    def views(self) -> int:
        return len(self.degrees) - 2

    def save(self, path: Path) -> None:
        """Write it; a file with this name is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **{one.name: getattr(self, one.name) for one in fields(self)})
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Problem:
        """Read it. Raises FileNotFoundError and KeyError."""
        with np.load(path) as stored:
            return cls(**{one.name: stored[one.name] for one in fields(cls)})

"""What a source is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.slate.candidates import Floats, Found
from operators.slate.choices import Choices
from streams.engine import Engine


@dataclass(frozen=True, slots=True)
class Ask:
    """One pinner, and what to start from."""

    pinner: int
    now: int  # stream time, milliseconds
    seeds: Ints  # (s,) the latest saves, newest first, each pin once
    weights: NDArray[np.float64]  # (s,), 1 for a save of this moment, halved with every half-life
    vectors: Floats  # (s, d) of the seeds, zero rows where Milvus has none
    taste: Floats  # (d,) L2-normalised, or zero where unknown
    activity: float  # saves lately, each counting its weight
    choices: Choices
    #: What chance starts from; the slate tells it.
    seed: int = 0


Source = Callable[[Engine, Sequence[Ask]], Awaitable[list[Found]]]

"""The spec's trace of one candidate of a slate: every node, and what the utility owes to each input."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from operators.linchpin.explain import explain
from operators.linchpin.program import Program
from operators.slate.explanation import PinTold, TraceLine, row_of
from operators.slate.features import inputs
from operators.slate.record import Record
from operators.slate.replay import Replayed
from operators.slate.utility import ACTIONS
from streams.slate_spec import FEATURES, UTILITY, SlateSpec


def traced(told: PinTold, record: Record, again: Replayed, spec: SlateSpec) -> PinTold:
    """``told`` with the trace, where the pin is a candidate that filters kept."""
    row = row_of(again, told.pin)
    if row is None:
        return told
    given: dict[str, Any] = {name: _plain(column[row]) for name, column in inputs(record.signals).items()}
    outputs = [FEATURES]
    if record.probabilities is not None:
        outputs.append(UTILITY)
        given |= dict(zip(ACTIONS, map(_plain, record.probabilities[row]), strict=True))
    program = Program(spec.graph, outputs)
    found = explain(program, {name: value for name, value in given.items() if name in program.graph.inputs})
    lines = [TraceLine(line.name, line.transform, line.value, line.terms) for line in found.lines]
    return msgspec.structs.replace(told, trace=lines, loses=found.contributions.get(UTILITY, {}))


def _plain(value: np.generic) -> float | int | None:
    number = value.item()
    return number if number == number else None

"""Programs: a pruned graph, run over columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from operators.linchpin.columns import Column, fitted, length
from operators.linchpin.errors import RunError, nearest
from operators.linchpin.graph import Graph


class Program:
    """What a spec's outputs need, ready to be run; may be run by several threads at once.

    The same row gives the same bits, whichever rows are beside it.
    """

    def __init__(self, graph: Graph, outputs: Iterable[str] | None = None) -> None:
        """``outputs`` are those of the spec that are wanted, all when left out. Raises KeyError for one it has not."""
        self.graph = graph.pruned(outputs)

    def run(self, columns: Mapping[str, Any]) -> dict[str, Column]:
        """The outputs for ``n`` rows; ``columns`` has the inputs, and may have others.

        Raises:
            RunError: an input is not there or of another kind, or a transform failed.
        """
        found = self.trace(columns)
        return {name: found[name] for name in self.graph.outputs}

    def trace(self, columns: Mapping[str, Any]) -> dict[str, Column]:
        """Every input and node that the outputs need, in order of computation."""
        found: dict[str, Column] = {}
        rows = -1
        for name, shape in self.graph.inputs.items():
            if name not in columns:
                raise RunError(f"the column {name} is not there{nearest(name, columns)}")
            rows = length(columns[name]) if rows < 0 else rows
            found[name] = fitted(name, columns[name], shape, rows)
        with np.errstate(all="ignore"):
            for step in self.graph.steps:
                try:
                    made = step.transform.function(*(found[name] for name in step.inputs), **step.parameters)
                except Exception as wrong:
                    raise RunError(f"{step.name} <- {step.transform.name}: {wrong}") from wrong
                found[step.name] = fitted(step.name, made, step.shape, rows)
        return found

"""Explain: what every node of a spec is for one row, and what each input does to the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.linchpin.columns import Column, Kind, Sets, column_of, part
from operators.linchpin.program import Program

#: One row of a column, in JSON: None is missing.
Plain = float | int | str | list[Any] | None


@dataclass(frozen=True, slots=True)
class Line:
    """One input or node: what it is for this row. ``terms`` are what each number of a sum adds, by name."""

    name: str
    transform: str
    inputs: tuple[str, ...]
    value: Plain
    terms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Explanation:
    """``contributions`` has, for each output that is a number, input → what the output loses when it is missing.

    Where the output is then missing, too, the input counts as 0 instead, or has no contribution if it is no number.
    They say what the row owes to each input alone, and add up to the output only if it is a sum.
    """

    lines: tuple[Line, ...]
    outputs: dict[str, Plain]
    contributions: dict[str, dict[str, float]]


def explain(program: Program, row: Mapping[str, Any]) -> Explanation:
    """The trace of one row, such as ``{"quality": 0.5}``; what it leaves out is missing.

    Raises:
        RunError: a value that is not of its input's kind.
    """
    graph = program.graph
    columns = {name: column_of(name, [row.get(name)], shape) for name, shape in graph.inputs.items()}
    found = program.trace(columns)
    shapes = graph.shapes
    lines = [Line(name, "", (), plain(found[name], shapes[name].kind), {}) for name in graph.inputs]
    for step in graph.steps:
        terms: dict[str, float] = {}
        if step.transform.terms is not None:
            labels = [label for name in step.inputs for label in shapes[name].named(name)]
            added = step.transform.terms(*(found[name] for name in step.inputs), **step.parameters)
            terms = dict(zip(labels, added, strict=True))
        value = plain(found[step.name], step.shape.kind)
        lines.append(Line(step.name, step.transform.name, step.inputs, value, terms))
    outputs = {name: plain(found[name], shapes[name].kind) for name in graph.outputs}
    return Explanation(tuple(lines), outputs, _contributions(program, columns))


def _contributions(program: Program, columns: Mapping[str, Column]) -> dict[str, dict[str, float]]:
    """Each input taken away in turn, then each made 0: one batch, its first row whole."""
    graph = program.graph
    numbers = [name for name in graph.outputs if graph.shapes[name].kind is Kind.FLOAT]
    n = len(graph.inputs)
    batch: dict[str, Column] = {}
    for at, (name, shape) in enumerate(graph.inputs.items(), 1):
        (gone,), (value,) = _rows(column_of(name, [None], shape)), _rows(columns[name])
        zero = 0 if shape.kind in (Kind.FLOAT, Kind.VECTOR) else gone
        instead = {at: gone, at + n: zero}
        batch[name] = _column([instead.get(row, value) for row in range(2 * n + 1)], columns[name])
    ran = program.run(batch)
    out: dict[str, dict[str, float]] = {}
    for name in numbers:
        scores = np.asarray(ran[name], np.float64)
        without, at_zero = scores[1 : n + 1], scores[n + 1 :]
        lost = (scores[0] - np.where(np.isnan(without), at_zero, without)).tolist()
        found = {each: value for each, value in zip(graph.inputs, lost, strict=True) if np.isfinite(value)}
        out[name] = dict(sorted(found.items(), key=lambda each: -abs(each[1])))
    return out


def _rows(column: Column) -> list[Any]:
    if isinstance(column, Sets):
        return [part(column, slice(row, row + 1))[1].tolist() for row in range(len(column.starts) - 1)]
    return list(column)


def _column(rows: list[Any], like: Column) -> Column:
    if isinstance(like, Sets):
        return Sets.of(rows)
    out = np.empty((len(rows), *like.shape[1:]), like.dtype)
    for number, row in enumerate(rows):
        out[number] = row
    return out


def plain(column: Column, kind: Kind, row: int = 0) -> Plain:
    """One row of a column as JSON has it."""
    if isinstance(column, Sets):
        return column.ids[column.starts[row] : column.starts[row + 1]].tolist()
    value = column[row].tolist() if kind is not Kind.TEXT else column[row]
    if kind is Kind.VECTOR:
        return [_known(each) for each in value]
    if kind is Kind.FLOAT:
        return _known(value)
    missing = {Kind.ID: 0, Kind.TIME: np.iinfo(np.int64).min}.get(kind)
    return None if value == missing else value


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None

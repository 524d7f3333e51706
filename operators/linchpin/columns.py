"""Columns: what flows through a graph, and how each kind says that a value is missing.

| kind | a column of n rows | missing |
|---|---|---|
| ``float`` | ``(n,)`` float32 | NaN |
| ``id`` | ``(n,)`` int64, as ``operators.identity`` makes them | 0 |
| ``time`` | ``(n,)`` int64, milliseconds since the epoch | :data:`NO_TIME` |
| ``text`` | ``(n,)`` objects of type str | None |
| ``set`` | :class:`Sets` of ids | the empty set |
| ``vector[d]`` | ``(n, d)`` float32 | NaN |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.linchpin.errors import RunError

NO_ID = 0
NO_TIME = int(np.iinfo(np.int64).min)


class Kind(StrEnum):
    """Kinds of columns."""

    FLOAT = "float"
    ID = "id"
    TIME = "time"
    TEXT = "text"
    SET = "set"
    VECTOR = "vector"


class Sets(NamedTuple):
    """A set of ids for each of n rows: row i is ``ids[starts[i]:starts[i + 1]]``, ascending, each once."""

    starts: NDArray[np.int64]  # (n + 1,)
    ids: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Sets:
        """From lists of ids in any order."""
        parts = [np.asarray(row, np.int64) for row in rows]
        ids = np.concatenate([np.empty(0, np.int64), *parts])
        row_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        order = np.lexsort((ids, row_of))
        ids, row_of = ids[order], row_of[order]
        first = np.ones(len(ids), np.bool_)
        first[1:] = (ids[1:] != ids[:-1]) | (row_of[1:] != row_of[:-1])
        first &= ids != NO_ID
        counts = np.bincount(row_of[first], minlength=len(parts))
        return cls(np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]), ids[first])

    def part(self, rows: slice) -> Sets:
        """The sets of some neighbouring rows."""
        starts = self.starts[rows.start : rows.stop + 1]
        return Sets(starts - starts[0], self.ids[starts[0] : starts[-1]])


#: What the parameters of a transform's function are annotated with. It may give another type of number: the program
#: makes of it what the kind wants.
Float = Annotated[NDArray[Any], Kind.FLOAT]
Id = Annotated[NDArray[Any], Kind.ID]
Time = Annotated[NDArray[Any], Kind.TIME]
Text = Annotated[NDArray[Any], Kind.TEXT]
IdSet = Annotated[Sets, Kind.SET]
Vector = Annotated[NDArray[Any], Kind.VECTOR]
Column = NDArray[Any] | Sets


@dataclass(frozen=True, slots=True)
class Shape:
    """What a column is: its kind, the width of a vector, and what each number of a vector is called."""

    kind: Kind
    width: int = 1
    labels: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"vector[{self.width}]" if self.kind is Kind.VECTOR else self.kind.value

    def named(self, name: str) -> tuple[str, ...]:
        """A label for each number of a row, of a column that is called ``name``."""
        if self.kind is not Kind.VECTOR:
            return (name,)
        return self.labels or tuple(f"{name}_{number}" for number in range(self.width))


_FLOAT, _INT = np.dtype(np.float32), np.dtype(np.int64)
_TYPES = {Kind.FLOAT: _FLOAT, Kind.VECTOR: _FLOAT, Kind.ID: _INT, Kind.TIME: _INT}


def length(column: Column) -> int:
    """Rows of a column."""
    return len(column.starts) - 1 if isinstance(column, Sets) else len(column)


def fitted(name: str, column: Any, shape: Shape, rows: int) -> Column:
    """The column as its kind wants it: right type, contiguous (so that every batch is computed in the same way).

    Raises:
        RunError: another number of rows, another width, or values that are not of this kind.
    """
    kind = shape.kind
    # Most columns are right as they are, and looking closer at each would cost as much as computing it.
    right = type(column) is np.ndarray and column.dtype is _TYPES.get(kind) and column.flags.c_contiguous
    if right and column.shape == ((rows, shape.width) if kind is Kind.VECTOR else (rows,)):
        return column
    if kind is Kind.SET:
        if not isinstance(column, Sets) or length(column) != rows:
            raise RunError(f"{name}: expected {rows} sets (operators.linchpin.columns.Sets)")
        return column
    array = np.asarray(column)
    wanted = (rows, shape.width) if shape.kind is Kind.VECTOR else (rows,)
    if array.shape != wanted:
        raise RunError(f"{name}: expected {shape} {wanted}, found {array.shape}")
    if shape.kind is Kind.TEXT:
        return array if array.dtype == object else array.astype(object)
    fine = "iu" if shape.kind in (Kind.ID, Kind.TIME) else "iufb"
    if array.dtype.kind not in fine:
        raise RunError(f"{name}: expected {shape}, found values of type {array.dtype}")
    return np.ascontiguousarray(array, np.int64 if fine == "iu" else np.float32)


def column_of(name: str, values: Sequence[Any], shape: Shape) -> Column:
    """A column from Python values, None where missing: rows of JSON, or of a table.

    Raises:
        RunError: a value that is not of this kind.
    """
    try:
        match shape.kind:
            case Kind.SET:
                return Sets.of([each or () for each in values])
            case Kind.TEXT:
                return np.array([None if each is None else str(each) for each in values] or [], object)
            case Kind.VECTOR:
                unknown = [np.nan] * shape.width
                rows = [unknown if each is None else [np.nan if x is None else x for x in each] for each in values]
                return fitted(name, np.array(rows, np.float32).reshape(len(rows), -1), shape, len(rows))
            case Kind.FLOAT:
                return np.array([np.nan if each is None else each for each in values], np.float32)
            case kind:
                missing = NO_ID if kind is Kind.ID else NO_TIME
                if any(isinstance(each, float) for each in values):
                    raise ValueError("whole numbers only")
                return np.array([missing if each is None else each for each in values], np.int64)
    except (TypeError, ValueError, OverflowError) as wrong:
        raise RunError(f"{name}: not a column of {shape}: {wrong}") from wrong


def columns_of(rows: Sequence[Mapping[str, Any]], shapes: Mapping[str, Shape]) -> dict[str, Column]:
    """Columns from rows such as ``{"quality": 0.5, "owner": 12}``; what a row leaves out is missing."""
    return {name: column_of(name, [row.get(name) for row in rows], shape) for name, shape in shapes.items()}


def part(column: Column, rows: slice) -> Column:
    """Some neighbouring rows; ``rows`` has a start and a stop within the column."""
    return column.part(rows) if isinstance(column, Sets) else column[rows]

"""Rows of ClickHouse through a spec, the way that serving computes them.

    python -m training.spec_rows feed.linchpin --from "(SELECT …)" --out rows.npz [--output features] [--keep label]

What stands after ``--from`` is a table, or a query in parentheses, whose columns are called as the spec's inputs are.
NULL is missing. Rows keep the order of the query.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from operators.linchpin.columns import NO_TIME, Column, Kind, Sets, Shape, fitted, length
from operators.linchpin.program import Program
from streams.settings import Settings
from streams.slate_spec import read_graph
from streams.stores.clickhouse import open_event_store
from streams.stores.clickhouse_sql import identifier
from streams.stores.protocols import EventStore

#: What a column is asked for as. Whole numbers are never NULL on their way, as NULL would make them floats.
_ASKED = {
    Kind.FLOAT: "toFloat32(ifNull({0}, nan))",
    Kind.ID: "toInt64(ifNull({0}, 0))",
    Kind.TIME: f"toInt64(ifNull({{0}}, toInt64({NO_TIME})))",
    Kind.TEXT: "toString(ifNull({0}, '')) AS {0}, isNull({0})",
    Kind.SET: "arrayMap(x -> toInt64(x), {0})",
    Kind.VECTOR: "arrayMap(x -> toFloat32(ifNull(x, nan)), {0})",
}
#: The second column of a text: whether it is NULL.
_NULL = "{0}__is_null"


async def spec_rows(
    events: EventStore, program: Program, source: str, keep: Sequence[str] = ()
) -> tuple[dict[str, Column], dict[str, np.ndarray]]:
    """The outputs of a program for every row of a table or query, and columns ``keep`` as they are.

    Raises:
        ClickHouseError: a column is not there, or is of another kind.
    """
    inputs = program.graph.inputs
    found = await events.query(f"SELECT {', '.join([*_asked(inputs), *map(identifier, keep)])} FROM {source}")
    columns = {name: _column(found, name, shape) for name, shape in inputs.items()}
    return program.run(columns), {name: found[name] for name in keep if name in found}


def _asked(inputs: Mapping[str, Shape]) -> list[str]:
    asked: list[str] = []
    for name, shape in inputs.items():
        column = identifier(name)
        alias = _NULL.format(name) if shape.kind is Kind.TEXT else name
        asked.append(f"{_ASKED[shape.kind].format(column)} AS {identifier(alias)}")
    return asked


def _column(found: Mapping[str, np.ndarray], name: str, shape: Shape) -> Column:
    if not found:
        return Sets.of([]) if shape.kind is Kind.SET else np.empty((0, shape.width) if shape.kind is Kind.VECTOR else 0)
    values: Any = found[name]
    match shape.kind:
        case Kind.SET:
            return Sets.of([each.tolist() for each in values])
        case Kind.TEXT:
            texts = [each.decode() if isinstance(each, bytes) else each for each in values.tolist()]
            gone = found[_NULL.format(name)].tolist()
            return np.array([None if null else text for text, null in zip(texts, gone, strict=True)], object)
        case Kind.VECTOR:
            unknown = np.full(shape.width, np.nan, np.float32)
            return fitted(name, np.stack([each if len(each) else unknown for each in values]), shape, len(values))
        case _:
            return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--from", dest="source", required=True, help="a table, or a query in parentheses")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--output", action="append", help="an output of the spec; all when left out")
    parser.add_argument("--keep", action="append", default=[], help="a further column of the query, such as a label")
    parser.add_argument("--transforms", default="", help="modules with transforms of one's own, comma-separated")
    given = parser.parse_args()
    program = Program(read_graph(given.spec, transforms=given.transforms), given.output)

    async def read() -> tuple[dict[str, Column], dict[str, np.ndarray]]:
        events = open_event_store(Settings.load())
        try:
            return await spec_rows(events, program, given.source, given.keep)
        finally:
            await events.close()

    outputs, kept = asyncio.run(read())
    arrays = {name: column for name, column in outputs.items() if not isinstance(column, Sets)}
    names = {f"names_{name}": np.array(program.graph.labels(name)) for name in arrays}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(given.out, **arrays, **names, **kept)
    print(f"{length(next(iter(outputs.values()))):,} rows of {', '.join(arrays)} → {given.out}")


if __name__ == "__main__":
    main()

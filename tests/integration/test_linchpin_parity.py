"""Training and serving compute the same bits: 100,000 rows through ClickHouse in one batch, and slate by slate.

Training reads every row back from ClickHouse and runs them together. Serving has the columns as the engine holds
them, and runs one slate after another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from operators.linchpin.columns import NO_TIME, Column, Sets, part
from operators.linchpin.program import Program
from operators.slate.candidates import SOURCES
from operators.slate.features import Signals, inputs
from operators.slate.utility import ACTIONS
from streams.slate_spec import FEATURES, UTILITY, shipped
from streams.stores.clickhouse import open_event_store
from streams.stores.protocols import EventStore
from tests.operators.linchpin.specs import everything
from tests.operators.linchpin.specs import rows as rows_of_everything
from tests.streams.test_slate_spec import random_signals
from training.spec_rows import spec_rows

pytestmark = pytest.mark.real
ROWS = 100_000


@pytest.fixture
async def store(clickhouse) -> AsyncIterator[EventStore]:
    opened = open_event_store(clickhouse)
    yield opened
    await opened.close()


def slates(n: int) -> Iterator[slice]:
    """Of one candidate up to 1,600."""
    chance, start = np.random.default_rng(5), 0
    while start < n:
        stop = min(n, start + int(chance.integers(1, 1600)))
        yield slice(start, stop)
        start = stop


def mismatches(trained: np.ndarray, served: list[np.ndarray]) -> int:
    """Numbers whose bits differ."""
    joined = np.concatenate(served)
    assert trained.shape == joined.shape and trained.dtype == joined.dtype
    return int(np.count_nonzero(trained.view(f"i{trained.itemsize}") != joined.view(f"i{joined.itemsize}")))


async def written(store: EventStore, table: str, columns: dict[str, Column], types: dict[str, str]) -> str:
    declared = ", ".join(f"{name} {types[name]}" for name in columns)
    await store.command(f"DROP TABLE IF EXISTS {table}")
    await store.command(f"CREATE TABLE {table} (row UInt32, {declared}) ENGINE = MergeTree ORDER BY row")
    n = len(next(iter(columns.values())))
    for start in range(0, n, 20_000):
        rows = slice(start, min(n, start + 20_000))
        some = {name: _lists(part(each, rows)) for name, each in columns.items()}
        await store.insert(table, {"row": np.arange(rows.start, rows.stop, dtype=np.uint32), **some})
    return f"(SELECT * FROM {table} ORDER BY row)"


def _lists(column: Column | pa.Array):
    if not isinstance(column, Sets):
        return column
    return [column.ids[a:b].tolist() for a, b in zip(column.starts, column.starts[1:], strict=False)]


async def test_the_features_and_the_utility_of_slates_are_the_same_in_training_and_in_serving(store):
    chance = np.random.default_rng(3)
    signals = random_signals(ROWS, chance)
    probabilities = chance.random((ROWS, len(ACTIONS))).astype(np.float32)
    columns = inputs(signals) | dict(zip(ACTIONS, probabilities.T, strict=True))
    types = dict.fromkeys(columns, "Nullable(Float32)") | {"now": "Int64"}
    nulls = {name: _nulls(each) if name != "now" else each for name, each in columns.items()}
    source = await written(store, "linchpin_slates", nulls, types)

    trained, kept = await spec_rows(store, Program(shipped().graph), source, keep=["row"])
    assert np.array_equal(kept["row"], np.arange(ROWS))
    served: dict[str, list[np.ndarray]] = {FEATURES: [], UTILITY: []}
    for rows in slates(ROWS):
        some = Signals(**{each.name: getattr(signals, each.name)[rows] for each in fields(Signals)})
        served[FEATURES].append(shipped().features(some))
        served[UTILITY].append(shipped().utility(some, probabilities[rows]))
    found = {name: mismatches(np.asarray(trained[name]), served[name]) for name in served}
    print(f"{ROWS:,} rows, {trained[FEATURES].size:,} features of {len(SOURCES)} sources: mismatches {found}")
    assert found == {FEATURES: 0, UTILITY: 0}


async def test_every_kind_of_column_and_model_is_the_same_in_training_and_in_serving(store):
    columns = rows_of_everything(ROWS, seed=9)
    program = Program(everything())
    types = dict.fromkeys(("saves", "shown"), "Nullable(Float32)") | dict.fromkeys(("owner", "domain"), "Int64")
    types |= dict.fromkeys(("created", "now"), "Int64") | {"country": "Nullable(String)"}
    types |= dict.fromkeys(("topics", "wishes"), "Array(Int64)") | dict.fromkeys(("pin", "taste"), "Array(Float32)")
    stored = columns | {name: _nulls(columns[name]) for name in ("saves", "shown")}
    source = await written(store, "linchpin_everything", stored, types)
    missing = {name: float(np.isnan(columns[name]).mean()) for name in ("saves", "pin")}
    assert min(missing.values()) > 0.15 and (columns["created"] == NO_TIME).any()

    trained, _ = await spec_rows(store, program, source)
    served = [program.run({name: part(each, rows) for name, each in columns.items()}) for rows in slates(ROWS)]
    found = {name: mismatches(trained[name], [each[name] for each in served]) for name in trained}
    print(f"{ROWS:,} rows: mismatches {found}; missing {missing}")
    assert found == dict.fromkeys(program.graph.outputs, 0)


def _nulls(column: np.ndarray) -> pa.Array:
    """NULL where missing, as people write it, in place of NaN."""
    return pa.array(column, from_pandas=True)

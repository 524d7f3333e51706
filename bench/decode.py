"""How fast one core turns undecoded records into columns: ``python -m bench.decode [--json]``.

Candidates side by side on the same saves, in turns, the best of several rounds each. Only the scanner and the msgspec
path check limits, map ids, and set a bad record aside; the others are what they are at their fastest.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import time
from collections.abc import Callable
from functools import partial

os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json

from operators.batch import Records, Source
from operators.decode import decode_engagement, decode_exactly
from operators.duplicates import RecentIds

try:
    import polars as pl
except ImportError:  # not part of the engine: pip install polars
    pl = None

EVENTS, ROUNDS = 50_000, 7
LOGGED = 1_770_000_000_000
COLUMNS = ("event_id", "pinner", "pin", "board", "time", "slate", "position")


def batch(rewrite: Callable[[int, dict[str, object]], object]) -> Records:
    """Saves of 127 bytes before they are rewritten, one way or another, by ``rewrite(i, event)``."""
    chance = random.Random(0)
    values: list[bytes | None] = []
    for i in range(EVENTS):
        event: dict[str, object] = {"event_id": 10**6 + i, "pinner": chance.randrange(10**4, 10**5)}
        event |= {"pin": chance.randrange(10**5, 10**6), "board": chance.randrange(10**3, 10**4), "time": LOGGED - i}
        event |= {"slate": chance.randrange(10**4, 10**5), "position": i % 50, "surface": "home"}
        written = rewrite(i, event)
        values.append(written if isinstance(written, bytes) else orjson.dumps(written))
    return Records.of(Source("saves", 0, 0, EVENTS - 1), np.arange(EVENTS), np.full(EVENTS, LOGGED), values)


def shuffled(i: int, event: dict[str, object]) -> object:
    items = [*event.items()]
    random.Random(i).shuffle(items)
    return dict(items)


CASES: dict[str, Callable[[int, dict[str, object]], object]] = {
    "clean": lambda _, event: event,
    "fields in any order": shuffled,
    "an unknown field": lambda _, event: {**event, "mood": "calm"},
    "1 % for the slow path": lambda i, event: {**event, "mood": {}} if i % 100 == 0 else event,
    "1 % broken": lambda i, event: orjson.dumps(event)[:-3] if i % 100 == 0 else event,
    "event_id a UUID": lambda i, event: {**event, "event_id": f"3f0e8a52-8f0c-4d5e-9f57-{i:012x}"},
    "no event_id": lambda _, event: {name: event[name] for name in event if name != "event_id"},
    "all for the slow path": lambda _, event: {**event, "mood": {}},
}


def by_orjson(records: Records) -> object:
    events = [orjson.loads(value) for value in records.values if value is not None]
    return {name: np.array([event.get(name, 0) for event in events], np.int64) for name in COLUMNS}


def by_arrow(records: Records) -> object:
    lines = io.BytesIO(b"\n".join(value for value in records.values if value is not None))
    schema = pa.schema([(name, pa.int64()) for name in COLUMNS] + [("surface", pa.string())])
    how = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    return pyarrow.json.read_json(lines, pyarrow.json.ReadOptions(use_threads=False, block_size=1 << 24), how)


def by_polars(records: Records) -> object:
    lines = b"\n".join(value for value in records.values if value is not None)
    return pl.read_ndjson(lines, schema=dict.fromkeys(COLUMNS, pl.Int64) | {"surface": pl.String})


CANDIDATES: dict[str, Callable[[Records], object]] = {
    "scanner (the engine's)": decode_engagement,
    "msgspec (the exact path)": decode_exactly,
    "orjson, a loop": by_orjson,
    "pyarrow.json": by_arrow,
} | ({"polars": by_polars} if pl else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    as_json = parser.parse_args().json
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    load = os.getloadavg()[0]
    rates = {name: compare(batch(rewrite)) for name, rewrite in CASES.items()}
    duplicates = _duplicates()
    if as_json:
        print(json.dumps({"load": load, "events_per_s": rates, "duplicates_per_s": duplicates}))
        return
    print(f"{EVENTS:,} saves, one core, best of {ROUNDS}, CPU time; thousands of events/s; load at start {load:.1f}")
    print(f"{'':<24}" + "".join(f"{name:>25}" for name in CANDIDATES))
    for case, row in rates.items():
        print(f"{case:<24}" + "".join(f"{f'{rate / 1000:,.0f}' if rate else 'fails':>25}" for rate in row.values()))
    print(f"duplicates: look up and remember {duplicates:,.0f} ids/s")


def compare(records: Records) -> dict[str, int | None]:
    """Events/s of each candidate; None for one that cannot read the batch."""
    best: dict[str, float | None] = dict.fromkeys(CANDIDATES, float("inf"))
    for _ in range(ROUNDS):
        for name, candidate in CANDIDATES.items():
            if (before := best[name]) is not None:
                seconds = _seconds(partial(candidate, records))
                best[name] = None if seconds is None else min(before, seconds)
    return {name: None if seconds is None else round(EVENTS / seconds) for name, seconds in best.items()}


def _seconds(call: Callable[[], object]) -> float | None:
    # CPU time, since others may be using the core.
    began = time.process_time()
    try:
        call()
    except Exception:
        return None
    return time.process_time() - began


def _duplicates() -> int:
    recent, chance = RecentIds(), np.random.default_rng(0)
    recent.load(np.arange(1, 2))  # compiled before it is timed
    recent.admit(np.arange(1, 2))
    ids = chance.integers(1, 2**62, EVENTS * ROUNDS)
    began = time.process_time()
    for part in np.split(ids, ROUNDS):
        recent.admit(part)
    return round(len(ids) / (time.process_time() - began))


if __name__ == "__main__":
    main()

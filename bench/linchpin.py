"""What a spec costs for each row: ``python -m bench.linchpin``. A table, and a line of JSON.

Features of slates by the shipped spec, beside the same written by hand; a product of matrices in a fixed order, beside
BLAS; and a spec with every kind of column, in batches of several sizes. Ratios mean more than times where others work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from operators.linchpin.columns import part
from operators.linchpin.graph import graph_of
from operators.linchpin.kernels import dense
from operators.linchpin.program import Program
from operators.slate.features import Signals
from streams.slate_spec import SHIPPED, shipped
from tests.operators.linchpin.specs import everything, rows
from tests.streams.former_features import former_features
from tests.streams.test_slate_spec import random_signals

#: Rows of a slate.
ROWS = 1000


def quickest(work: Callable[[], object], calls: int) -> float:
    """Seconds of the quickest of several calls: what else the machine does only ever adds."""
    best = float("inf")
    for _ in range(calls):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    calls = parser.parse_args().calls
    signals: Signals = random_signals(ROWS, np.random.default_rng(0))
    chance = np.random.default_rng(1)
    x, weight = (chance.normal(size=shape).astype(np.float32) for shape in ((ROWS, 24), (24, 64)))
    probabilities = chance.random((ROWS, 4)).astype(np.float32)
    worth = np.array([1.0, 0.3, 0.5, -3.0], np.float32)
    program, columns, text = Program(everything()), rows(ROWS), SHIPPED.read_text()
    one = {name: part(column, slice(0, 1)) for name, column in columns.items()}
    seconds = {
        "features by hand": quickest(lambda: former_features(signals), calls),
        "features by the spec": quickest(lambda: shipped().features(signals), calls),
        "utility by BLAS": quickest(lambda: probabilities @ worth, calls),
        "utility by the spec": quickest(lambda: shipped().utility(signals, probabilities), calls),
        "24 x 64 layer by BLAS": quickest(lambda: x @ weight, calls),
        "24 x 64 layer in a fixed order": quickest(lambda: dense(x, weight, np.zeros(64, np.float32)), calls),
        "every kind of column and model": quickest(lambda: program.run(columns), calls),
    }
    figures: dict[str, Any] = {name: round(each / ROWS * 1e9, 1) for name, each in seconds.items()}
    for name, value in figures.items():
        print(f"{name:32} {value:10.1f} ns a row")
    for name, of in (("features", "features by hand"), ("utility", "utility by BLAS")):
        figures[f"{name} ratio"] = round(seconds[f"{name} by the spec"] / seconds[of], 3)
        print(f"{name}: {figures[f'{name} ratio']} times as long as before")
    figures["layer ratio"] = round(seconds["24 x 64 layer in a fixed order"] / seconds["24 x 64 layer by BLAS"], 2)
    figures["one row, microseconds"] = round(quickest(lambda: program.run(one), calls) * 1e6, 1)
    figures["reading the shipped spec, ms"] = round(quickest(lambda: graph_of(text), 20) * 1e3, 2)
    print(f"layer: {figures['layer ratio']} times; every kind, one row alone: {figures['one row, microseconds']} µs; ")
    print(f"reading the shipped spec: {figures['reading the shipped spec, ms']} ms")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

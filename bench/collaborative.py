"""The streamed model of saves: what a save, a step and an answer cost, small and ten times as large, beside batch EASE.

    .venv/bin/python -m bench collaborative [--saves 100000 1000000] [--json]

**The saves are simulated**: pins and pinners drawn by Zipf's law (exponents 0.8 and 0.7), a hundred saves a pin. Times
are of the processor, which others may share.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from bench.pixie import zipf
from bench.quality.batch_recommenders import ease
from operators.collaborative.model import Bounds, SavesModel
from operators.collaborative.taste import Learning
from streams.state import DIRECTIONS, WIDTH

BATCH, STEPS, ANSWERS, LIST = 500, 30, 50, 20
#: Beyond so many pins EASE's matrix is not made.
MOST_OF_EASE = 5_000


def measured(saves: int, width: int, directions: int, seed: int = 1) -> dict[str, float]:
    """Figures of one size."""
    random = np.random.default_rng(seed)
    pins = zipf(random, saves, saves // 100, 0.8)
    pinners = zipf(random, saves, saves // 20, 0.7)
    model = SavesModel(bounds=Bounds(learnt_pins=10**9), learning=Learning(width=width), directions=directions)
    model.add(pinners[:BATCH], pins[:BATCH])
    model.learn(model.draw())  # compiles
    began = time.process_time()
    for begin in range(BATCH, saves, BATCH):
        model.add(pinners[begin : begin + BATCH], pins[begin : begin + BATCH])
    found: dict[str, float] = {"pins": len(model.graph.pins), "edges": len(model.graph)}
    found["saves/s"] = (saves - BATCH) / (time.process_time() - began)
    model.learn(model.draw())
    began = time.process_time()
    for _ in range(STEPS):
        model.learn(model.draw())
    found["ms a step of 128 lists"] = 1e3 * (time.process_time() - began) / STEPS
    began = time.process_time()
    model.spectrum.turn()
    found["ms to end a pass"] = 1e3 * (time.process_time() - began)
    lists = [random.choice(pins, LIST) for _ in range(ANSWERS)]
    spent: list[float] = []
    for each in lists:
        began = time.process_time()
        model.recommend(each, 500)
        spent.append(1e3 * (time.process_time() - began))
    found["ms an answer, p50"], found["ms an answer, p99"] = np.percentile(spent, [50, 99])
    found["bytes a pin, learnt"] = model.nbytes / len(model.graph.pins)
    found["bytes an edge, graph"] = model.graph.nbytes / len(model.graph)
    if len(model.graph.pins) <= MOST_OF_EASE:
        ones = np.ones(saves, np.float32)
        known = csr_matrix((ones, (pinners, pins)))
        known.data[:] = 1
        began = time.process_time()
        ease(known)
        found["s to fit EASE anew"] = time.process_time() - began
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench collaborative", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--saves", type=int, nargs="+", default=[100_000, 1_000_000], help="saves of each run")
    parser.add_argument("--width", type=int, default=WIDTH, help="numbers of a taste")
    parser.add_argument("--directions", type=int, default=DIRECTIONS, help="directions of the spectrum")
    parser.add_argument("--json", action="store_true", help="only one JSON object")
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for saves in options.saves:
        print(f"{saves:,} saves", file=sys.stderr, flush=True)
        runs.append(measured(saves, options.width, options.directions))
    if not options.json:
        for name in dict.fromkeys(name for run in runs for name in run):
            print(f"{name:<28}" + "".join(f"{run.get(name, float('nan')):>16,.1f}" for run in runs))
    print(json.dumps({"runs": runs}))


if __name__ == "__main__":
    main()

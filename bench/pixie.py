"""Pixie on one core: walks over live graphs of 1 and of 10 million edges, in time, memory and overlap.

    .venv/bin/python -m bench pixie [--edges 1000000 10000000] [--walks 300] [--steps 100000] [--json]

**The graphs are simulated**: pins and boards drawn by Zipf's law (exponents 0.8 and 0.7), ten edges a pin and fifty a
board before doubles are left out. Queries are pins of random edges, so popular ones are asked more often. Times
are by the clock and of the processor (which others may share), everything included: steps allotted, walked,
boosted, the best 1,000 chosen. Prints a table, then JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from operators.graph.live import LiveGraph
from operators.graph.pixie import Scratch, Walking

TOP, QUERY = 1_000, 8
EARLY = Walking(many=2_000, visits=4)
BATCH, SECONDS = 10_000, 2.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def zipf(random: np.random.Generator, n: int, items: int, exponent: float) -> np.ndarray:
    """``(n,)`` of 1 … ``items``."""
    ends = np.cumsum(np.arange(1, items + 1, dtype=np.float64) ** -exponent)
    return 1 + np.searchsorted(ends / ends[-1], random.random(n))


def made(edges: int, seed: int) -> tuple[LiveGraph, np.ndarray, dict[str, float]]:
    """A graph, the pins of its edges, and what it took to make it."""
    random = np.random.default_rng(seed)
    pins, boards = zipf(random, edges, edges // 10, 0.8), zipf(random, edges, edges // 50, 0.7)
    graph, spent = LiveGraph(most_saved=10**9), 0.0
    for start in range(0, edges, BATCH):
        part = slice(start, start + BATCH)
        began = time.perf_counter()
        graph.add(pins[part], boards[part])
        spent += time.perf_counter() - began
    before = graph.nbytes / len(graph)
    began = time.perf_counter()
    graph.compact()
    found = {
        "edges": len(graph),
        "saves/s, into an empty graph": edges / spent,
        "bytes/edge, live": before,
        "compaction, s": time.perf_counter() - began,
        "bytes/edge, compacted": graph.nbytes / len(graph),
        "largest degree of a pin": graph.largest,
    }
    fresh = (zipf(random, 10 * BATCH, edges // 10, 0.8), zipf(random, 10 * BATCH, edges // 50, 0.7))
    began = time.perf_counter()
    for start in range(0, 10 * BATCH, 100):
        graph.add(fresh[0][start : start + 100], fresh[1][start : start + 100])
    found["saves/s, 100 at a time into a compacted graph"] = 10 * BATCH / (time.perf_counter() - began)
    sides = graph.compaction()
    for side in sides:
        side.run()
    began = time.perf_counter()
    for side in sides:
        side.swap()
    found["swap, ms"] = 1e3 * (time.perf_counter() - began)
    return graph, pins, found


def timed(graph: LiveGraph, queries: list[np.ndarray], how: Walking) -> dict[str, float]:
    times, spent, steps = np.zeros((3, len(queries)))
    for row, query in enumerate([*queries[:10], *queries]):  # the first ten warm it up
        began, own = time.perf_counter(), time.thread_time()
        walked = graph.walk(query, np.ones(len(query)), TOP, row, how)
        times[row - 10], spent[row - 10] = time.perf_counter() - began, time.thread_time() - own
        steps[row - 10] = walked.steps.sum()
    p50, p99 = np.percentile(times * 1e3, [50, 99])
    cpu50, cpu99 = np.percentile(spent * 1e3, [50, 99])
    return {"p50, ms": p50, "p99, ms": p99, "p50, CPU ms": cpu50, "p99, CPU ms": cpu99, "steps": steps.mean()}


def overlap(graph: LiveGraph, queries: list[np.ndarray], whole: Walking) -> dict[str, float]:
    """How much of the whole walk's top an early one has, of the same seed and of another; and two whole ones."""
    shares: dict[str, list[float]] = {"early, same seed": [], "early, other seed": [], "whole, other seed": []}
    for row, query in enumerate(queries):
        best = set(graph.walk(query, np.ones(len(query)), 100, row, whole).pins.tolist())
        for name, how, seed in (
            ("early, same seed", EARLY, row),
            ("early, other seed", EARLY, -1 - row),
            ("whole, other seed", whole, -1 - row),
        ):
            again = graph.walk(query, np.ones(len(query)), 100, seed, how).pins.tolist()
            shares[name].append(len(best.intersection(again)) / max(1, len(best)))
    return {name: float(np.mean(each)) for name, each in shares.items()}


def requests(graph: LiveGraph, queries: list[np.ndarray], how: Walking, threads: int) -> float:
    """Answers a second; walks hold no lock."""

    def work(number: int) -> int:
        scratch, done, end = Scratch(), 0, time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            query = queries[(done + number * 7) % len(queries)]
            graph.walk(query, np.ones(len(query)), TOP, done, how, scratch)
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / SECONDS


def measure(edges: int, walks: int, steps: int, seed: int) -> dict[str, Any]:
    graph, pins, found = made(edges, seed)
    say(f"{len(graph):,} edges")
    random = np.random.default_rng(seed + 1)
    one = [random.choice(pins, 1) for _ in range(walks)]
    several = [np.unique(random.choice(pins, QUERY)) for _ in range(walks)]
    whole = Walking(steps=steps)
    table: dict[str, Any] = dict(found)
    for name, queries, how in (
        ("one pin", one, whole),
        (f"{QUERY} pins", several, whole),
        ("one pin, early stop", one, EARLY),
        ("one pin, 20,000 steps", one, Walking(steps=20_000)),
    ):
        table |= {f"{name}, {what}": value for what, value in timed(graph, queries, how).items()}
        say(f"{name} measured")
    table |= {f"top 100 in common, {name}": share for name, share in overlap(graph, one[:50], whole).items()}
    for threads in (1, 2):
        table[f"requests/s, {threads} thread(s)"] = requests(graph, one, whole, threads)
        table[f"requests/s, early stop, {threads} thread(s)"] = requests(graph, one, EARLY, threads)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--walks", type=int, default=300)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="the JSON object alone")
    given = parser.parse_args()
    measure(20_000, 20, 1_000, 0)  # compiles
    found = {edges: measure(edges, given.walks, given.steps, given.seed) for edges in given.edges}
    first, last = found[given.edges[0]], found[given.edges[-1]]
    ratios = {
        f"{name}, {what}": last[f"{name}, {what}"] / first[f"{name}, {what}"]
        for name in ("one pin", f"{QUERY} pins")
        for what in ("p50, ms", "p50, CPU ms")
    }
    load = os.getloadavg()[0]
    if not given.json:
        print(f"{'simulated graphs, load ' + format(load, '.1f'):<50}" + "".join(f"{edges:>14,}" for edges in found))
        for name in first:
            print(f"{name:<50}" + "".join(f"{each[name]:>14,.2f}" for each in found.values()))
        for name, ratio in ratios.items():
            print(f"{name}: of the largest graph / of the smallest {ratio:.2f}")
    print(json.dumps({"simulated": True, "cores": os.cpu_count(), "load": load, "graphs": found, "ratios": ratios}))


if __name__ == "__main__":
    main()

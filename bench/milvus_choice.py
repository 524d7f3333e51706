"""Milvus standalone (the wheel's server) against Milvus Lite on this engine's job: pins of 1,280 floats.

    .venv/bin/python -m bench.milvus_choice [--rows 10000]

Each runs in a process of its own and a home of its own. Prints a table, then one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from infra import supervisor
from streams.settings import Settings
from streams.stores import milvus
from streams.stores.milvus import MilvusVectors

DIMENSION = 1280
BATCH = 250
SEARCHES = 150
NEIGHBOURS = 100
VISIBLE_TRIALS = 5
LEVELS = ("Eventually", "Bounded", "Session", "Strong")
VISIBLE_LIMIT_SECONDS = 10.0
#: A slow answer is measured here, not given up.
PATIENCE_SECONDS = 60.0


def unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


async def visible_after(store: MilvusVectors, rng: np.random.Generator, level: str, first_id: int) -> list[float]:
    """Milliseconds from an acknowledged upsert until a search at this consistency level finds it."""
    milvus.HOT_PATH = level
    times: list[float] = []
    for trial in range(VISIBLE_TRIALS):
        vector = unit(rng, 1)
        await store.upsert("pins", np.array([first_id + trial]), vector, {"version": [1]})
        acknowledged = time.perf_counter()
        while time.perf_counter() - acknowledged < VISIBLE_LIMIT_SECONDS:
            if (await store.search("pins", vector, 1)).ids[0, 0] == first_id + trial:
                break
        times.append((time.perf_counter() - acknowledged) * 1000)
    return times


async def measure(settings: Settings, rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    milvus.SECONDS_READ = PATIENCE_SECONDS
    store = MilvusVectors(settings)
    await store.prepare(DIMENSION)
    started = time.perf_counter()
    for first in range(1, rows + 1, BATCH):
        ids = np.arange(first, first + BATCH)
        await store.upsert("pins", ids, unit(rng, BATCH), {"version": ids})
    seconds = time.perf_counter() - started
    print(f"{settings.milvus}: {rows} rows in {seconds:.1f} s", flush=True)
    visible = {
        level: round(float(np.median(await visible_after(store, rng, level, rows + 1000 * (1 + step)))), 1)
        for step, level in enumerate(LEVELS)
    }
    milvus.HOT_PATH = "Eventually"
    times: list[float] = []
    for query in unit(rng, SEARCHES):
        begun = time.perf_counter()
        await store.search("pins", query[None], NEIGHBOURS)
        times.append((time.perf_counter() - begun) * 1000)
    one = unit(rng, 1)
    begun = time.perf_counter()
    await store.search("pins", np.repeat(one, 32, axis=0), NEIGHBOURS)
    batch_ms = (time.perf_counter() - begun) * 1000
    await store.close()
    return {
        "upserts_per_s": round(rows / seconds),
        "visible_ms": visible,
        "search_p50_ms": round(float(np.percentile(times, 50)), 1),
        "search_p99_ms": round(float(np.percentile(times, 99)), 1),
        "search_32_ms": round(batch_ms, 1),
    }


def run(settings: Settings, rows: int, answers: multiprocessing.SimpleQueue[dict[str, Any]]) -> None:
    before = psutil.Process().memory_info().rss
    result = asyncio.run(measure(settings, rows))
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    result["client_rss_growth_mb"] = round((sum(p.memory_info().rss for p in family) - before) / 2**20)
    print(json.dumps(result), flush=True)
    answers.put(result)


def in_a_process(settings: Settings, rows: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.SimpleQueue[dict[str, Any]] = context.SimpleQueue()
    process = context.Process(target=run, args=(settings, rows, answers))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"the measurement ended with status {process.exitcode}")
    return answers.get()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=10_000)
    rows: int = parser.parse_args().rows
    installed = Settings.load()
    supervisor.install(installed, ["milvus"])
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        (home / "milvus").symlink_to(installed.home / "milvus")
        server = replace(installed, home=home, milvus="embedded", port_base=installed.port_base + 200)
        supervisor.up(server, names=["milvus"])
        try:
            results["standalone"] = in_a_process(server, rows)
            (status,) = supervisor.status(server, ["milvus"])
            results["standalone"]["server_rss_mb"] = (status.resident_bytes or 0) // 2**20
        finally:
            supervisor.down(server, names=["milvus"])
        results["lite"] = in_a_process(replace(server, milvus="lite"), rows)
    names = [name for name in results["standalone"] if name in results["lite"]]
    print(f"{rows} vectors of {DIMENSION} floats, {NEIGHBOURS} neighbours")
    print(f"{'':24}{'standalone':>60}{'lite':>60}")
    for name in names:
        print(f"{name:24}{results['standalone'][name]!s:>60}{results['lite'][name]!s:>60}")
    print(f"{'server_rss_mb':24}{results['standalone']['server_rss_mb']:>60}{'(none)':>60}")
    print(json.dumps({"rows": rows, "dimension": DIMENSION, **results}))


if __name__ == "__main__":
    main()

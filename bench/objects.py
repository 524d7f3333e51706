"""A million objects in Milvus: floats under HNSW against bits that are ordered again, in memory, time and recall.

    .venv/bin/python -m bench objects [--rows 1000000] [--queries 300] [--vectors FILE.npz] [--json]

Objects and windows of the sample's photos, as the engine sees them, are the real vectors (kept in
``.pinstream/bench``; ``--vectors`` takes other ones, an array ``objects``). **The rows are made from them by small
perturbation**: each is a real vector moved at most half-way to one of its twenty nearest, with a tenth of noise. A
twentieth of the real vectors is held out, and those are the questions. Each form has a fresh server. Recall@10 is
against brute force over the floats. Prints a table, then one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from pymilvus import MilvusClient

from infra import supervisor
from infra.process import remembered
from operators.accepted import AcceptedPin
from operators.vision.bits import binarise, hamming, nearest
from streams.images.decode import decode_now
from streams.settings import PROJECT, Settings
from streams.stores import milvus
from streams.stores.milvus import MilvusVectors
from streams.stores.milvus_bits import MilvusBits
from streams.stores.triton import TritonModels
from streams.understanding import understand

PHOTOS = PROJECT / "examples" / "sample" / "photos"
AT, NEAR, NOISE, HELD_OUT = 10, 20, 0.1, 20
BATCH, BLOCK = 2_000, 100_000
#: A slow answer is measured here, not given up.
PATIENCE_SECONDS = 60.0
INDEX_SECONDS = 3_600.0
SETTLED_SECONDS = 15.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def looked_at(settings: Settings) -> dict[str, np.ndarray]:
    """Vectors of the objects and windows of the sample's photos and of the photos, and the encoder's means."""
    models = TritonModels(settings)
    found: list[np.ndarray] = []
    files = sorted(PHOTOS.glob("*.jpg"))
    for start in range(0, len(files), 32):
        pictures = [decode_now(file.read_bytes()) for file in files[start : start + 32]]
        pins = [AcceptedPin(pin=start + row + 1, version=1) for row in range(len(pictures))]
        for one in await understand(models, pins, pictures, settings.object_windows):
            found += [seen.vector for seen in (*one.objects, *one.windows)]
            found += [] if one.vector is None else [one.vector]
        say(f"{start + len(pictures)} of {len(files)} photos looked at, {len(found)} vectors")
    means = await models.means()
    await models.close()
    return {"objects": np.stack(found), "means": means}


def real_vectors(settings: Settings, cache: Path) -> dict[str, np.ndarray]:
    if not cache.exists():
        supervisor.up(settings, say, names=["triton"])
        try:
            found = asyncio.run(looked_at(settings))
        finally:
            supervisor.down(settings, say, names=["triton"])
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, **found)
    with np.load(cache) as stored:
        return {name: stored[name] for name in stored.files}


def perturbed(real: np.ndarray, rows: int, rng: np.random.Generator) -> np.ndarray:
    """``(rows, d)`` L2-normalised: real vectors, each moved towards a near one, and a little noise."""
    near = np.argsort(-(real @ real.T), axis=1)[:, 1 : NEAR + 1]
    made = np.empty((rows, real.shape[1]), np.float32)
    for start in range(0, rows, BLOCK):
        some = np.arange(start, min(start + BLOCK, rows)) % len(real)
        other = near[some, rng.integers(near.shape[1], size=len(some))]
        part = rng.uniform(0, 0.5, (len(some), 1)).astype(np.float32)
        noise = rng.standard_normal((len(some), real.shape[1]), np.float32) * (NOISE / real.shape[1] ** 0.5)
        moved = real[some] * (1 - part) + real[other] * part + noise
        made[start : start + len(some)] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return made


def exact(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """``(q, AT)`` rows of the largest inner products, by brute force."""
    best = np.full((len(queries), AT), -np.inf, np.float32)
    rows = np.zeros((len(queries), AT), np.int64)
    for start in range(0, len(vectors), BLOCK):
        scores = queries @ vectors[start : start + BLOCK].T
        place = np.argpartition(-scores, AT - 1, axis=1)[:, :AT]
        both = np.concatenate([best, np.take_along_axis(scores, place, 1)], 1)
        those = np.concatenate([rows, place + start], 1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :AT]
        best, rows = np.take_along_axis(both, order, 1), np.take_along_axis(those, order, 1)
    return rows


def by_bits(vectors: np.ndarray, queries: np.ndarray, means: np.ndarray) -> np.ndarray:
    """``(q, AT)`` rows that are nearest by their bits alone, by brute force."""
    packed = binarise(vectors, means)
    return np.concatenate([nearest(hamming(binarise(one[None], means), packed), AT) for one in queries])


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / AT for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def resident(settings: Settings) -> dict[str, int]:
    """Megabytes of the server: all that is resident, and of that what is its own, not mapped from files."""
    process = remembered(settings, "milvus")
    assert process is not None
    own = psutil.Process(process.pid).memory_info()
    return {"rss_mb": own.rss >> 20, "anonymous_mb": (own.rss - own.shared) >> 20}


def indexed(settings: Settings, name: str) -> None:
    """Wait until every row is in a sealed, indexed segment and the server's memory has come to rest."""
    client: Any = MilvusClient(settings.milvus_uri, timeout=INDEX_SECONDS)
    client.flush(name, timeout=INDEX_SECONDS)
    deadline = time.monotonic() + INDEX_SECONDS
    while time.monotonic() < deadline:
        told = client.describe_index(name, "vector")
        say(f"  indexed {told.get('indexed_rows')} of {told.get('total_rows')}, {resident(settings)}")
        if not int(told.get("pending_index_rows") or 0) and told.get("indexed_rows") == told.get("total_rows"):
            break
        time.sleep(5)
    client.close()
    before = -1
    while time.monotonic() < deadline and abs((now := resident(settings)["rss_mb"]) - before) > 0.02 * now:
        before = now
        time.sleep(SETTLED_SECONDS)


async def measure(
    store: MilvusVectors, settings: Settings, vectors: np.ndarray, queries: np.ndarray, truth: np.ndarray
) -> dict[str, Any]:
    empty = resident(settings)
    await store.prepare(vectors.shape[1])
    began = time.perf_counter()
    for start in range(0, len(vectors), BATCH):
        some = vectors[start : start + BATCH]
        ids = np.arange(start + 1, start + 1 + len(some))
        edges = {
            name: np.full(len(some), 0.25, np.float32) for name in ("confidence", "left", "top", "right", "bottom")
        }
        fields = {"pin": ids // 8 + 1, "label": np.full(len(some), "chair"), "version": ids} | edges
        await store.upsert("objects", ids, some, fields)
        if start % (50 * BATCH) == 0:
            say(f"  {start + len(some):,} rows, {time.perf_counter() - began:.0f} s, {resident(settings)}")
    seconds = time.perf_counter() - began
    await asyncio.to_thread(indexed, settings, store.named("objects"))
    took = time.perf_counter() - began
    full = resident(settings)
    times: list[float] = []
    found = np.zeros((len(queries), AT), np.int64)
    for row, query in enumerate(np.concatenate([queries[:10], queries])):  # the first ten warm it up
        at = time.perf_counter()
        near = await store.search("objects", query[None], AT, fields=("pin",))
        times.append((time.perf_counter() - at) * 1000)
        found[row - 10] = near.ids[0] - 1
    await store.close()
    return {
        "upserts_per_s": round(len(vectors) / seconds),
        "indexed_after_s": round(took),
        "empty": empty,
        **full,
        "after_searches": resident(settings),
        "p50_ms": round(float(np.percentile(times[10:], 50)), 1),
        "p99_ms": round(float(np.percentile(times[10:], 99)), 1),
        "recall_at_10": round(recall(found, truth), 4),
    }


def on_a_server(installed: Settings, make: Callable[[Settings], MilvusVectors], *given: np.ndarray) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=installed.home) as scratch:
        home = Path(scratch)
        (home / "milvus").symlink_to((installed.home / "milvus").resolve())
        settings = replace(installed, home=home, milvus="embedded", port_base=installed.port_base + 200)
        supervisor.up(settings, say, names=["milvus"])
        try:
            return asyncio.run(measure(make(settings), settings, *given))
        finally:
            supervisor.down(settings, say, names=["milvus"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--vectors", type=Path, help="an npz with objects (n, d), L2-normalised, and means (d,)")
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    given = parser.parse_args()
    installed = Settings.load()
    milvus.SECONDS_READ = milvus.SECONDS_WRITE = PATIENCE_SECONDS
    real = real_vectors(installed, given.vectors or installed.home / "bench" / "objects.npz")
    rng = np.random.default_rng(7)
    order = rng.permutation(len(real["objects"]))
    asked = real["objects"][order[: max(1, len(order) // HELD_OUT)]]
    vectors = perturbed(real["objects"][order[len(asked) :]], given.rows, rng)
    queries = (
        asked[rng.integers(len(asked), size=given.queries)] if len(asked) < given.queries else asked[: given.queries]
    )
    truth, means = exact(vectors, queries), real["means"]

    async def told() -> np.ndarray:
        return means

    forms: dict[str, Callable[[Settings], MilvusVectors]] = {
        "binary": lambda settings: MilvusBits(settings, told),
        "float": MilvusVectors,
    }
    results: dict[str, Any] = {
        "rows": given.rows, "made": "real vectors, perturbed", "real": len(order), "queries": len(queries),
        "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "dimension": vectors.shape[1],
        "float_bytes": vectors.nbytes, "binary_bytes": vectors.nbytes // 32,
        "bits_alone_recall_at_10": round(recall(by_bits(vectors, queries, means), truth), 4),
    }  # fmt: skip
    for name, make in forms.items():
        say(f"{name}:")
        results[name] = on_a_server(installed, make, vectors, queries, truth)
        say(f"  {json.dumps(results[name])}")
    if not given.json:
        print(
            f"{given.rows:,} rows made from {len(order):,} real vectors by small perturbation; {os.cpu_count()} cores"
        )
        print(f"vectors' own bytes: floats {vectors.nbytes:,}, bits {vectors.nbytes // 32:,}")
        print(f"{'':20}{'float, HNSW':>34}{'binary, ordered again':>34}")
        for name in results["float"]:
            print(f"{name:20}{results['float'][name]!s:>34}{results['binary'][name]!s:>34}")
        print(f"{'bits alone':20}{'':>34}{results['bits_alone_recall_at_10']:>34}")
    print(json.dumps(results))


if __name__ == "__main__":
    main()

"""How fast slates are made from 1,000 candidates each: ``python -m bench.slates``. A table, and a line of JSON.

Without ``--triton`` the ranker is a fixed matrix product in the same process, so that the figures are those of the
engine's own stages on one core; with it, the ranker is the one that Triton serves (``pinstream up``).
Milvus has a benchmark of its own: here each pin's neighbours are drawn beforehand and only looked up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from operators.batch import Engagement, Source
from operators.events import Kind, PinEvent, PinnerEvent
from operators.slate.choices import Choices
from streams.circuit import Circuit
from streams.engine import Engine
from streams.metrics import Metrics
from streams.settings import Settings
from streams.slate_spec import shipped
from streams.slates import SlateRequest, build_slates
from streams.state import HotState
from streams.stores.protocols import Neighbours, Ranked
from streams.stores.triton import TritonModels
from streams.vector_cache import VectorCache
from training.exact_vectors import ExactVectors

NOW = 1_800_000_000_000
DAY = 86_400_000
PINS, PINNERS, BOARDS, SAVES, IMPRESSIONS, DIMENSION = 20_000, 500, 2_000, 60_000, 200_000, 256
CHOICES = Choices(source_seconds=10, vectors_seconds=10, rank_seconds=10)


class FixedRanker:
    """One matrix product in this process in place of Triton: not a model, only its shape."""

    def __init__(self) -> None:
        self.circuit = Circuit("triton")
        self._weights = np.random.default_rng(1).normal(0, 0.2, (len(shipped().names), 4)).astype(np.float32)

    async def rank(self, features: np.ndarray) -> Ranked:
        return Ranked(1 / (1 + np.exp(-np.clip(features @ self._weights, -30, 30))), "fixed")

    async def versions(self, at_most_old: float = 0.0) -> dict[str, str]:
        return {"ranker": "fixed"}


class DrawnNeighbours(ExactVectors):
    """Vectors as they are, neighbours drawn by lot: the search itself is not measured."""

    async def search(self, collection: str, vectors: np.ndarray, k: int, where: str = "") -> Neighbours:
        chance = np.random.default_rng(3)
        scores = np.sort(chance.random((len(vectors), k)).astype(np.float32))[:, ::-1]
        return Neighbours(chance.integers(1, PINS, (len(vectors), k)), scores)


def engine_of(models: Any) -> Engine:
    """A hot state with history, and every vector in memory."""
    chance = np.random.default_rng(0)
    pins = np.arange(1, PINS + 1)
    state = HotState()
    owners, boards = chance.integers(1, PINNERS, PINS).tolist(), chance.integers(1, BOARDS, PINS).tolist()
    pin_event = partial(PinEvent, type="created", time=NOW - PINS)
    events = [
        (row, pin_event(pin=row + 1, pinner=owners[row], board=boards[row], domain=f"{row % 97}.example"))
        for row in range(PINS)
    ]
    state.apply_pins(events)
    for pinner in range(1, PINNERS):
        liked = chance.integers(1, PINNERS, 5).tolist()
        state.apply_pinner(PinnerEvent(type="followed", pinner=pinner, pinners=liked, time=NOW))
    for kind, n in ((Kind.IMPRESSION, IMPRESSIONS), (Kind.SAVE, SAVES)):
        zero = np.zeros(n, np.int64)
        batch = Engagement(
            source=Source("saves", 0, 0, n), offset=zero, logged=zero, time=NOW - chance.integers(0, 7 * DAY, n),
            event_id=chance.integers(1, 2**62, n), kind=np.full(n, kind, np.uint8),
            pinner=chance.integers(1, PINNERS, n), pin=(chance.power(3, n) * PINS).astype(np.int64) + 1,
            board=chance.integers(1, BOARDS, n) * int(kind == Kind.SAVE), slate=zero, position=np.full(n, -1, np.int16),
            surface=np.ones(n, np.uint8), owner=zero, domain=zero, is_follower=np.zeros(n, np.uint8),
        )  # fmt: skip
        state.apply(state.catalogue.enrich(batch, state.follows))
    vectors = chance.normal(size=(PINS, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = DrawnNeighbours(pins, vectors)
    cache = VectorCache(store)
    cache.put(dict(zip(pins.tolist(), vectors, strict=True)))
    # What the builder does not touch is left out.
    parts = {"settings": Settings(home=Path("/nonexistent")), "metrics": Metrics(), "state": state}
    return cast(Engine, SimpleNamespace(**parts, vectors=store, vector_cache=cache, models=models, pinsage=None))


async def measure(engine: Engine, together: int, seconds: float) -> dict[str, Any]:
    """Build slates for ``together`` pinners at a time until the time is up."""
    chance = np.random.default_rng(2)
    stages: dict[str, list[float]] = defaultdict(list)
    candidates: list[int] = []
    made, cpu = 0, 0.0
    for warm_up in (True, False):
        ends = time.perf_counter() + (0 if warm_up else seconds)
        while True:
            pinners = chance.choice(PINNERS - 1, together, replace=False) + 1
            requests = [SlateRequest(int(pinner), made + row, NOW, NOW) for row, pinner in enumerate(pinners)]
            began, burnt = time.perf_counter(), time.process_time()
            slates = await build_slates(engine, requests, CHOICES)
            if not warm_up:
                cpu += time.process_time() - burnt
                made += together
                stages["whole"].append((time.perf_counter() - began) * 1000)
                candidates += [slate.stages[2].went_out for slate in slates]
                for stage in slates[0].stages:
                    stages[stage.name].append(stage.milliseconds)
                assert not any(slate.degraded for slate in slates), slates[0].degraded
            if time.perf_counter() >= ends:
                break
    return {
        "pinners_together": together,
        "slates": made,
        "slates_per_cpu_second": round(made / cpu, 1),
        "candidates_scored": round(float(np.mean(candidates))),
        "milliseconds": {
            name: {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (50, 99)}
            for name, values in stages.items()
        },
    }


async def run(with_triton: bool, seconds: float) -> None:
    models = TritonModels(Settings.load()) if with_triton else FixedRanker()
    engine = engine_of(models)
    results = [await measure(engine, together, seconds) for together in (1, 16)]
    ranker = "Triton" if with_triton else "a fixed function in this process"
    print(f"ranker: {ranker}; {PINS:,} pins, vectors of {DIMENSION} dimensions in memory")
    for result in results:
        print(
            f"\n{result['pinners_together']} together: {result['slates_per_cpu_second']} slates per second of one core,"
            f" {result['candidates_scored']} candidates scored each"
        )
        for name, values in result["milliseconds"].items():
            print(f"  {name:<10} p50 {values['p50']:9.2f} ms   p99 {values['p99']:9.2f} ms")
    print(json.dumps({"ranker": "triton" if with_triton else "fixed", "cores": os.cpu_count(), "results": results}))
    if with_triton:
        await models.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triton", action="store_true", help="score with the ranker that Triton serves")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each of the two measurements")
    given = parser.parse_args()
    asyncio.run(run(given.triton, given.seconds))


if __name__ == "__main__":
    main()

"""PinSage in the whole engine: an event makes a vector of a neighbourhood in seconds, and answers are found by it."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from streams.pinsage import COLLECTION
from streams.stores.milvus import MilvusVectors
from streams.stores.protocols import StoreUnavailable
from tests.integration.running import Worker, until
from tests.integration.test_engine import PHOTOS, now, pin_event

pytestmark = pytest.mark.real
SECONDS = 60
IDS = list(range(5601, 5609))


def held(worker: Worker, *pins: int) -> dict[int, np.ndarray]:
    async def ask() -> dict[int, np.ndarray]:
        store = MilvusVectors(worker.settings).alone(COLLECTION)
        try:
            return await store.fetch(COLLECTION, np.array(pins, np.int64))
        except StoreUnavailable:  # a collection that is being made answers a moment later
            return {}
        finally:
            await store.close()

    return asyncio.run(ask())


def test_an_event_makes_a_vector_a_save_another_and_a_deletion_none(worker: Worker) -> None:
    worker.send("pins", [pin_event(pin, photo, board=7600) for pin, photo in zip(IDS[:-1], PHOTOS[60:], strict=False)])
    until("pins have vectors of their neighbourhood", lambda: len(held(worker, *IDS[:-1])) == len(IDS) - 1, SECONDS)

    new = IDS[-1]
    began = time.monotonic()
    worker.send("pins", [pin_event(new, PHOTOS[70], board=7601)])
    first = until("the new one, too", lambda: held(worker, new), SECONDS)[new]
    print(f"\npin event → vector of its neighbourhood in Milvus: {time.monotonic() - began:.1f} s")
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-4)

    began = time.monotonic()
    worker.send("saves", [{"time": now(), "pinner": 61, "pin": new, "board": 7600}])

    def another() -> bool:
        found = held(worker, new).get(new)
        return found is not None and bool(found @ first < 0.9999)

    until("another after a save", another, SECONDS)
    print(f"save → another vector in Milvus: {time.monotonic() - began:.1f} s")

    path = f"/v1/pins/{new}/related?sources=pinsage&n=5"
    items = until("pins are related by it", lambda: worker.get(path)["items"], SECONDS)
    assert all("pinsage" in item["sources"] for item in items)

    worker.send("pins", [{"type": "deleted", "time": now(), "pin": new, "pinner": 900}])
    until("it is gone", lambda: not held(worker, new), SECONDS)

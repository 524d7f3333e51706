"""The standalone Milvus as a part: what it acknowledged outlives a kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from infra import supervisor
from infra.process import remembered
from streams.settings import Settings
from streams.stores.milvus import KEYS, MilvusVectors

pytestmark = pytest.mark.real
DIMENSION = 32
IDS = np.arange(1001, 1051)


async def test_acknowledged_rows_outlive_a_kill(milvus_apart: Callable[[str], Settings]) -> None:
    milvus = milvus_apart("kills")
    vectors = np.random.default_rng(1).standard_normal((len(IDS), DIMENSION)).astype(np.float32)
    store = MilvusVectors(milvus)
    await store.prepare(DIMENSION)
    before = await store.count("pins")
    await store.upsert("pins", IDS, vectors, {"version": IDS})
    running = remembered(milvus, "milvus")
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(running.pid)], timeout=10)
    await store.close()
    supervisor.up(milvus, names=["milvus"])
    again = MilvusVectors(milvus)
    await again.prepare(DIMENSION)
    assert await again.count("pins") == before + len(IDS)
    found = await again.fetch("pins", IDS[:1])
    np.testing.assert_allclose(found[IDS[0]], vectors[0], atol=1e-6)
    await again.delete(next(iter(KEYS)), IDS)
    await again.close()

"""The standalone Milvus as a part: what it acknowledged outlives a kill, and the server a pause."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import numpy as np
import psutil
import pytest

from infra import supervisor
from infra.milvus_server import old_leases
from infra.process import remembered
from streams.settings import Settings
from streams.stores.milvus import KEYS, MilvusVectors

pytestmark = pytest.mark.real
DIMENSION = 32
IDS = np.arange(1001, 1051)
#: Seconds. With sessions of 10 s a server did not outlive 8.
PAUSE = 12


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
    killed = time.monotonic()
    supervisor.up(milvus, names=["milvus"])
    # The sessions of the killed server would last a minute.
    assert time.monotonic() - killed < 45
    again = MilvusVectors(milvus)
    await again.prepare(DIMENSION)
    assert await again.count("pins") == before + len(IDS)
    found = await again.fetch("pins", IDS[:1])
    np.testing.assert_allclose(found[IDS[0]], vectors[0], atol=1e-6)
    await again.delete(next(iter(KEYS)), IDS)
    await again.close()


def test_a_server_held_up_for_a_while_serves_on(milvus: Settings) -> None:
    running = remembered(milvus, "milvus")
    assert running is not None
    os.kill(running.pid, signal.SIGSTOP)
    time.sleep(PAUSE)
    os.kill(running.pid, signal.SIGCONT)
    time.sleep(3)
    assert supervisor.status(milvus, ["milvus"])[0].state == "ready"


def test_sessions_are_old_when_a_newer_server_has_its_number() -> None:
    def session(server: int, lease: int) -> str:
        return f'{{"ServerID": {server}, "LeaseID": {lease}}}'

    left = {"rootcoord": session(7, 71), "proxy-7": session(7, 72)}
    assert old_leases({"id": "8"} | left) == set()
    assert old_leases({"id": "9"} | left) == {71, 72}
    assert old_leases({"id": "9", "rootcoord": session(8, 81), "proxy-7": session(7, 72)}) == {72}
    assert old_leases({"id": "1"}) == old_leases({}) == set()

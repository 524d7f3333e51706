"""A worker that dies is followed by one that has imported and compiled everything before."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from infra import keeper
from infra import worker as workers
from infra.keeper import Keeper
from infra.migrate import migrate
from infra.part import Part
from infra.supervisor import log_of
from streams.settings import Settings
from streams.stores.clickhouse import open_event_store
from tests.integration.running import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
#: One that no other test starts.
NUMBER, SECONDS = 7, 120
#: Counting needs neither Milvus nor Triton.
NOWHERE = "127.0.0.1:9"


def described(settings: Settings, *, spare: bool) -> Part:
    part = workers.part(replace(settings, spare_workers=int(spare)), NUMBER)
    home = {
        "PINSTREAM_HOME": str(settings.home),
        "PINSTREAM_PORT_BASE": str(settings.port_base),
        # The group of whatever other worker there is: partitions are shared with it.
        "PINSTREAM_GROUP": settings.group,
        "PINSTREAM_MILVUS": f"http://{NOWHERE}",
        "PINSTREAM_TRITON": NOWHERE,
    }
    return replace(part, environment=part.environment | home)


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(address + "/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def stands_by(log: Path) -> int:
    """How often a spare has said so."""
    return log.read_text().count("standing by") if log.exists() else 0


def seconds_until_ready_again(settings: Settings, *, spare: bool) -> float:
    """From the death of a worker on."""
    part, pids = described(settings, spare=spare), list[int]()
    log = log_of(settings, part.name)
    kept = Keeper(settings, {part.name: lambda: part}, lambda *event: pids.append(event[2]))

    def ready() -> bool:
        kept.look()
        return is_ready(part.address)

    standing = None
    try:
        until("it is ready", ready, SECONDS)
        if spare:
            until("a spare stands by", lambda: kept.look() or stands_by(log), SECONDS)
            [standing] = [one for one in psutil.Process().children() if "--standby" in one.cmdline()]
            print(f"it holds {standing.memory_info().rss >> 20} MiB")
        os.kill(pids[-1], signal.SIGKILL)
        began = time.monotonic()
        until("it runs again", lambda: kept.look() or len(pids) == 3, SECONDS)
        until("it is ready again", ready, SECONDS)
        assert standing is None or pids[-1] == standing.pid
        return time.monotonic() - began
    finally:
        kept.stop()


def test_a_spare_becomes_the_worker(kafka: Settings, clickhouse: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tables() -> None:
        store = open_event_store(clickhouse)
        await migrate(store)
        await store.close()

    asyncio.run(tables())
    monkeypatch.setattr(keeper, "SPARE_AFTER", 1.0)
    without = seconds_until_ready_again(kafka, spare=False)
    print(f"ready again after {seconds_until_ready_again(kafka, spare=True):.1f} s, without {without:.1f} s")

"""For tests: an embedded ClickHouse process that can be killed and started again, and batches to write."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import numpy as np

from operators.identity import combined_id
from streams.settings import PROJECT


class EmbeddedServer:
    """``infra/clickhouse_server.py`` over ``folder`` on a free port, which it keeps over restarts.

    ``with`` starts it, and kills whatever runs at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        arguments = ["--folder", str(self.folder), "--port", str(self.port)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "infra.clickhouse_server", *arguments],
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 60
        while not answers(f"{self.url}/ping"):
            if self._process.poll() is not None:
                assert self._process.stderr is not None
                raise RuntimeError(self._process.stderr.read().decode())
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError("the embedded ClickHouse did not answer within a minute")
            time.sleep(0.02)

    def ended(self) -> bool:
        """Has it ended by itself?"""
        return self._process is not None and self._process.poll() is not None

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is finished."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        os.kill(self._process.pid, number)
        status = self._process.wait(30)
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None
        return status


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """Below the range of outgoing connections, so that nobody takes it while a killed server starts again, and above
    the ports of other tests."""
    for port in random.SystemRandom().sample(range(28_000, 32_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("none of 100 ports is free")


def engagement(first: int, rows: int, *, topic: str = "saves", partition: int = 0) -> dict[str, Any]:
    """Columns of ``rows`` events from offset ``first``: the same for the same arguments, ids 0 among them."""
    rng = np.random.default_rng([first, rows, partition])
    offset = np.arange(first, first + rows)
    day = 86_400_000
    return {
        "topic": [topic] * rows,
        "partition": np.full(rows, partition, np.uint16),
        "first": np.full(rows, first),
        "last": np.full(rows, first + rows - 1),
        "block": np.full(rows, combined_id(topic, partition, first)),
        "offset": offset,
        "logged": offset + 1_760_000_000_000,
        # Some events are years old: their weights are as small as 2**-360.
        "time": np.where(rng.random(rows) < 0.01, 1_500_000_000_000, 1_760_000_000_000 + rng.integers(0, day, rows)),
        "event_id": offset * 64 + partition + 1,
        "kind": rng.integers(1, 6, rows).astype(np.uint8),
        "pinner": rng.integers(1, 500, rows),
        "pin": np.minimum(rng.zipf(1.5, rows), 2000),
        "board": rng.integers(0, 50, rows),
        "slate": rng.integers(0, 2**62, rows),
        "position": rng.integers(-1, 40, rows).astype(np.int16),
        "surface": rng.integers(0, 5, rows).astype(np.uint8),
        "owner": rng.integers(0, 100, rows),
        "domain": rng.integers(0, 30, rows),
        "is_follower": rng.integers(0, 2, rows).astype(np.uint8),
    }


def token(columns: dict[str, Any]) -> str:
    """What the rows were inserted under."""
    return str(columns["block"][0])

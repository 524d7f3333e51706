"""Every test, in two lanes at once: ``python -m tests.lanes [arguments of pytest]``, as ``make test`` runs them.

Most tests wait for a part more than they compute: one after the other they keep less than one of two cores busy. Those
that use the session's parts go one after the other in the lane ``shared``; those that have nothing, or parts of their
own, in the lane ``apart``, which gives way to the other (it is niced). Which is which follows from a test's fixtures.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Sequence

import psutil
import pytest

#: The lane of this session; empty when it runs every test.
LANE = os.environ.get("PINSTREAM_TEST_LANE", "")
LANES = ("shared", "apart")
#: Fixtures of ``tests/conftest.py`` that start a part of the session.
PARTS = frozenset({"kafka", "clickhouse", "milvus", "triton", "worker"})
NICE = 5
#: For pytest to stop what it started.
STOP_SECONDS = 60


def in_lane(lane: str, fixtures: Collection[str]) -> bool:
    """Does a test with these fixtures run in this lane?"""
    return not lane or (lane == "apart") == PARTS.isdisjoint(fixtures)


def main(arguments: Sequence[str]) -> int:
    """Run both lanes to their ends; the exit status is 0 if no test of either failed."""
    began = time.monotonic()
    running = {lane: _start(lane, arguments) for lane in LANES}
    readers = [threading.Thread(target=_tell, args=each) for each in running.items()]
    for reader in readers:
        reader.start()
    try:
        for reader in readers:
            reader.join()
    finally:
        _stop(running.values())
    statuses = {lane: process.wait() for lane, process in running.items()}
    print(f"{time.monotonic() - began:.0f} s; exit status: {statuses}")
    # One lane may have nothing to do where only some tests were asked for, both may not.
    passed = {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return 0 if set(statuses.values()) <= passed and pytest.ExitCode.OK in statuses.values() else 1


def _start(lane: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        env=os.environ | {"PINSTREAM_TEST_LANE": lane, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        start_new_session=True,  # Ctrl-C is told once, by us: a second one would end the stopping of parts
    )  # fmt: skip
    if lane == "apart":
        psutil.Process(process.pid).nice(psutil.Process().nice() + NICE)
    return process


def _tell(lane: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        print(f"{lane:6} | {line}", end="", flush=True)


def _stop(processes: Collection[subprocess.Popen[str]]) -> None:
    """Interrupt what still runs, so that it stops its parts."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main(sys.argv[1:]))
